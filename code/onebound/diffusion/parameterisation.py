"""What a network may put out: eps, x_0 or v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x_0.

Each map takes a schedule, x_t, what there is and steps t, and returns what is asked, like x_t.
"""

from collections.abc import Callable

from torch import Tensor

from onebound.checks import check_same_shape
from onebound.diffusion.process import Data, Steps
from onebound.diffusion.schedules import Schedule, at

X0From = Callable[[Schedule, Tensor, Tensor, Tensor], Tensor]
"""(schedule, x_t, what a network puts out, t) to x_0_hat."""


def x_0_from_eps(schedule: Schedule, x_t: Data, eps: Data, t: Steps) -> Data:
    """Solve x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps for x_0 (`[eq-x0-eps]`).

    For one step it is in `[eq-one-step-targets]`. Where alpha_bar is 0, x_t does not contain x_0,
    and the result is not finite: `onebound.diffusion.denoisers.denoiser` refuses such a schedule.
    """
    check_same_shape(x_t=x_t, eps=eps)
    signal, noise = amplitudes(schedule, x_t, t)
    return (x_t - noise * eps) / signal


def x_0_from_v(schedule: Schedule, x_t: Data, v: Data, t: Steps) -> Data:
    """Return sqrt(alpha_bar) x_t - sqrt(1 - alpha_bar) v; Salimans and Ho (2022).

    (x_t, v) is (x_0, eps) turned by an angle whose cosine is sqrt(alpha_bar), and this turns it
    back (`[eq-rotation]`, `[eq-x0-v]`; for one step `[eq-one-step-targets]`).
    """
    check_same_shape(x_t=x_t, v=v)
    signal, noise = amplitudes(schedule, x_t, t)
    return signal * x_t - noise * v


def x_0_from_x_0(schedule: Schedule, x_t: Data, x_0: Data, t: Steps) -> Data:
    """Return `x_0`: the map of a network that puts out x_0_hat (`[eq-one-step-targets]`)."""
    check_same_shape(x_t=x_t, x_0=x_0)
    return x_0


def eps_from_x_0(schedule: Schedule, x_t: Data, x_0: Data, t: Steps) -> Data:
    """Return (x_t - sqrt(alpha_bar) x_0) / sqrt(1 - alpha_bar), undoing `x_0_from_eps`.

    See `[eq-x0-eps]`.
    """
    check_same_shape(x_t=x_t, x_0=x_0)
    signal, noise = amplitudes(schedule, x_t, t)
    return (x_t - signal * x_0) / noise


def v_from_x_0(schedule: Schedule, x_t: Data, x_0: Data, t: Steps) -> Data:
    """Return (sqrt(alpha_bar) x_t - x_0) / sqrt(1 - alpha_bar), undoing `x_0_from_v`.

    See `[eq-x0-v]`.
    """
    check_same_shape(x_t=x_t, x_0=x_0)
    signal, noise = amplitudes(schedule, x_t, t)
    return (signal * x_t - x_0) / noise


def amplitudes(schedule: Schedule, x_t: Data, t: Steps) -> tuple[Data, Data]:
    """Roots of alpha_bar and 1 - alpha_bar at t, for data like x_t (`[eq-q-marginal]`)."""
    # The root of 1 - alpha_bar is taken in float64: in float32 the difference loses its digits.
    signal, noise = schedule.amplitudes
    return at(signal, t, x_t), at(noise, t, x_t)
