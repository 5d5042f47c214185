"""Noise schedules: how much of the image is left after t steps.

A schedule of T steps is the sequence alpha_bar_0 = 1 > alpha_bar_1 > ... > alpha_bar_T >= 0. It is
float64, on the host and of length T + 1, so that index t is step t and entry 0 the clean image. All
else is derived from it, with the same type and length: a *table* of the steps, of which `at` takes
numbers in the type and on the device of data. ValueError if what is asked for is no such sequence.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import torch
from jaxtyping import Float, Float64, Int64, Shaped
from torch import Tensor

from onebound.checks import check_alpha_bar, check_positive, check_times

Table = Float[Tensor, "steps"]


@dataclass(frozen=True, eq=False)
class Schedule:
    """x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps, with eps from N(0, I).

    See `[eq-q-marginal]`; Ho, Jain and Abbeel (2020), section 2. `alpha_bar` is the share of signal
    in the variance of x_t, for data of unit variance. It may be 0 at t = T only.
    """

    alpha_bar: Float64[Tensor, "steps"]

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
    def noise_variance(self) -> Tensor:
        """Share of the variance of x_t that is noise, 1 - alpha_bar."""
        return 1 - self.alpha_bar

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
        """Variance of q(x_s|x_t, x_0), 0 at t = 1 and in entry 0 (`[eq-posterior-variance]`)."""
        inner = (1 - self.alpha_bar_s) / self.noise_variance * self.beta
        return torch.cat([self.beta[:1], inner[1:]])

    @cached_property
    def snr(self) -> Tensor:
        """Signal-to-noise ratio alpha_bar / (1 - alpha_bar); entry 0 is infinite (`[eq-snr]`)."""
        return self.alpha_bar / self.noise_variance

    @cached_property
    def log_snr(self) -> Tensor:
        """Log of `snr`, falling; entry 0 is infinite (`[eq-snr]`)."""
        return torch.log(self.alpha_bar) - self.log_noise_variance

    @cached_property
    def log_noise_variance(self) -> Tensor:
        """Log of 1 - alpha_bar; entry 0 is minus infinity."""
        # log1p: where alpha_bar is close to 0, its difference from 1 loses its digits.
        return torch.log1p(-self.alpha_bar)

    @cached_property
    def amplitudes(self) -> tuple[Tensor, Tensor]:
        """Roots of alpha_bar and of 1 - alpha_bar: of the signal and of the noise in x_t."""
        return self.alpha_bar.sqrt(), self.noise_variance.sqrt()

    @cached_property
    def alpha_root(self) -> Tensor:
        """Root of alpha: what one step multiplies by."""
        return self.alpha.sqrt()


def remembered(compute: Callable[..., Any], *arguments: Any) -> Any:
    """Return ``compute(*arguments)``, computed again only if a tensor among them has changed.

    So a loop takes its numbers from the host once. What asks for a gradient is computed each time.
    """
    tensors = [one for one in arguments if isinstance(one, Tensor)]
    if any(one.requires_grad or one.is_inference() for one in tensors):
        return compute(*arguments)
    return _remembered(compute, tuple(one._version for one in tensors), *arguments)


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _remembered(compute: Callable[..., Any], versions: tuple[int, ...], *arguments: Any) -> Any:
    return compute(*arguments)


def like(table: Shaped[Tensor, "*shape"], x: Tensor) -> Shaped[Tensor, "*shape"]:
    """Return a table in the type and on the device of x; one copy of each is kept."""
    return remembered(_converted, table, x.dtype, x.device)


def _converted(table: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    return table.to(dtype).to(device)  # in this order: not every device has float64


def at(table: Table, t: Int64[Tensor, "B"], x: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
    """Look up one number per example, shape (B, 1, ..., 1), so that it multiplies x."""
    check_times(t, len(table) - 1, x)
    return like(table, x)[t].reshape(-1, *[1] * (x.ndim - 1))


def schedule_from_beta(beta: Float64[Tensor, "T"]) -> Schedule:
    """Multiply up alpha_bar_t = (1 - beta_1) ... (1 - beta_t), beta in (0, 1): `[eq-alpha-bar]`."""
    return Schedule(torch.cat([beta.new_ones(1), torch.cumprod(1 - beta, 0)]))


def linear_schedule(T: int, beta_1: float = 1e-4, beta_T: float = 0.02) -> Schedule:
    """beta_t grows linearly from beta_1 to beta_T, both in (0, 1) (`[eq-linear-schedule]`).

    The defaults are for T = 1000: fewer steps leave signal. Ho, Jain and Abbeel (2020), section 4.
    """
    check_positive(T=T)
    return schedule_from_beta(torch.linspace(beta_1, beta_T, T, dtype=torch.float64))


def cosine_schedule(T: int, offset: float = 0.008) -> Schedule:
    """alpha_bar_t = f(t) / f(0), f(t) = cos^2(pi / 2 (t / T + offset) / (1 + offset)).

    See `[eq-cosine-schedule]`; Nichol and Dhariwal (2021), equation 17. The offset, at least 0,
    keeps the first steps from being too small. beta is clipped at 0.999, without which the last one
    would leave nothing, and alpha_bar multiplied up again.
    """
    check_positive(T=T)
    u = torch.arange(T + 1, dtype=torch.float64) / T
    f = torch.cos(math.pi / 2 * (u + offset) / (1 + offset)) ** 2
    return schedule_from_beta(((f[:-1] - f[1:]) / f[:-1]).clamp(max=0.999))


def log_snr_schedule(T: int, first: float = 13.3, last: float = -5.0) -> Schedule:
    """Log-SNR falls linearly, `first` at t = 1 and `last` at t = T (`[eq-log-snr-schedule]`).

    The defaults are those of Kingma, Salimans, Poole and Ho (2021) for images of 256 grey levels.
    T = 1 leaves `first` only.
    """
    check_positive(T=T)
    later = torch.sigmoid(torch.linspace(first, last, T, dtype=torch.float64))
    return Schedule(torch.cat([later.new_ones(1), later]))
