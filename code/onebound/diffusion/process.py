"""The process that adds noise: q(x_t|x_0), one step of it, and the step back when x_0 is known."""

from torch import Tensor

from onebound.checks import check_same_shape
from onebound.diffusion.schedules import Schedule, at


def q_xt_x0(schedule: Schedule, x_0: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of q(x_t|x_0), all t steps at once (`[eq-q-marginal]`).

    Chapter 7 writes it as `[eq-chain-marginal]`.

    Parameters
    ----------
    schedule
        T steps.
    x_0, t
        Data, shape (B, ...), and steps, shape (B,).

    Returns
    -------
    tuple of Tensor
        Mean, the shape of `x_0`, and variance, shape (B, 1, ..., 1).

    References
    ----------
    Ho, Jain and Abbeel (2020), equation 4.
    """
    return at(schedule.alpha_bar.sqrt(), t, x_0) * x_0, at(1 - schedule.alpha_bar, t, x_0)


def q_xt_xs(schedule: Schedule, x_s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of q(x_t|x_s), one step (`[eq-q-step]`).

    Parameters
    ----------
    schedule
        T steps.
    x_s, t
        Data after s = t - 1 steps, shape (B, ...), and t, shape (B,).

    Returns
    -------
    tuple of Tensor
        Mean, the shape of `x_s`, and variance, shape (B, 1, ..., 1).

    References
    ----------
    Ho, Jain and Abbeel (2020), equation 2.
    """
    return at(schedule.alpha.sqrt(), t, x_s) * x_s, at(schedule.beta, t, x_s)


def q_xs_xt_x0(schedule: Schedule, x_t: Tensor, x_0: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Mean mu_tilde and variance beta_tilde of q(x_s|x_t, x_0), the step back if x_0 were known.

    See `[eq-posterior-step]`, with `[eq-posterior-mean]` and `[eq-posterior-variance]`.

    Parameters
    ----------
    schedule
        T steps.
    x_t, x_0
        Data with and without noise, equal shapes (B, ...).
    t
        Steps, shape (B,).

    Returns
    -------
    tuple of Tensor
        Mean, the shape of `x_t`, and variance, shape (B, 1, ..., 1). At t = 1 they are x_0 and 0.

    References
    ----------
    Ho, Jain and Abbeel (2020), equations 6 and 7.
    """
    check_same_shape(x_t=x_t, x_0=x_0)
    alpha_bar, alpha_bar_s = schedule.alpha_bar, schedule.alpha_bar_s
    on_x_t = schedule.alpha.sqrt() * (1 - alpha_bar_s) / (1 - alpha_bar)
    mu_tilde = at(weight_of_x_0(schedule), t, x_t) * x_0 + at(on_x_t, t, x_t) * x_t
    return mu_tilde, at(schedule.beta_tilde, t, x_t)


def weight_of_x_0(schedule: Schedule) -> Tensor:
    """Return what mu_tilde multiplies x_0 by, shape (T + 1,); 1 at t = 1 (`[eq-reverse-mean]`)."""
    return schedule.alpha_bar_s.sqrt() * schedule.beta / (1 - schedule.alpha_bar)


def sample_xt(schedule: Schedule, x_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """Draw from q(x_t|x_0) with given noise, x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps.

    See `[eq-q-marginal]`.

    Parameters
    ----------
    schedule
        T steps.
    x_0, eps
        Data and noise, equal shapes (B, ...).
    t
        Steps, shape (B,).

    Returns
    -------
    Tensor
        x_t, the shape of `x_0`.
    """
    check_same_shape(x_0=x_0, eps=eps)
    mean, variance = q_xt_x0(schedule, x_0, t)
    return mean + variance.sqrt() * eps
