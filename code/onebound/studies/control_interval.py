"""Guidance by the label at strength 3, in one third of the steps only."""

from typing import Any

from torch import Tensor

from onebound.diffusion.control import guided_by_step, interval
from onebound.diffusion.denoisers import Denoiser
from onebound.studies.sampling import N, judged
from onebound.studies.sampling_labels import as_asked, drawn
from onebound.zoo import unet_classes
from onebound.zoo.cards import load_model

SEEDS = (0, 1, 2, 3, 4)
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
    strengths = interval(unet_classes.SCHEDULE.T, strength, low, high)

    def denoiser(y: Tensor) -> Denoiser:
        told = unet_classes.denoiser_of(unet_classes.told(network, y))
        return guided_by_step(told, unet_classes.denoiser_of(network), strengths)

    samples, y = drawn(denoiser, seed, steps, n)
    return judged(samples, seed) | {"asked": as_asked(samples, y)}
