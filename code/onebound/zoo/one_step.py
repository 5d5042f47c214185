"""A VAE without an encoder, trained for longer: one step of noise, and one step back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Generator

from onebound.baselines import SmallDenoiser, one_step_bound, sample_one_step
from onebound.data.images import to_signed
from onebound.data.mnist import load_mnist, split_validation
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
    loss = lambda batch: -one_step_bound(model, to_signed(batch))  # noqa: E731
    for epoch in run(model, loss, images, **RECIPE, checkpoint=checkpoint):
        noise = Generator().manual_seed(0)
        nats = per_example(lambda x: one_step_bound(model, to_signed(x), noise), held_out)  # noqa: B023
        yield record(epoch, validation=nats.mean().item())


def measure(model: SmallDenoiser) -> dict[str, list[float]]:
    """Return the bound of the test images, bits per dimension, and the quality of 2,000 samples."""
    noise = Generator().manual_seed(0)
    test = load_mnist().test_images
    nats = per_example(lambda x: one_step_bound(model, to_signed(x), noise), test)
    return {"bits": list(estimate(bits_per_dim(nats)))} | judge(sample_one_step(model, 2000, noise))
