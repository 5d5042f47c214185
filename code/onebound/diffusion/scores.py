"""The score of noisy data, grad log q(x_t): what a denoiser knows of it, and walks along it.

A score is a function of points (B, ...) that returns a tensor like them.
"""

import math
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from onebound.checks import check_positive, check_same_shape
from onebound.diffusion.denoisers import Denoiser
from onebound.diffusion.process import Data, Steps, amplitudes
from onebound.diffusion.schedules import Schedule
from onebound.distributions import noise_like

Score = Callable[[Tensor], Tensor]


def score_from_x_0(schedule: Schedule, x_t: Data, x_0: Data, t: Steps) -> Data:
    """Return (sqrt(alpha_bar) x_0 - x_t) / (1 - alpha_bar), undoing `x_0_from_score`.

    For x_0 = E[x_0|x_t] it is the gradient of log q(x_t) in x_t, the score (`[eq-score]`,
    `[eq-fisher-conditional]`, `[eq-fisher-tweedie]`, `[eq-score-maps]`). Vincent (2011).
    """
    signal, noise = amplitudes(schedule, x_t, t, x_0=x_0)
    return (signal * x_0 - x_t) / noise**2


def x_0_from_score(schedule: Schedule, x_t: Data, score: Data, t: Steps) -> Data:
    """Return (x_t + (1 - alpha_bar) score) / sqrt(alpha_bar): Tweedie's formula for E[x_0|x_t].

    See `[eq-tweedie]`, `[eq-score-maps]`; Efron (2011). Not finite where alpha_bar is 0.
    """
    signal, noise = amplitudes(schedule, x_t, t, score=score)
    return (x_t + noise**2 * score) / signal


def score_of(schedule: Schedule, denoise: Denoiser, step: int) -> Score:
    """Return the score of q(x_t) that a denoiser claims at one step t (`[eq-fisher-tweedie]`)."""

    def score(x_t: Tensor) -> Tensor:
        t = torch.full((len(x_t),), step, device=x_t.device)
        return score_from_x_0(schedule, x_t, denoise(x_t, t), t)

    return score


@torch.no_grad()
def langevin(
    score: Score, x: Data, step: float, count: int, generator: Generator | None = None
) -> Iterator[Data]:
    """Take `count` steps x + step score(x) + sqrt(2 step) eps, and yield each x (`[eq-langevin]`).

    As steps shrink, the density whose score it is stays the same. ValueError if the step is not
    positive. Roberts and Tweedie (1996), who call it unadjusted.
    """
    check_positive(count=count)
    if not step > 0:
        raise ValueError(f"step must be positive, got {step!r}")
    for _ in range(count):
        x = x + step * score(x) + math.sqrt(2 * step) * noise_like(x, generator)
        yield x


def annealed_langevin(
    schedule: Schedule,
    denoise: Denoiser,
    x_T: Data,
    share: float,
    count: int,
    generator: Generator | None = None,
) -> Iterator[Data]:
    """Walk `count` Langevin steps at each t from T to 1, and yield where each level ends.

    The step is `share` of the variance 1 - alpha_bar_t of the noise. Song and Ermon (2019).
    """
    x = x_T
    for t in range(schedule.T, 0, -1):
        step = share * float(schedule.noise_variance[t])
        for moved in langevin(score_of(schedule, denoise, t), x, step, count, generator):
            x = moved
        yield x


def fisher_terms(one: Data, other: Data) -> Float[Tensor, "B"]:
    """Squared distance of two scores at points drawn from q (`[eq-fisher-divergence]`).

    The mean is the Fisher divergence of the two densities.
    """
    check_same_shape(one=one, other=other)
    return ((one - other) ** 2).flatten(1).sum(1)


def fisher_weights(schedule: Schedule) -> Float[Tensor, "steps"]:
    """Return the table of what a Fisher divergence costs in the bound (`[eq-fisher-step]`).

    What a squared error costs, times (1 - alpha_bar)^2 / alpha_bar; entries 0 and 1 are 0.
    """
    return half_lost_snr(schedule) * schedule.noise_variance / schedule.snr


def half_lost_snr(schedule: Schedule) -> Float[Tensor, "steps"]:
    """Half of the SNR that each step loses, what the bound multiplies the error of x_0_hat by.

    See `[eq-step-snr]`; entries 0 and 1 are 0.
    """
    lost = (schedule.snr[1:-1] - schedule.snr[2:]) / 2
    return torch.cat([lost.new_zeros(2), lost])
