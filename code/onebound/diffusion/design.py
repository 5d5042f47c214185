"""Design: what a network is given and asked, which noise it sees, and what each error counts.

A denoiser is made of a network F as x_0_hat = c_skip x_t + c_out F(c_in x_t, t)
(`[eq-design-form]`). Every output in use is one choice of the three numbers. What a network is
trained for depends on the *effective weight* of a step alone, its chance times its weight; how much
the gradients scatter depends on both.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from onebound.checks import check_per_step
from onebound.diffusion.denoisers import Denoiser, Network
from onebound.diffusion.process import Data, Steps
from onebound.diffusion.schedules import Schedule, at

Table = Float64[Tensor, "steps"]


class Coefficients(NamedTuple):
    """Tables of the steps; entry 0 is that of the clean image."""

    skip: Table
    """What x_t is multiplied by in the guess."""
    out: Table
    """What an error of the network is multiplied by to be one of the guess; 0 or more."""
    into: Table
    """What x_t is multiplied by before the network sees it."""


def preconditioning(schedule: Schedule, variance: float = 1.0) -> Coefficients:
    """Give a network unit variance in and out, and its errors the least weight (`[eq-design-edm]`).

    `variance` is that of a pixel of the data, whose mean is 0 (`[eq-design-unit]`). 1 / c_out^2 is
    1 / variance + SNR (`[eq-design-precision]`), and for 1 the network learns -v (`[eq-design-v]`).
    Karras et al. (2022), appendix B.6, for x_t of another scale. ValueError if it is not above 0.
    """
    _check_above_zero("variance", variance)
    signal, noise = schedule.amplitudes
    total = schedule.alpha_bar * variance + schedule.noise_variance
    root = total.sqrt()
    return Coefficients(signal * variance / total, math.sqrt(variance) * noise / root, 1 / root)


def karras_preconditioning(
    ratios: Float64[Tensor, "K"], variance: float = 1.0
) -> tuple[Float64[Tensor, "K"], Float64[Tensor, "K"], Float64[Tensor, "K"]]:
    """Return c_skip, c_out and c_in for x_0 + rho eps, the image that is not scaled down.

    See `[eq-design-karras]`; Karras et al. (2022), table 1. ValueError as `preconditioning`.
    """
    _check_above_zero("variance", variance)
    total = variance + ratios**2
    root = total.sqrt()
    return variance / total, math.sqrt(variance) * ratios / root, 1 / root


def coefficients(schedule: Schedule) -> dict[str, Coefficients]:
    """Return c_skip and c_out of the outputs "eps", "x_0", "v" and "velocity", with c_in = 1.

    The sign of c_out is dropped: a network may as well learn minus its target (`[eq-design-form]`).
    Those of eps are not finite where alpha_bar is 0.
    """
    signal, noise = schedule.amplitudes
    one = torch.ones_like(signal)
    return {
        "eps": Coefficients(1 / signal, noise / signal, one),
        "x_0": Coefficients(0 * one, one, one),
        "v": Coefficients(signal, noise, one),
        "velocity": Coefficients(1 / (signal + noise), noise / (signal + noise), one),
    }


def preconditioned(schedule: Schedule, network: Network, numbers: Coefficients) -> Denoiser:
    """Return the denoiser c_skip x_t + c_out F(c_in x_t, t) (`[eq-design-form]`)."""

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        skip, out, into = (at(table, t, x_t) for table in numbers)
        return skip * x_t + out * network(into * x_t, t).to(x_t.dtype)

    return denoise


def target(numbers: Coefficients, x_t: Data, x_0: Data, t: Steps) -> Data:
    """Return what F would have to say for the guess to be x_0 (`[eq-design-target]`)."""
    return (x_0 - at(numbers.skip, t, x_t) * x_t) / at(numbers.out, t, x_t)


def target_variance(schedule: Schedule, numbers: Coefficients, variance: float = 1.0) -> Table:
    """Return the mean square of a pixel of `target`, for data of this variance and mean 0.

    It is 1 at every step for `preconditioning` (`[eq-design-residual]`). Entry 0 may be NaN.
    """
    signal, _ = schedule.amplitudes
    left = (1 - numbers.skip * signal) ** 2 * variance
    return (left + numbers.skip**2 * schedule.noise_variance) / numbers.out**2


def log_ratio_chances(schedule: Schedule, mean: float, deviation: float) -> Table:
    """Return the chances of the steps if ln rho is normal, rho the ratio of noise to signal.

    Each step takes what lies nearest to it in log-SNR, -2 ln rho (`[eq-design-log-normal]`). EDM
    has mean -1.2 and deviation 1.2, Karras et al. (2022); the logit-normal distribution of tau is
    the same thing (`[eq-design-logit]`), with 0 and 1 in Esser et al. (2024). ValueError if the
    deviation is not above 0.
    """
    _check_above_zero("deviation", deviation)
    log_ratio = -schedule.log_snr[1:] / 2
    between = (log_ratio[1:] + log_ratio[:-1]) / 2
    below = torch.special.ndtr((between - mean) / deviation)
    none = below.new_zeros(1)
    return torch.cat([none, torch.cat([none, below, none + 1]).diff()])


def weight_for(effective: Float[Tensor, "steps"], chances: Float[Tensor, "steps"]) -> Tensor:
    """Return the weight that has this effective weight under these chances.

    See `[eq-design-effective]`. ValueError if a step that counts has no chance.
    """
    check_per_step("effective", effective, len(chances) - 1)
    if ((effective != 0) & (chances <= 0)).any():
        raise ValueError("a step whose effective weight is not 0 has no chance to be drawn")
    return torch.where(chances > 0, effective / chances, 0)


def second_moment(
    effective: Float[Tensor, "steps"],
    chances: Float[Tensor, "steps"],
    squares: Float[Tensor, "steps"],
) -> Tensor:
    """E of the squared estimate, given that of the unweighted one at each step.

    See `[eq-design-variance]`; its mean is the same for all chances.
    """
    return (weight_for(effective, chances) * effective * squares).sum()


def best_chances(effective: Float[Tensor, "steps"], squares: Float[Tensor, "steps"]) -> Tensor:
    """Return the chances of least `second_moment`: effective weight times root of the squares.

    See `[eq-design-best-chances]`.
    """
    wanted = effective * squares.sqrt()
    return wanted / wanted.sum()


def _check_above_zero(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be finite and above 0, got {value!r}")
