"""Guidance by the label at strength 3, in one third of the steps only."""

from typing import Any

import torch

from onebound.data.images import to_unit
from onebound.diffusion.control import guided_by_step, interval
from onebound.diffusion.denoisers import even_steps, respaced
from onebound.diffusion.samplers import ddim, last
from onebound.evaluation import protocol
from onebound.evaluation.estimates import per_example
from onebound.studies.sampling import AT_ONCE, N, judged, starts
from onebound.studies.sampling_labels import labels_of
from onebound.zoo import digits, unet_classes
from onebound.zoo.cards import load_model

SEEDS = (0, 1, 2)
SMOKE = {"n": 260, "steps": 3}
SETTINGS: dict[str, dict[str, Any]] = {
    "t > 667": {"low": 667, "high": 1000},
    "333 < t <= 667": {"low": 333, "high": 667},
    "t <= 333": {"low": 0, "high": 333},
}
"""The strengths 1 and 3 at all steps: in the record of `onebound.studies.sampling_labels`."""


def run(
    seed: int, low: int, high: int, strength: float = 3.0, steps: int = 20, n: int = N
) -> dict[str, Any]:
    """Ask for n digits without noise, as `onebound.studies.sampling_labels` does.

    "asked" is the share that the classifier takes for the digit that was asked for.
    """
    network, _ = load_model(unet_classes)
    classifier, _ = load_model(digits)
    schedule, y, parts = unet_classes.SCHEDULE, labels_of(n, seed), []
    strengths = interval(schedule.T, strength, low, high)
    for (x_T, noise), part in zip(starts(n, seed), y.split(AT_ONCE), strict=True):
        told = unet_classes.denoiser_of(unet_classes.told(network, part))
        denoise = guided_by_step(told, unet_classes.denoiser_of(network), strengths)
        coarse, guess = respaced(schedule, denoise, even_steps(schedule.T, steps))
        parts.append(last(ddim(coarse, guess, x_T, 0.0, noise)))
    samples = torch.cat(parts)
    named = per_example(classifier, to_unit(protocol.to_levels(samples))).argmax(1)
    return judged(samples, seed) | {"asked": (named == y).double().mean().item()}
