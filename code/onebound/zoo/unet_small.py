"""A smaller U-Net trained for minutes: what "A run" trains live, and a guide for `unet`."""

from functools import partial
from typing import Any

from onebound.networks.unet import UNet
from onebound.zoo._unets import COSINE, draw, fit_digits, for_samples, from_v, judge, sized

RUN = dict(epochs=2, batch_size=32, learning_rate=0.03, warm_up=100, seed=0)
RECIPE: dict[str, Any] = dict(tilt=2.0) | RUN
SCHEDULE = COSINE
denoiser_of = from_v
build = partial(sized, RECIPE)
train = partial(fit_digits, RECIPE, for_samples(RECIPE))


def measure(network: UNet) -> dict[str, list[float]]:
    """Return the quality of 2,000 samples in 100 steps."""
    return judge(draw(SCHEDULE, denoiser_of(network), 2000))
