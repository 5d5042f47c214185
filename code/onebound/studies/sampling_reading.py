"""A denoiser that is told labels reads digits by the label that leaves the smallest error."""

from typing import Any

import torch
from torch import Generator

from onebound.data.images import to_signed
from onebound.data.mnist import load_mnist
from onebound.diffusion.bound import kl_coefficients, reverse_variance
from onebound.diffusion.loss import denoising_loss, stratified_t
from onebound.zoo import unet_classes
from onebound.zoo.cards import load_model

SEEDS = (0, 1, 2, 3, 4)
SMOKE = {"n": 4, "draws": 1}
SETTINGS: dict[str, dict[str, Any]] = {
    "shared noise": {"shared": True},
    "noise for each label": {"shared": False},
}


@torch.no_grad()
def run(seed: int, shared: bool, draws: int = 10, n: int = 100) -> dict[str, Any]:
    """Read n test images, others for each seed, by the error under each of the ten labels.

    The names of the results are those of the weights.
    """
    network, _ = load_model(unet_classes)
    schedule = unet_classes.SCHEDULE
    *_, images, labels = (part[n * seed : n * (seed + 1)] for part in load_mnist())
    x_0 = to_signed(images)
    weights = {
        "bound": kl_coefficients(schedule, reverse_variance(schedule))[0],
        "v": schedule.snr + 1,
    }
    costs = {name: torch.zeros(n, 10) for name in weights}
    noise = Generator().manual_seed(seed)
    for _ in range(draws):
        t = stratified_t(n, schedule.T, noise).clamp(min=2)
        eps = torch.randn(x_0.shape, generator=noise)
        for y in range(10):
            if not shared:
                eps = torch.randn(x_0.shape, generator=noise)
            guess = unet_classes.denoiser_of(unet_classes.told(network, torch.full((n,), y)))
            error = denoising_loss(schedule, guess, x_0, eps, t, torch.ones(schedule.T + 1))
            for name, weight in weights.items():
                costs[name][:, y] += weight[t].float() * error
    return {name: (cost.argmin(1) == labels).double().mean().item() for name, cost in costs.items()}
