"""The bound of one trained network with more steps, and with fewer, than it was trained on."""

from typing import Any

import torch
from torch import Generator, Tensor

from onebound.checks import check_positive
from onebound.data.images import to_signed
from onebound.data.mnist import load_mnist
from onebound.diffusion.bound import bound, equal_chances, reverse_variance
from onebound.diffusion.denoisers import Denoiser
from onebound.diffusion.schedules import log_snr_schedule
from onebound.likelihoods import bits_per_dim
from onebound.networks.unet import UNet
from onebound.zoo import unet_bound
from onebound.zoo.cards import load_model

SETTINGS: dict[str, dict[str, Any]] = {
    "even log-SNR": {"steps": [250, 500, 1000, 2000, 4000], "shares": 5}
}
SEEDS = (0, 1, 2, 3)
SMOKE: dict[str, Any] = {"steps": [250, 500], "shares": 1}

AT_ONCE = 500
"""Images of a share. Their steps are drawn together, so only shares are independent."""


def run(seed: int, steps: list[int], shares: int) -> dict[str, list[list[float]]]:
    """Measure the bound for each number of steps, with the same noise, share by share.

    The result has "bits": for each share of the test images, the bits per dimension with each
    number of steps. Each seed has shares of its own.
    """
    network, _ = load_model(unet_bound)
    images = load_mnist().test_images.split(AT_ONCE)
    mine = range(seed * shares, (seed + 1) * shares)
    return {"bits": [[bits(network, images[i], i, T) for T in steps] for i in mine]}


def in_parts(denoise: Denoiser, at_once: int = 100) -> Denoiser:
    """Ask for so many guesses at a time: the same ones, in less memory. At least 1."""
    check_positive(at_once=at_once)

    def parts(x_t: Tensor, t: Tensor) -> Tensor:
        pairs = zip(x_t.split(at_once), t.split(at_once), strict=True)
        return torch.cat([denoise(*pair) for pair in pairs])

    return parts


def bits(network: UNet, levels: Tensor, seed: int, T: int) -> float:
    """Estimate bits per dimension in T steps of these images, by one random step each."""
    schedule = log_snr_schedule(T, last=unet_bound.LAST)
    denoise = in_parts(unet_bound.with_steps(network, schedule))
    noise = Generator().manual_seed(seed)
    with torch.no_grad():
        found = bound(
            schedule,
            denoise,
            to_signed(levels),
            reverse_variance(schedule),
            generator=noise,
            chances=equal_chances(schedule),
        )
    return bits_per_dim(found.elbo).mean().item()
