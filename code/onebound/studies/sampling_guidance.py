"""Guidance of `unet` by `unet_small`: its strength, and the samplers that it is used in."""

from typing import Any

import torch

from onebound.diffusion.control import guided_by_step, interval
from onebound.diffusion.denoisers import even_steps, respaced
from onebound.diffusion.samplers import ddim, last
from onebound.studies.sampling import N, judged, starts
from onebound.zoo import unet, unet_small
from onebound.zoo.cards import load_model

SEEDS = (0, 1, 2, 3, 4)
SMOKE = {"n": 260, "steps": 2}
SETTINGS: dict[str, dict[str, Any]] = {
    "1.5": {"strength": 1.5},
    "2": {"strength": 2.0},
    "3": {"strength": 3.0},
    "worse alone": {"strength": 0.0},
    "2, ancestral": {"strength": 2.0, "eta": 1.0},
    "3, t > 500": {"strength": 3.0, "low": 500},
    "3, t <= 500": {"strength": 3.0, "high": 500},
}
"""Strength 1 is the network alone: in the record of `onebound.studies.sampling`."""


def run(
    seed: int,
    strength: float,
    eta: float = 0.0,
    low: int = 0,
    high: int = 1000,
    steps: int = 20,
    n: int = N,
) -> dict[str, Any]:
    """Draw from `unet`, guided by `unet_small` where low < t <= high; 0 is `unet_small` alone."""
    (network, _), (small, _) = load_model(unet), load_model(unet_small)
    good, worse = unet.denoiser_of(network), unet_small.denoiser_of(small)
    denoise = guided_by_step(good, worse, interval(unet.SCHEDULE.T, strength, low, high))
    coarse, guess = respaced(unet.SCHEDULE, denoise, even_steps(unet.SCHEDULE.T, steps))
    samples = [last(ddim(coarse, guess, x_T, eta, noise)) for x_T, noise in starts(n, seed)]
    return judged(torch.cat(samples), seed)
