"""A smaller U-Net trained for minutes: what chapter 10 trains live, and a guide for `unet`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from onebound.diffusion import Denoiser, Network, denoiser, x_0_from_v
from onebound.networks.unet import UNet
from onebound.schedules import cosine_schedule
from onebound.zoo._unets import RUN, draw, fit, judge, tilted

RECIPE: dict[str, Any] = {
    "tilt": 2.0,
    "epochs": 2,
    "batch_size": 32,
    "learning_rate": 0.03,
    "warm_up": 100,
    "seed": 0,
}
SCHEDULE = cosine_schedule(1000)


def build() -> UNet:
    """Return the network before training."""
    torch.manual_seed(RECIPE["seed"])
    return UNet(SCHEDULE.T)


def denoiser_of(network: Network) -> Denoiser:
    """Read x_0_hat off the network, whose output is v_hat."""
    return denoiser(SCHEDULE, network, x_0_from_v)


def train(network: UNet, checkpoint: Path) -> Iterator[dict[str, float]]:
    """Do what `unet` does, for a shorter time."""
    weight = tilted(SCHEDULE, RECIPE["tilt"]) / 784
    recipe = {key: RECIPE[key] for key in RUN}
    yield from fit(network, denoiser_of, SCHEDULE, weight, checkpoint, **recipe)


def measure(network: UNet) -> dict[str, list[float]]:
    """Return the quality of 2,000 samples in 100 steps."""
    return judge(draw(SCHEDULE, denoiser_of(network), 2000))
