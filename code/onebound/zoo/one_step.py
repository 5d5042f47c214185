"""A VAE without an encoder, trained for longer: one step of noise, and one step back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Generator

from onebound.data.images import to_signed
from onebound.data.mnist import load_mnist, split_validation
from onebound.diffusion.onestep import SmallDenoiser, bound, decoder, sample_one_step
from onebound.evaluation.estimates import estimate, per_example
from onebound.likelihoods import bits_per_dim
from onebound.training.run import train as run
from onebound.zoo._unets import judge
from onebound.zoo.cards import record

RECIPE: dict[str, Any] = {"epochs": 10, "batch_size": 64, "learning_rate": 2e-3, "seed": 0}


def build() -> SmallDenoiser:
    """Return the network before training; it puts out a mean and a width for each pixel."""
    torch.manual_seed(RECIPE["seed"])
    return SmallDenoiser(out=2)


def train(model: SmallDenoiser, checkpoint: Path) -> Iterator[dict[str, float]]:
    """Raise the bound of one step (`[eq-one-step-elbo]`)."""
    images, held_out = split_validation(load_mnist().train_images)
    decode = decoder(model)
    loss = lambda batch: -bound(decode, to_signed(batch)).elbo  # noqa: E731
    for epoch in run(model, loss, images, **RECIPE, checkpoint=checkpoint):
        noise = Generator().manual_seed(0)
        elbo = lambda x: bound(decode, to_signed(x), generator=noise).elbo  # noqa: B023, E731
        nats = per_example(elbo, held_out)
        yield record(epoch, validation=nats.mean().item())


def measure(model: SmallDenoiser) -> dict[str, list[float]]:
    """Return the bound of the test images, bits per dimension, and the quality of 2,000 samples."""
    noise, decode = Generator().manual_seed(0), decoder(model)
    elbo = lambda x: bound(decode, to_signed(x), generator=noise).elbo  # noqa: E731
    nats = per_example(elbo, load_mnist().test_images)
    return {"bits": list(estimate(bits_per_dim(nats)))} | judge(sample_one_step(model, 2000, noise))
