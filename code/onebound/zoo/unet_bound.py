"""The U-Net trained by the bound itself, over steps of equal ratios of the SNR."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from onebound import data
from onebound.background import Background, fit_background
from onebound.diffusion import (
    Denoiser,
    Network,
    bound_estimate,
    denoiser,
    kl_coefficients,
    reverse_variance,
)
from onebound.metrics import bits_per_dim, estimate, per_example
from onebound.networks.unet import UNet
from onebound.schedules import log_snr_schedule
from onebound.zoo._unets import RUN, fit

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
    """Return minus the bound on the test images and its three groups, bits per dimension.

    Each image's bound is estimated from four random steps.
    """
    images = data.to_signed(data.mnist().test_images)
    denoise, variance = denoiser_of(network), reverse_variance(SCHEDULE)
    noise = Generator().manual_seed(0)

    def groups(x_0: Tensor) -> Tensor:
        draws = [
            bound_estimate(SCHEDULE, denoise, x_0, variance, generator=noise) for _ in range(4)
        ]
        terms = [(d.log_likelihood, -d.kl_steps.sum(1), -d.kl_prior) for d in draws]
        return torch.stack([torch.stack(term, dim=1) for term in terms]).mean(0)

    decoder, steps, prior = bits_per_dim(per_example(groups, images)).unbind(1)
    return {
        "bits_per_dim": list(estimate(decoder + steps + prior)),
        "decoder": list(estimate(decoder)),
        "steps": list(estimate(steps)),
        "prior": list(estimate(prior)),
    }
