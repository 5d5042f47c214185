"""The process that adds noise: q(x_t|x_0), one step of it, and the step back when x_0 is known.

Means have the shape of the data, variances (B, 1, ..., 1). Of x_0, eps and
v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x_0, x_t and one determine the others: the maps
`..._from_...` take a schedule, x_t, what there is and steps t, and return what is asked, like x_t.
"""

from collections.abc import Callable
from functools import lru_cache

from jaxtyping import Float, Int64
from torch import Tensor

from onebound.checks import check_same_shape
from onebound.diffusion.schedules import Schedule, Table, at

Data = Float[Tensor, "B ..."]
Steps = Int64[Tensor, "B"]
X0From = Callable[[Schedule, Tensor, Tensor, Tensor], Tensor]  # (schedule, x_t, answer, t) to x_0


def q_xt_x0(schedule: Schedule, x_0: Data, t: Steps) -> tuple[Data, Data]:
    """Mean and variance of q(x_t|x_0), all t steps at once (`[eq-q-marginal]`).

    Of a chain of latents it is `[eq-chain-marginal]`. Ho, Jain and Abbeel (2020), equation 4.
    """
    signal, _ = schedule.amplitudes
    return at(signal, t, x_0) * x_0, at(schedule.noise_variance, t, x_0)


def q_xt_xs(schedule: Schedule, x_s: Data, t: Steps) -> tuple[Data, Data]:
    """Mean and variance of q(x_t|x_s), one step from s = t - 1 (`[eq-q-step]`).

    Ho, Jain and Abbeel (2020), equation 2.
    """
    return at(schedule.alpha_root, t, x_s) * x_s, at(schedule.beta, t, x_s)


def q_xs_xt_x0(schedule: Schedule, x_t: Data, x_0: Data, t: Steps) -> tuple[Data, Data]:
    """Mean mu_tilde and variance beta_tilde of q(x_s|x_t, x_0), the step back if x_0 were known.

    See `[eq-posterior-step]`, with `[eq-posterior-mean]` and `[eq-posterior-variance]`; at t = 1
    they are x_0 and 0. Ho, Jain and Abbeel (2020), equations 6 and 7.
    """
    check_same_shape(x_t=x_t, x_0=x_0)
    mu_tilde = at(weight_of_x_0(schedule), t, x_t) * x_0 + at(weight_of_x_t(schedule), t, x_t) * x_t
    return mu_tilde, at(schedule.beta_tilde, t, x_t)


@lru_cache(maxsize=64)
def weight_of_x_0(schedule: Schedule) -> Table:
    """Return the table of what mu_tilde multiplies x_0 by; 1 at t = 1 (`[eq-reverse-mean]`)."""
    return schedule.alpha_bar_s.sqrt() * schedule.beta / schedule.noise_variance


@lru_cache(maxsize=64)
def weight_of_x_t(schedule: Schedule) -> Table:
    """Return the table of what mu_tilde multiplies x_t by; 0 at t = 1 (`[eq-posterior-mean]`)."""
    return schedule.alpha_root * (1 - schedule.alpha_bar_s) / schedule.noise_variance


def sample_xt(schedule: Schedule, x_0: Data, eps: Data, t: Steps) -> Data:
    """Draw x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps, eps given (`[eq-q-marginal]`)."""
    check_same_shape(x_0=x_0, eps=eps)
    mean, variance = q_xt_x0(schedule, x_0, t)
    return mean + variance.sqrt() * eps


def x_0_from_eps(schedule: Schedule, x_t: Data, eps: Data, t: Steps) -> Data:
    """Solve x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps for x_0 (`[eq-x0-eps]`).

    For one step it is in `[eq-one-step-targets]`. Not finite where alpha_bar is 0.
    """
    signal, noise = amplitudes(schedule, x_t, t, eps=eps)
    return (x_t - noise * eps) / signal


def x_0_from_v(schedule: Schedule, x_t: Data, v: Data, t: Steps) -> Data:
    """Return sqrt(alpha_bar) x_t - sqrt(1 - alpha_bar) v; Salimans and Ho (2022).

    It undoes a rotation (`[eq-rotation]`, `[eq-x0-v]`; for one step `[eq-one-step-targets]`).
    """
    signal, noise = amplitudes(schedule, x_t, t, v=v)
    return signal * x_t - noise * v


def x_0_from_x_0(schedule: Schedule, x_t: Data, x_0: Data, t: Steps) -> Data:
    """Return `x_0`: the map of a network that puts out x_0_hat (`[eq-one-step-targets]`)."""
    check_same_shape(x_t=x_t, x_0=x_0)
    return x_0


def eps_from_x_0(schedule: Schedule, x_t: Data, x_0: Data, t: Steps) -> Data:
    """(x_t - sqrt(alpha_bar) x_0) / sqrt(1 - alpha_bar), undoing `x_0_from_eps` (`[eq-x0-eps]`)."""
    signal, noise = amplitudes(schedule, x_t, t, x_0=x_0)
    return (x_t - signal * x_0) / noise


def v_from_x_0(schedule: Schedule, x_t: Data, x_0: Data, t: Steps) -> Data:
    """(sqrt(alpha_bar) x_t - x_0) / sqrt(1 - alpha_bar), undoing `x_0_from_v` (`[eq-x0-v]`)."""
    signal, noise = amplitudes(schedule, x_t, t, x_0=x_0)
    return (signal * x_t - x_0) / noise


def mean_from_eps(schedule: Schedule, x_t: Data, eps: Data, t: Steps) -> Data:
    """Return (x_t - beta / sqrt(1 - alpha_bar) eps) / sqrt(alpha), mu_tilde in terms of eps.

    DDPM's step adds noise to it (`[eq-ddpm-step]`); Ho, Jain and Abbeel (2020), equation 11. Not
    finite where alpha is 0.
    """
    _, noise = amplitudes(schedule, x_t, t, eps=eps)
    share = at(schedule.beta, t, x_t) / noise
    return (x_t - share * eps) / at(schedule.alpha_root, t, x_t)


def amplitudes(schedule: Schedule, x_t: Data, t: Steps, **alike: Data) -> tuple[Data, Data]:
    """Roots of alpha_bar and 1 - alpha_bar at t, for x_t and others alike (`[eq-q-marginal]`)."""
    check_same_shape(x_t=x_t, **alike)
    # The root of 1 - alpha_bar is taken in float64: in float32 the difference loses its digits.
    signal, noise = schedule.amplitudes
    return at(signal, t, x_t), at(noise, t, x_t)
