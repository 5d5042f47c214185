"""Codes in the middle between two others: along the circle of variance 1, along the line of 1/2."""

from typing import Any

import torch

from onebound.diffusion.denoisers import even_steps, respaced
from onebound.diffusion.samplers import ddim, last
from onebound.studies.sampling import N, judged, starts
from onebound.zoo import unet
from onebound.zoo.cards import load_model

SEEDS = (0, 1, 2, 3, 4)
SMOKE = {"n": 260, "steps": 2}
SETTINGS: dict[str, dict[str, Any]] = {"circle": {"variance": 1.0}, "straight": {"variance": 0.5}}


def run(seed: int, variance: float, steps: int = 20, n: int = N) -> dict[str, Any]:
    """Draw without noise from codes of this variance: (a + b) / sqrt(2) has 1, (a + b) / 2 half.

    "ink" is the mean brightness in [0, 1], "variance" that of a pixel from sample to sample, summed
    over the pixels.
    """
    network, _ = load_model(unet)
    steps_kept = even_steps(unet.SCHEDULE.T, steps)
    coarse, guess = respaced(unet.SCHEDULE, unet.denoiser_of(network), steps_kept)
    parts = [last(ddim(coarse, guess, variance**0.5 * x_T, 0.0)) for x_T, _ in starts(n, seed)]
    samples = torch.cat(parts)
    images = (samples.clamp(-1, 1) + 1) / 2
    return judged(samples, seed) | {
        "ink": images.mean().item(),
        "variance": images.var(0).sum().item(),
    }
