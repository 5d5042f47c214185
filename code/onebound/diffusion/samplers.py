"""Samplers: from noise to data, step by step.

Each yields every step as it is taken, from x_T, noise from N(0, I), to t = 1: plot, stop, or keep
only the `last`. Fewer steps come from `respaced`, clipping from `clipped`. A `generator` is the
source of the noise that steps add. Arguments are checked in the first step: ValueError.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Generator

from onebound.checks import check_per_step, need, trusting
from onebound.diffusion.denoisers import Denoiser
from onebound.diffusion.process import Data, eps_from_x_0, q_xs_xt_x0
from onebound.diffusion.schedules import Schedule, Table, at
from onebound.distributions import noise_like


class Step(NamedTuple):
    """One step from x_t to x_s, s = t - 1; at t = 1, x_s is the sample."""

    t: int
    x_t: Data
    x_0_hat: Data  # the denoiser's guess at x_t
    x_s: Data


@torch.no_grad()
def ancestral(
    schedule: Schedule,
    denoise: Denoiser,
    x_T: Data,
    generator: Generator | None = None,
    variance: Table | None = None,
) -> Iterator[Step]:
    """Draw x_s from N(mu_tilde(x_t, x_0_hat), variance_t), for t from T to 1 (`[eq-ancestral]`).

    No `variance` takes beta_tilde, whose entry 1 is 0: no noise is added to x_0. A positive entry 1
    adds the decoder's. Ho, Jain and Abbeel (2020), algorithm 2.
    """
    variance = schedule.beta_tilde if variance is None else variance
    check_per_step("variance", variance, schedule.T)
    if not (variance[1:] >= 0).all():
        raise ValueError(f"variance must not be negative, got {variance[1:].min():g} or NaN")
    x_t, deviation = x_T, variance.sqrt()
    for step in range(schedule.T, 0, -1):
        with nullcontext() if step == schedule.T else trusting():
            t = torch.full((len(x_t),), step, device=x_t.device)
            x_0_hat = denoise(x_t, t)
            mu_tilde, _ = q_xs_xt_x0(schedule, x_t, x_0_hat, t)
            x_s = mu_tilde + at(deviation, t, x_t) * noise_like(x_t, generator)
        yield Step(step, x_t, x_0_hat, x_s)
        x_t = x_s


@torch.no_grad()
def ddim(
    schedule: Schedule, denoise: Denoiser, x_T: Data, eta: float, generator: Generator | None = None
) -> Iterator[Step]:
    """Go to x_s = sqrt(alpha_bar_s) x_0_hat plus the noise seen in x_t, a share of it drawn anew.

    The new noise has the variance eta^2 beta_tilde (`[eq-ddim]`): with eta = 0 there is none, and
    with eta = 1 the step is that of `ancestral`. Song, Meng and Ermon (2021), equations 12, 16.
    """
    need(0 <= eta <= 1, f"eta must be in [0, 1], got {eta!r}")
    variance = eta**2 * schedule.beta_tilde
    signal, deviation = schedule.alpha_bar_s.sqrt(), variance.sqrt()
    kept = (1 - schedule.alpha_bar_s - variance).clamp(min=0).sqrt()  # rounding may take 0 below 0
    x_t = x_T
    for step in range(schedule.T, 0, -1):
        with nullcontext() if step == schedule.T else trusting():
            t = torch.full((len(x_t),), step, device=x_t.device)
            x_0_hat = denoise(x_t, t)
            eps_hat = eps_from_x_0(schedule, x_t, x_0_hat, t)
            mean = at(signal, t, x_t) * x_0_hat + at(kept, t, x_t) * eps_hat
            x_s = mean + at(deviation, t, x_t) * noise_like(x_t, generator)
        yield Step(step, x_t, x_0_hat, x_s)
        x_t = x_s


def last(steps: Iterator[Step]) -> Data:
    """Take all steps and return the sample, x_s of the last, keeping no other."""
    for step in steps:
        x_0 = step.x_s
    return x_0
