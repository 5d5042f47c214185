"""A smaller U-Net trained for minutes: what chapter 10 trains live, and a guide for `unet`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from onebound.networks.unet import UNet
from onebound.zoo import unet

RECIPE: dict[str, Any] = {
    "tilt": 2.0,
    "epochs": 2,
    "batch_size": 32,
    "learning_rate": 0.03,
    "warm_up": 100,
    "seed": 0,
}
SCHEDULE = unet.SCHEDULE
denoiser_of = unet.denoiser_of


def build() -> UNet:
    """Return the network before training."""
    torch.manual_seed(RECIPE["seed"])
    return UNet(SCHEDULE.T)


def train(network: UNet, checkpoint: Path) -> Iterator[dict[str, float]]:
    """Do what `unet` does, for a shorter time."""
    weight = unet.tilted(SCHEDULE, RECIPE["tilt"]) / 784
    recipe = {key: RECIPE[key] for key in unet.RUN}
    yield from unet.fit(network, denoiser_of, SCHEDULE, weight, checkpoint, **recipe)


measure = unet.measure
