"""The process that adds noise: q(x_t|x_0), one step of it, and the step back when x_0 is known.

Means have the shape of the data, variances (B, 1, ..., 1).
"""

from functools import lru_cache

from jaxtyping import Float, Int64
from torch import Tensor

from onebound.checks import check_same_shape
from onebound.diffusion.schedules import Schedule, at

Data = Float[Tensor, "B ..."]
Steps = Int64[Tensor, "B"]


def q_xt_x0(schedule: Schedule, x_0: Data, t: Steps) -> tuple[Data, Data]:
    """Mean and variance of q(x_t|x_0), all t steps at once (`[eq-q-marginal]`).

    Chapter 9 writes it as `[eq-chain-marginal]`. Ho, Jain and Abbeel (2020), equation 4.
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
def weight_of_x_0(schedule: Schedule) -> Float[Tensor, "steps"]:
    """Return the table of what mu_tilde multiplies x_0 by; 1 at t = 1 (`[eq-reverse-mean]`)."""
    return schedule.alpha_bar_s.sqrt() * schedule.beta / schedule.noise_variance


@lru_cache(maxsize=64)
def weight_of_x_t(schedule: Schedule) -> Float[Tensor, "steps"]:
    """Return the table of what mu_tilde multiplies x_t by; 0 at t = 1 (`[eq-posterior-mean]`)."""
    return schedule.alpha_root * (1 - schedule.alpha_bar_s) / schedule.noise_variance


def sample_xt(schedule: Schedule, x_0: Data, eps: Data, t: Steps) -> Data:
    """Draw from q(x_t|x_0) with given noise, x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps.

    See `[eq-q-marginal]`.
    """
    check_same_shape(x_0=x_0, eps=eps)
    mean, variance = q_xt_x0(schedule, x_0, t)
    return mean + variance.sqrt() * eps
