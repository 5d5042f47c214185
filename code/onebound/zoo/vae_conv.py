"""The convolutional VAE of chapter 5: dynamically binarised digits, 32 latents."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Generator

from onebound import data
from onebound.metrics import estimate, importance_weighted_bound, per_example, two_level
from onebound.networks.conv import ConvDecoder, ConvEncoder
from onebound.training import train as run
from onebound.vae import VAE

RECIPE: dict[str, Any] = {"epochs": 60, "batch_size": 64, "learning_rate": 4e-3, "seed": 0}


def build() -> VAE:
    """Return the model before training."""
    torch.manual_seed(RECIPE["seed"])
    return VAE(ConvEncoder(32, width=32), ConvDecoder(32, width=32))


def train(model: VAE, checkpoint: Path) -> Iterator[dict[str, float]]:
    """Maximise the bound on the first 50,000 images, binarised anew each time; see `Entry`."""
    images, validation = data.split_validation(data.mnist().train_images)
    validation = data.static_binarisation(validation)
    loss = lambda batch: -model.bound(data.binarise(batch)).elbo  # noqa: E731
    for epoch in run(model.train(), loss, images, **RECIPE, checkpoint=checkpoint):
        held_out = per_example(lambda x: model.bound(x).elbo, validation).mean().item()
        yield {
            "epoch": epoch.number,
            "steps": epoch.steps,
            "seconds": epoch.seconds,
            "loss": epoch.loss,
            "validation": held_out,
        }


def measure(model: VAE) -> dict[str, list[float]]:
    """Return bound and importance-weighted bound of the binarised test images, in nats."""
    test = data.static_binarisation(data.mnist().test_images)
    noise = Generator().manual_seed(0)
    bound = per_example(lambda x: model.bound(x, noise).elbo, test)
    some = importance_weighted_bound(model, test, 100, noise)
    chosen = torch.randperm(len(test), generator=noise)[:500]
    many = importance_weighted_bound(model, test[chosen], 5000, noise)
    return {
        "test_elbo": list(estimate(bound)),
        "test_log_p_100": list(estimate(some)),
        "test_log_p_5000": list(two_level(some, many, chosen)),
    }
