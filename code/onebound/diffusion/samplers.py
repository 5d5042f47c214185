"""Samplers: from noise to data, step by step.

Each is one generator. It yields every step as it is taken, so that the caller can plot, stop, or
keep the last one only (`last`). Fewer steps come from `respaced`, clipping from
`clipped`: a sampler knows neither.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from onebound.checks import check_per_step
from onebound.diffusion.denoisers import Denoiser
from onebound.diffusion.parameterisation import eps_from_x_0
from onebound.diffusion.process import q_xs_xt_x0
from onebound.diffusion.schedules import Schedule, at
from onebound.distributions import noise_like


class Step(NamedTuple):
    """One step from x_t to x_s, s = t - 1; the tensors have equal shapes (B, ...)."""

    t: int
    x_t: Tensor
    x_0_hat: Tensor
    """The denoiser's guess at x_t."""
    x_s: Tensor
    """At t = 1 the sample."""


@torch.no_grad()
def ancestral(
    schedule: Schedule,
    denoise: Denoiser,
    x_T: Tensor,
    generator: Generator | None = None,
    variance: Tensor | None = None,
) -> Iterator[Step]:
    """Draw x_s from N(mu_tilde(x_t, x_0_hat), variance_t), for t from T to 1 (`[eq-ancestral]`).

    Parameters
    ----------
    schedule, denoise
        T steps, and a denoiser for them.
    x_T
        Noise from N(0, I), shape (B, ...).
    generator
        Source of the noise that the steps add; None takes torch's global one.
    variance
        Of each step, entry t for step t, shape (T + 1,); None takes beta_tilde. Its entry 1 is 0:
        no noise is added to x_0. A positive entry 1 adds the decoder's.

    Yields
    ------
    Step
        T of them; x_s of the last is the sample.

    Raises
    ------
    ValueError
        At the first step, if `variance` has another shape or `x_T` is not floating point.

    References
    ----------
    Ho, Jain and Abbeel (2020), algorithm 2.
    """
    variance = schedule.beta_tilde if variance is None else variance
    check_per_step("variance", variance, schedule.T)
    x_t = x_T
    for step in range(schedule.T, 0, -1):
        t = torch.full((len(x_t),), step, device=x_t.device)
        x_0_hat = denoise(x_t, t)
        mu_tilde, _ = q_xs_xt_x0(schedule, x_t, x_0_hat, t)
        x_s = mu_tilde + at(variance.sqrt(), t, x_t) * noise_like(x_t, generator)
        yield Step(step, x_t, x_0_hat, x_s)
        x_t = x_s


@torch.no_grad()
def ddim(
    schedule: Schedule,
    denoise: Denoiser,
    x_T: Tensor,
    eta: float,
    generator: Generator | None = None,
) -> Iterator[Step]:
    """Go to x_s = sqrt(alpha_bar_s) x_0_hat plus the noise seen in x_t, a share of it drawn anew.

    The new noise has the variance eta^2 beta_tilde, and the old one what is left of
    1 - alpha_bar_s. With eta = 0 the step is deterministic, and with eta = 1 it is that of
    `ancestral` (`[eq-ddim]`).

    Parameters
    ----------
    schedule, denoise
        T steps, and a denoiser for them.
    x_T
        Noise from N(0, I), shape (B, ...).
    eta
        0 to 1.
    generator
        Source of the noise that the steps add; None takes torch's global one.

    Yields
    ------
    Step
        T of them; x_s of the last is the sample.

    Raises
    ------
    ValueError
        At the first step, if `eta` is outside [0, 1] or `x_T` is not floating point.

    References
    ----------
    Song, Meng and Ermon (2021), equations 12 and 16.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must be in [0, 1], got {eta!r}")
    variance = eta**2 * schedule.beta_tilde
    kept = (1 - schedule.alpha_bar_s - variance).clamp(min=0)  # rounding may take 0 below 0
    x_t = x_T
    for step in range(schedule.T, 0, -1):
        t = torch.full((len(x_t),), step, device=x_t.device)
        x_0_hat = denoise(x_t, t)
        eps_hat = eps_from_x_0(schedule, x_t, x_0_hat, t)
        mean = at(schedule.alpha_bar_s.sqrt(), t, x_t) * x_0_hat + at(kept.sqrt(), t, x_t) * eps_hat
        x_s = mean + at(variance.sqrt(), t, x_t) * noise_like(x_t, generator)
        yield Step(step, x_t, x_0_hat, x_s)
        x_t = x_s


def last(steps: Iterator[Step]) -> Tensor:
    """Take all steps and return the sample, x_s of the last, keeping no other."""
    for step in steps:
        x_0 = step.x_s
    return x_0
