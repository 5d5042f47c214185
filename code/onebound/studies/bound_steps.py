"""The bound of one trained network with more steps, and with fewer, than it was trained on."""

from itertools import pairwise
from typing import Any

from torch import Generator

from onebound import data, zoo
from onebound.diffusion import bound_estimate, reverse_variance
from onebound.metrics import bits_per_dim, estimate, per_example
from onebound.schedules import log_snr_schedule
from onebound.zoo import unet_bound

SETTINGS: dict[str, dict[str, Any]] = {
    "even log-SNR": {"steps": [250, 500, 1000, 2000, 4000], "images": 2500}
}
SEEDS = (0, 1, 2, 3)
SMOKE: dict[str, Any] = {"steps": [250, 500], "images": 20}


def run(seed: int, steps: list[int], images: int) -> dict[str, list[list[float]]]:
    """Measure the bound for each number of steps: each seed has its own share of the test images.

    Returns
    -------
    dict
        Bits per dimension, mean and standard error: "bits" for each number of steps, and "gained"
        from each to the next, image by image.
    """
    network, _ = zoo.load(unet_bound)
    x_0 = data.to_signed(data.mnist().test_images[seed * images : (seed + 1) * images])
    found = []
    for T in steps:
        schedule = log_snr_schedule(T, last=unet_bound.LAST)
        denoise = unet_bound.with_steps(network, schedule)
        variance, noise = reverse_variance(schedule), Generator().manual_seed(seed)
        found.append(
            per_example(
                lambda x: bound_estimate(schedule, denoise, x, variance, generator=noise).elbo,  # noqa: B023
                x_0,
                batch_size=500,
            )
        )
    bits = [bits_per_dim(nats) for nats in found]
    return {
        "bits": [list(estimate(one)) for one in bits],
        "gained": [list(estimate(a - b)) for a, b in pairwise(bits)],
    }
