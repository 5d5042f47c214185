"""The U-Net trained by the bound itself, over steps of equal ratios of the SNR."""

from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

from torch import Generator

from onebound.data.mnist import load_mnist, split_validation
from onebound.diffusion.background import Background, fit_background
from onebound.diffusion.bound import Bound, equal_chances, kl_coefficients, reverse_variance
from onebound.diffusion.denoisers import Denoiser, Network, denoiser
from onebound.diffusion.schedules import Schedule, log_snr_schedule
from onebound.diffusion.tuning import Levels, Tuned, bits, total
from onebound.evaluation.estimates import estimate
from onebound.networks.unet import UNet
from onebound.zoo._unets import Objective, fit_digits, sized

RUN = dict(epochs=36, batch_size=64, learning_rate=0.02, warm_up=100, seed=0)
RECIPE: dict[str, Any] = dict(width=96, deep_width=64, pairs=2, levels=7) | RUN
LAST = -6.0  # log-SNR of the noisiest step
SCHEDULE = log_snr_schedule(1000, last=LAST)
FINER = log_snr_schedule(4000, last=LAST)
build = partial(sized, RECIPE)


def with_steps(network: UNet, schedule: Schedule) -> Denoiser:
    """Use a trained network over other steps from the same first to the same last log-SNR.

    It knows the step by waves of t / T, and t / T fixes the SNR: the weights serve any T.
    """
    other = sized(RECIPE, schedule.T)
    other.load_state_dict(network.state_dict())
    return denoiser(schedule, other.eval(), background().x_0_from_residual)


@cache
def background() -> Background:
    """Return what a pixel tells by itself, from the training images."""
    return fit_background(split_validation(load_mnist().train_images)[0])


def denoiser_of(network: Network) -> Denoiser:
    """Read x_0_hat off the network, which puts out what a pixel's own value does not tell."""
    return denoiser(SCHEDULE, network, background().x_0_from_residual)


def train(network: UNet, checkpoint: Path) -> Iterator[dict[str, float]]:
    """Lower the bound's terms, each step's squared error by its weight in the bound."""
    weight, _ = kl_coefficients(SCHEDULE, reverse_variance(SCHEDULE))
    objective = Objective(SCHEDULE, background().x_0_from_residual, SCHEDULE.T * weight)
    return fit_digits(RECIPE, objective, network, checkpoint)


def measure(network: UNet) -> dict[str, list[float]]:
    """Return minus the bound on the test images and its three groups, bits per dimension.

    "finer" is the whole for the four times as many steps of `FINER`.
    """
    levels = load_mnist().test_images
    found = costs(denoiser_of(network), SCHEDULE, levels)
    finer = costs(with_steps(network, FINER), FINER, levels)
    return {
        "bits_per_dim": list(estimate(total(found))),
        "decoder": list(estimate(found.log_likelihood)),
        "steps": list(estimate(found.kl_steps.sum(1))),
        "prior": list(estimate(found.kl_prior)),
        "finer": list(estimate(total(finer))),
    }


def costs(denoise: Denoiser, schedule: Schedule, levels: Levels) -> Bound:
    """Estimate the `bits` of each image, from four of its steps, none likelier than another."""
    plain = Tuned(reverse_variance(schedule), equal_chances(schedule))
    return bits(schedule, denoise, levels, plain, Generator().manual_seed(0), passes=4)
