"""Diffusion in continuous time: the reverse SDE, the probability-flow ODE, and its likelihood.

The clock is the log-SNR lambda, which falls from step to step, so that a schedule is only a grid on
it: x_t = alpha x_0 + sigma eps with alpha^2 = alpha_bar and sigma^2 = 1 - alpha_bar. A method takes
the steps of its schedule as they are; put in more, and it comes nearer to the limit. A denoiser is
asked at steps of the grid only. Nothing here trains anything.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from onebound.checks import (
    check_per_step,
    check_positive,
    check_same_shape,
    check_times,
    trusting,
)
from onebound.diffusion.denoisers import Denoiser
from onebound.diffusion.process import Data, Steps, amplitudes
from onebound.diffusion.samplers import Step
from onebound.diffusion.schedules import Schedule, at
from onebound.diffusion.scores import Score, half_lost_snr, score_from_x_0
from onebound.distributions import log_prob_normal, noise_like

Table = Float[Tensor, "steps"]


@lru_cache(maxsize=64)
def diffused(schedule: Schedule) -> Table:
    """Return beta(t) dt integrated over each step, -log alpha_t; entry 0 is 0 (`[eq-sde-rate]`)."""
    return -torch.log1p(-schedule.beta)


@torch.no_grad()
def reverse_sde(
    schedule: Schedule,
    denoise: Denoiser,
    x_T: Data,
    churn: float = 1.0,
    generator: Generator | None = None,
) -> Iterator[Step]:
    """Take Euler-Maruyama steps of the reverse SDE, from t = T to 1 (`[eq-sde-family]`).

    `churn`, not negative, is the amplitude of the noise over that of the forward process: 1 is the
    reverse SDE (`[eq-sde-reverse]`), and 0 the probability-flow ODE without any noise. ValueError
    if x_T is noise alone. Anderson (1982); Song et al. (2021), equation 6.
    """
    if not 0 <= churn < math.inf:
        raise ValueError(f"churn must be finite and not negative, got {churn!r}")
    _check_signal(schedule)
    drift, pull = diffused(schedule) / 2, diffused(schedule) * (1 + churn**2) / 2
    deviation = churn * diffused(schedule).sqrt()
    x_t = x_T
    for step in range(schedule.T, 0, -1):
        t = torch.full((len(x_t),), step, device=x_t.device)
        x_0_hat = denoise(x_t, t)
        with trusting():
            score = score_from_x_0(schedule, x_t, x_0_hat, t)
            mean = x_t + at(drift, t, x_t) * x_t + at(pull, t, x_t) * score
            x_s = mean + at(deviation, t, x_t) * noise_like(x_t, generator)
        yield Step(step, x_t, x_0_hat, x_s)
        x_t = x_s


def flow_velocity(schedule: Schedule, x_t: Data, x_0: Data, t: Steps) -> Data:
    """Return d x / d lambda of the probability-flow ODE, alpha (x_0 - alpha x_t) / 2.

    With E[x_0|x_t] for x_0 (`[eq-sde-flow]`). Song et al. (2021), equation 13.
    """
    check_same_shape(x_t=x_t, x_0=x_0)
    signal, _ = amplitudes(schedule, x_t, t)
    return 0.5 * signal * (x_0 - signal * x_t)


def signs_like(x: Data, count: int, generator: Generator | None = None) -> Float[Tensor, "S B ..."]:
    """Draw `count` probes for each example, 1 or -1 in each place with equal chances."""
    coins = torch.rand(count, *x.shape, dtype=x.dtype, device=x.device, generator=generator)
    return 2 * (coins < 0.5).to(x.dtype) - 1


def axes_like(x: Float[Tensor, "B D"]) -> Float[Tensor, "D B D"]:
    """Return the probes sqrt(D) e_i, whose mean in `divergence` is the divergence exactly."""
    size = x.shape[1]
    axes = torch.eye(size, dtype=x.dtype, device=x.device) * size**0.5
    return axes[:, None].expand(size, *x.shape)


def divergence(
    field: Score, x: Data, probes: Float[Tensor, "S B ..."]
) -> tuple[Data, Float[Tensor, "S B"]]:
    """Return the field at x, and v^T J v for each probe v, J its Jacobian (`[eq-sde-hutchinson]`).

    If the second moment of the probes is I, the mean over them is the divergence. Hutchinson
    (1990), with signs drawn at random.
    """
    check_same_shape(probe=probes[0], x=x)
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        value = field(x)
        found = []
        for probe in probes:
            (pulled,) = torch.autograd.grad(value, x, probe, retain_graph=True)
            found.append((pulled * probe).flatten(1).sum(1))
    return value.detach(), torch.stack(found)


class FlowLikelihood(NamedTuple):
    """Log-density of x_1 under the probability-flow ODE, nats (`[eq-sde-likelihood]`)."""

    log_prior: Float[Tensor, "B"]
    """Log of N(x_T; 0, I) where the path from x_1 ends."""
    log_volume: Float[Tensor, "S B"]
    """Divergence integrated along the path, for each probe: log of how volumes change."""
    x_T: Float[Tensor, "B ..."]

    @property
    def log_prob(self) -> Tensor:
        """The whole for each probe, shape (S, B)."""
        return self.log_prior + self.log_volume


def flow_log_likelihood(
    schedule: Schedule, denoise: Denoiser, x_1: Data, probes: Float[Tensor, "S B ..."]
) -> FlowLikelihood:
    """Follow the probability-flow ODE from step 1 to T by Heun's method, divergence included.

    A step evaluates the denoiser twice, and goes back through it once for each probe. Song et al.
    (2021), appendix D.2; Chen et al. (2018). ValueError if there is no probe, or x_T is noise
    alone.
    """
    _check_signal(schedule)
    check_positive(probes=len(probes))
    check_times(torch.ones(len(x_1), dtype=torch.int64, device=x_1.device), schedule.T, x_1)
    widths = schedule.log_snr[2:] - schedule.log_snr[1:-1]

    def moving(x: Tensor, step: int) -> tuple[Tensor, Tensor]:
        t = torch.full((len(x),), step, device=x.device)
        return divergence(lambda y: flow_velocity(schedule, y, denoise(y, t), t), x, probes)

    x, volume = x_1, x_1.new_zeros(len(probes), len(x_1))
    for step, width in enumerate(widths.tolist(), start=1):
        first, growth = moving(x, step)
        second, more = moving(x + width * first, step + 1)
        x = x + width / 2 * (first + second)
        volume = volume + width / 2 * (growth + more)
    zero = x.new_zeros(())
    return FlowLikelihood(log_prob_normal(x, zero, zero), volume, x)


def _check_signal(schedule: Schedule) -> None:
    if schedule.alpha_bar[-1] == 0:
        raise ValueError("log-SNR ends at -infinity: take a schedule that leaves some signal")


def loss_integral(log_snr: Float[Tensor, "K"], error: Float[Tensor, "K"]) -> Float[Tensor, ""]:
    """Half of the integral of SNR times the squared error over a falling log-SNR, nats.

    By the trapezoidal rule (`[eq-sde-bound]`); all of the bound in continuous time that has the
    denoiser in it. ValueError if the log-SNR does not fall. Kingma, Salimans, Poole and Ho (2021),
    equation 14.
    """
    check_same_shape(log_snr=log_snr, error=error)
    if not (log_snr.diff() < 0).all():
        raise ValueError(f"expected a log-SNR that falls, got {log_snr.tolist()}")
    return -0.5 * torch.trapezoid(log_snr.exp() * error, log_snr)


def level_weights(schedule: Schedule, weight: Table) -> Table:
    """Return how much a weighted loss counts the bound of data noised to each step.

    `weight` is that of the squared error of x_0_hat at each step. Entry t is the weight of the
    bound of x_{t-1}, the terms from t on (`[eq-sde-levels]`); entries 0 and 1 are 0. The loss is a
    mean of bounds if none is negative. Kingma and Gao (2023).
    """
    check_per_step("weight", weight, schedule.T)
    relative = weight[2:].double() / half_lost_snr(schedule)[2:]
    return torch.cat([relative.new_zeros(2), relative[:1], relative.diff()])
