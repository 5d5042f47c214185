"""Noise schedules: how much of the image is left after t steps.

A schedule of T steps is the sequence alpha_bar_0 = 1 > alpha_bar_1 > ... > alpha_bar_T >= 0. It is
float64 and of length T + 1, so that index t is step t and entry 0 the clean image. All else is
derived from it, with the same type and length. A new schedule is one function that returns a
`Schedule`.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from onebound.checks import check_alpha_bar, check_positive, check_times

MAX_BETA = 0.999
"""Where `cosine_schedule` clips beta: without it the last step would leave nothing."""


@dataclass(frozen=True, eq=False)
class Schedule:
    """x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps, with eps from N(0, I).

    See `[eq-q-marginal]`.

    Attributes
    ----------
    alpha_bar
        Share of the variance of x_t that is signal, for data of unit variance; shape (T + 1,),
        float64, from 1 at t = 0 strictly downwards. 0 is allowed at t = T only, and then eps does
        not determine x_0 there.

    Raises
    ------
    ValueError
        If `alpha_bar` is not such a sequence.

    References
    ----------
    Ho, Jain and Abbeel (2020), section 2.
    """

    alpha_bar: Tensor

    def __post_init__(self) -> None:
        check_alpha_bar(self.alpha_bar)

    @property
    def T(self) -> int:
        """Number of steps."""
        return len(self.alpha_bar) - 1

    @cached_property
    def alpha_bar_s(self) -> Tensor:
        """alpha_bar one step earlier: entry t is alpha_bar_s, s = t - 1; entry 0 is 1."""
        return torch.cat([self.alpha_bar[:1], self.alpha_bar[:-1]])

    @cached_property
    def beta(self) -> Tensor:
        """Variance of one step, 1 - alpha_bar_t / alpha_bar_s; entry 0 is 0 (`[eq-q-step]`)."""
        # The difference of two close numbers is exact; the quotient, subtracted from 1, is not.
        return (self.alpha_bar_s - self.alpha_bar) / self.alpha_bar_s

    @cached_property
    def alpha(self) -> Tensor:
        """Share of the variance that a step keeps, 1 - beta_t; entry 0 is 1 (`[eq-q-step]`)."""
        return self.alpha_bar / self.alpha_bar_s

    @cached_property
    def beta_tilde(self) -> Tensor:
        """Variance of q(x_s|x_t, x_0) (`[eq-posterior-variance]`).

        0 at t = 1, where x_s is x_0 itself, and in entry 0.

        References
        ----------
        Ho, Jain and Abbeel (2020), equation 7.
        """
        inner = (1 - self.alpha_bar_s) / (1 - self.alpha_bar) * self.beta
        return torch.cat([self.beta[:1], inner[1:]])

    @cached_property
    def snr(self) -> Tensor:
        """Signal-to-noise ratio alpha_bar_t / (1 - alpha_bar_t), falling (`[eq-snr]`).

        Entry 0 is infinite.
        """
        return self.alpha_bar / (1 - self.alpha_bar)

    @cached_property
    def log_snr(self) -> Tensor:
        """Log of `snr`, falling; entry 0 is infinite (`[eq-snr]`)."""
        return torch.log(self.alpha_bar) - torch.log1p(-self.alpha_bar)


def at(values: Tensor, t: Tensor, x: Tensor) -> Tensor:
    """Look up one number per example and shape it so that it multiplies x.

    Parameters
    ----------
    values
        A sequence over steps, shape (T + 1,), float64.
    t
        The step of each example, 1 to T, int64, shape (B,).
    x
        Floating point, shape (B, ...).

    Returns
    -------
    Tensor
        values[t] in the type and on the device of `x`, shape (B, 1, ..., 1) with as many axes.

    Raises
    ------
    ValueError
        If `t` is not one whole number from 1 to T for each example, or `x` not floating point.
    """
    check_times(t, len(values) - 1, x)
    return values.to(x)[t].reshape(-1, *[1] * (x.ndim - 1))


def schedule_from_beta(beta: Tensor) -> Schedule:
    """Multiply up alpha_bar_t = (1 - beta_1) ... (1 - beta_t) (`[eq-alpha-bar]`).

    Parameters
    ----------
    beta
        beta_1 to beta_T, each in (0, 1), shape (T,), float64.

    Raises
    ------
    ValueError
        As `Schedule`.
    """
    return Schedule(torch.cat([beta.new_ones(1), torch.cumprod(1 - beta, 0)]))


def linear_schedule(T: int, beta_1: float = 1e-4, beta_T: float = 0.02) -> Schedule:
    """beta_t grows linearly from beta_1 to beta_T (`[eq-linear-schedule]`).

    The defaults are meant for T = 1000. With fewer steps they leave signal in x_T.

    Parameters
    ----------
    T
        Number of steps.
    beta_1, beta_T
        The ends, both in (0, 1).

    Raises
    ------
    ValueError
        If `T` is below 1, and as `Schedule`.

    References
    ----------
    Ho, Jain and Abbeel (2020), section 4.
    """
    check_positive("T", T)
    return schedule_from_beta(torch.linspace(beta_1, beta_T, T, dtype=torch.float64))


def cosine_schedule(T: int, offset: float = 0.008) -> Schedule:
    """alpha_bar_t = f(t) / f(0), f(t) = cos^2(pi / 2 (t / T + offset) / (1 + offset)).

    See `[eq-cosine-schedule]`. beta is clipped at 0.999 and alpha_bar multiplied up again from the
    clipped betas, so that both describe the same process.

    Parameters
    ----------
    T
        Number of steps.
    offset
        At least 0; keeps the first steps from being too small.

    Raises
    ------
    ValueError
        If `T` is below 1, and as `Schedule`.

    References
    ----------
    Nichol and Dhariwal (2021), equation 17.
    """
    check_positive("T", T)
    u = torch.arange(T + 1, dtype=torch.float64) / T
    f = torch.cos(math.pi / 2 * (u + offset) / (1 + offset)) ** 2
    return schedule_from_beta(((f[:-1] - f[1:]) / f[:-1]).clamp(max=MAX_BETA))


def log_snr_schedule(T: int, first: float = 13.3, last: float = -5.0) -> Schedule:
    """Log-SNR falls linearly, `first` at t = 1 and `last` at t = T (`[eq-log-snr-schedule]`).

    The ends do not depend on T, and the steps between them shrink evenly as T grows, so that sums
    over steps tend to an integral. Under the linear and the cosine schedule the SNR falls over the
    first steps by factors near 2, 3 / 2, 4 / 3, ... for every T.

    Parameters
    ----------
    T
        Number of steps; 1 leaves `first` only.
    first, last
        Log of alpha_bar / (1 - alpha_bar) at both ends. The defaults are the paper's for images of
        256 grey levels.

    Raises
    ------
    ValueError
        If `T` is below 1, and as `Schedule`.

    References
    ----------
    Kingma, Salimans, Poole and Ho (2021).
    """
    check_positive("T", T)
    later = torch.sigmoid(torch.linspace(first, last, T, dtype=torch.float64))
    return Schedule(torch.cat([later.new_ones(1), later]))
