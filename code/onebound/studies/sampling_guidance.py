"""Guidance of `unet` by `unet_small`: its strength, and the samplers that it is used in."""

from typing import Any

import torch

from onebound import zoo
from onebound.diffusion import clipped, even_steps, guided, respaced
from onebound.samplers import ddim, last
from onebound.studies.sampling import N, judged, starts
from onebound.zoo import unet, unet_small

SEEDS = (0, 1, 2)
SMOKE = {"n": 260, "steps": 2}
SETTINGS: dict[str, dict[str, Any]] = {
    "1.5": {"strength": 1.5},
    "2": {"strength": 2.0},
    "3": {"strength": 3.0},
    "worse alone": {"strength": 0.0},
    "2, ancestral": {"strength": 2.0, "eta": 1.0},
    "2, ancestral, clipped": {"strength": 2.0, "eta": 1.0, "clip": True},
}
"""Strength 1 is the network alone: in the record of `onebound.studies.sampling`."""


def run(
    seed: int, strength: float, eta: float = 0.0, clip: bool = False, steps: int = 20, n: int = N
) -> dict[str, Any]:
    """Draw from `unet` guided by `unet_small`; strength 0 is `unet_small` alone."""
    (good, _), (bad, _) = zoo.load(unet), zoo.load(unet_small)
    worse = unet_small.denoiser_of(bad)
    denoise = guided(unet.denoiser_of(good), worse, strength) if strength else worse
    if clip:
        denoise = clipped(denoise)
    coarse, guess = respaced(unet.SCHEDULE, denoise, even_steps(unet.SCHEDULE.T, steps))
    samples = [last(ddim(coarse, guess, x_T, eta, noise)) for x_T, noise in starts(n, seed)]
    return judged(torch.cat(samples), seed)
