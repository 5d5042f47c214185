"""What a network may put out: eps, x_0 or v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x_0."""

from collections.abc import Callable

from torch import Tensor

from onebound.checks import check_same_shape
from onebound.diffusion.schedules import Schedule, at

X0From = Callable[[Schedule, Tensor, Tensor, Tensor], Tensor]
"""(schedule, x_t, what a network puts out, t) to x_0_hat."""


def x_0_from_eps(schedule: Schedule, x_t: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """Solve x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps for x_0 (`[eq-x0-eps]`).

    For one step it is in `[eq-one-step-targets]`. Where alpha_bar is 0, x_t does not contain x_0,
    and the result is not finite.

    Parameters
    ----------
    schedule
        T steps.
    x_t, eps
        Equal shapes (B, ...).
    t
        Steps, shape (B,).

    Returns
    -------
    Tensor
        The shape of `x_t`.
    """
    check_same_shape(x_t=x_t, eps=eps)
    signal, noise = amplitudes(schedule, x_t, t)
    return (x_t - noise * eps) / signal


def x_0_from_v(schedule: Schedule, x_t: Tensor, v: Tensor, t: Tensor) -> Tensor:
    """Return sqrt(alpha_bar) x_t - sqrt(1 - alpha_bar) v; arguments as `x_0_from_eps`.

    (x_t, v) is (x_0, eps) turned by an angle whose cosine is sqrt(alpha_bar), and this turns it
    back (`[eq-rotation]`, `[eq-x0-v]`; for one step `[eq-one-step-targets]`).

    References
    ----------
    Salimans and Ho (2022).
    """
    check_same_shape(x_t=x_t, v=v)
    signal, noise = amplitudes(schedule, x_t, t)
    return signal * x_t - noise * v


def x_0_from_x_0(schedule: Schedule, x_t: Tensor, x_0: Tensor, t: Tensor) -> Tensor:
    """Return `x_0`: the map of a network that puts out x_0_hat; arguments as `x_0_from_eps`.

    For one step it is in `[eq-one-step-targets]`.
    """
    check_same_shape(x_t=x_t, x_0=x_0)
    return x_0


def eps_from_x_0(schedule: Schedule, x_t: Tensor, x_0: Tensor, t: Tensor) -> Tensor:
    """Return (x_t - sqrt(alpha_bar) x_0) / sqrt(1 - alpha_bar), undoing `x_0_from_eps`.

    See `[eq-x0-eps]`.
    """
    check_same_shape(x_t=x_t, x_0=x_0)
    signal, noise = amplitudes(schedule, x_t, t)
    return (x_t - signal * x_0) / noise


def v_from_x_0(schedule: Schedule, x_t: Tensor, x_0: Tensor, t: Tensor) -> Tensor:
    """Return (sqrt(alpha_bar) x_t - x_0) / sqrt(1 - alpha_bar), undoing `x_0_from_v`.

    See `[eq-x0-v]`.
    """
    check_same_shape(x_t=x_t, x_0=x_0)
    signal, noise = amplitudes(schedule, x_t, t)
    return (signal * x_t - x_0) / noise


def amplitudes(schedule: Schedule, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Roots of alpha_bar and 1 - alpha_bar at t, for data like x_t (`[eq-q-marginal]`)."""
    # The root of 1 - alpha_bar is taken in float64: in float32 the difference loses its digits.
    return at(schedule.alpha_bar.sqrt(), t, x_t), at((1 - schedule.alpha_bar).sqrt(), t, x_t)
