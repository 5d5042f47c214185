"""The evidence lower bound of a diffusion model, term by term, in nats per example."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from onebound.checks import check_per_step, check_variance
from onebound.diffusion.denoisers import Denoiser
from onebound.diffusion.loss import squared_error, stratified_t
from onebound.diffusion.process import q_xt_x0, sample_xt, weight_of_x_0
from onebound.diffusion.schedules import Schedule, at
from onebound.distributions import kl_normal_standard, noise_like
from onebound.likelihoods import log_prob_discretised_normal


class Bound(NamedTuple):
    """The three groups of terms of the evidence lower bound, in nats per example.

    See `[eq-diffusion-bound]`.

    `log_likelihood`, shape (B,), is an estimate of E[log p(x_0|x_1)]. Column t of `kl_steps`, shape
    (B, T + 1), is an estimate of E[KL(q(x_s|x_t, x_0) || p(x_s|x_t))] for t from 2 to T; columns 0
    and 1 are 0. `kl_prior`, shape (B,), is KL(q(x_T|x_0) || N(0, I)), exactly.

    References
    ----------
    Ho, Jain and Abbeel (2020), equation 5, with the sign of a bound from below.
    """

    log_likelihood: Tensor
    kl_steps: Tensor
    kl_prior: Tensor

    @property
    def elbo(self) -> Tensor:
        """The bound itself, shape (B,)."""
        return self.log_likelihood - self.kl_steps.sum(1) - self.kl_prior


def reverse_variance(schedule: Schedule) -> Tensor:
    """Variances of the model's steps p(x_s|x_t): beta_tilde, and beta_1 for the decoder at t = 1.

    See `[eq-posterior-variance]`, and `[eq-optimal-variance]` for what would be best.

    With beta_tilde, step and model differ in their means only, and a term of the bound is half the
    difference of the SNRs times the squared error of x_0_hat. The decoder p(x_0|x_1) has to be
    different: beta_tilde_1 is 0, since whoever knows x_0 draws it without noise. A model that puts
    all its mass on x_0_hat gives every other image the probability 0. beta_1 is about the variance
    of x_0 given x_1 if the data vary much more than the first step's noise. It is a choice like any
    other: replace entry 1, or all entries, and optimise them.

    Returns
    -------
    Tensor
        Entry t for step t, shape (T + 1,), float64; `schedule.beta` is the other usual choice.

    References
    ----------
    Ho, Jain and Abbeel (2020), sections 3.2 and 3.3.
    """
    return torch.cat([schedule.beta[:2], schedule.beta_tilde[2:]])


def optimal_variance(schedule: Schedule, error: Tensor, dims: int = 784) -> Tensor:
    """Return the variances of p(x_s|x_t) that make the bound largest (`[eq-optimal-variance]`).

    Each is beta_tilde plus the variance of mu_tilde that not knowing x_0 leaves.

    Parameters
    ----------
    schedule
        T steps.
    error
        Mean of ||x_0 - x_0_hat||^2 at each step, shape (T + 1,); entry 0 is not used.
    dims
        D, the dimensions of x_0.

    Returns
    -------
    Tensor
        Entry t for step t, shape (T + 1,), in the type of `error`.

    Raises
    ------
    ValueError
        If `error` has another shape.

    References
    ----------
    Bao, Li, Zhu and Zhang (2022).
    """
    check_per_step("error", error, schedule.T)
    inner = schedule.beta_tilde + weight_of_x_0(schedule) ** 2 * error / dims
    return torch.cat([error.new_zeros(1), inner[1:]])


def kl_coefficients(schedule: Schedule, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Weight and excess of each step's divergence, weight ||x_0 - x_0_hat||^2 + D excess.

    The divergence is KL(q(x_s|x_t, x_0) || p(x_s|x_t)) in D dimensions, where p has the variance
    given and the mean mu_tilde with x_0_hat in the place of x_0 (`[eq-step-kl-x0]`). For the
    variance beta_tilde the weight is (SNR_s - SNR_t) / 2 (`[eq-kl-weight]`) and the excess 0
    (`[eq-step-snr]`).

    Parameters
    ----------
    schedule
        T steps.
    variance
        Of p(x_s|x_t), entry t for step t, shape (T + 1,).

    Returns
    -------
    tuple of Tensor
        Entry t for step t, shapes (T + 1,); entries 0 are 0. At t = 1 the excess is infinite, since
        q has no width there. The weight at t = 1 is that of the squared error in minus the log of a
        normal decoder p(x_0|x_1).

    Raises
    ------
    ValueError
        If `variance` has another shape or is not positive from t = 1 on.

    References
    ----------
    Ho, Jain and Abbeel (2020), equation 8; Kingma, Salimans, Poole and Ho (2021).
    """
    check_variance(variance, schedule.T)
    variance = variance[1:].to(schedule.alpha_bar)
    weight = weight_of_x_0(schedule)[1:] ** 2 / (2 * variance)
    log_ratio = torch.log(schedule.beta_tilde[1:]) - torch.log(variance)
    # expm1 keeps the digits that exp(log_ratio) - 1 loses where the variances are close.
    excess = 0.5 * (torch.expm1(log_ratio) - log_ratio)
    zero = weight.new_zeros(1)
    return torch.cat([zero, weight]), torch.cat([zero, excess])


def kl_prior(schedule: Schedule, x_0: Tensor) -> Tensor:
    """KL(q(x_T|x_0) || N(0, I)): what of x_0 is left after T steps (`[eq-prior-term]`).

    Parameters
    ----------
    schedule
        T steps.
    x_0
        Shape (B, ...).

    Returns
    -------
    Tensor
        Nats, shape (B,), 0 only if alpha_bar_T is 0.
    """
    T = torch.full((len(x_0),), schedule.T, device=x_0.device)
    mean, _ = q_xt_x0(schedule, x_0, T)
    # log1p: close to 0, where a good schedule ends, log(1 - alpha_bar) loses its digits in float32.
    return kl_normal_standard(mean, at(torch.log1p(-schedule.alpha_bar), T, x_0))


def kl_step(
    schedule: Schedule,
    denoise: Denoiser,
    x_0: Tensor,
    eps: Tensor,
    t: Tensor,
    variance: Tensor,
) -> Tensor:
    """KL(q(x_s|x_t, x_0) || p(x_s|x_t)) at the x_t that `eps` leads to (`[eq-step-kl-x0]`).

    Parameters
    ----------
    schedule, denoise
        T steps, and a denoiser for them.
    x_0, eps
        Data and noise, equal shapes (B, ...).
    t
        Steps from 2 to T, shape (B,); at t = 1 the divergence is infinite.
    variance
        Of p(x_s|x_t), entry t for step t, shape (T + 1,).

    Returns
    -------
    Tensor
        Nats, shape (B,), never negative.

    Raises
    ------
    ValueError
        As `kl_coefficients` and as the module says.
    """
    x_0_hat = denoise(sample_xt(schedule, x_0, eps, t), t)
    weight, excess = (c.to(x_0)[t] for c in kl_coefficients(schedule, variance))
    return weight * squared_error(x_0, x_0_hat) + excess * x_0[0].numel()


def log_likelihood(
    schedule: Schedule,
    denoise: Denoiser,
    x_0: Tensor,
    eps: Tensor,
    variance: Tensor,
    log_prob: Callable[[Tensor, Tensor, Tensor], Tensor] = log_prob_discretised_normal,
) -> Tensor:
    """Log p(x_0|x_1) at the x_1 that `eps` leads to, around the mean x_0_hat.

    The first group of `[eq-diffusion-bound]`.

    Parameters
    ----------
    schedule, denoise
        T steps, and a denoiser for them.
    x_0, eps
        Data and noise, equal shapes (B, ...); images 2 k / 255 - 1 for the default likelihood.
    variance
        Entry 1 is the variance of the decoder; shape (T + 1,).
    log_prob
        Maps x_0, mean and log-variance to nats, shape (B,).

    Returns
    -------
    Tensor
        Nats, shape (B,).

    Raises
    ------
    ValueError
        As `kl_coefficients`, as the likelihood, and as the module says.
    """
    check_variance(variance, schedule.T)
    t = torch.ones(len(x_0), dtype=torch.int64, device=x_0.device)
    x_0_hat = denoise(sample_xt(schedule, x_0, eps, t), t)
    return log_prob(x_0, x_0_hat, torch.log(at(variance, t, x_0)))


@torch.no_grad()
def bound(
    schedule: Schedule,
    denoise: Denoiser,
    x_0: Tensor,
    variance: Tensor,
    log_prob: Callable[[Tensor, Tensor, Tensor], Tensor] = log_prob_discretised_normal,
    generator: Generator | None = None,
) -> Bound:
    """Evidence lower bound of each example with every term, T evaluations of the denoiser.

    See `[eq-diffusion-bound]`.

    Parameters
    ----------
    schedule, denoise
        T steps, and a denoiser for them.
    x_0
        Data, shape (B, ...); images 2 k / 255 - 1 for the default likelihood.
    variance
        Of p(x_s|x_t), entry t for step t, shape (T + 1,); see `reverse_variance`.
    log_prob
        log p(x_0|x_1), a function of x_0, mean and log-variance.
    generator
        Source of the noise, one draw of x_t for each example and step; None takes torch's global
        one.

    Returns
    -------
    Bound
        Nats. Divergences are exact given x_t; the mean over x_t is estimated by one draw.

    Raises
    ------
    ValueError
        As `log_likelihood`.
    """
    first = log_likelihood(schedule, denoise, x_0, noise_like(x_0, generator), variance, log_prob)
    kl_steps = x_0.new_zeros(len(x_0), schedule.T + 1)
    for step in range(2, schedule.T + 1):
        t = torch.full((len(x_0),), step, device=x_0.device)
        eps = noise_like(x_0, generator)
        kl_steps[:, step] = kl_step(schedule, denoise, x_0, eps, t, variance)
    return Bound(first, kl_steps, kl_prior(schedule, x_0))


def bound_estimate(
    schedule: Schedule,
    denoise: Denoiser,
    x_0: Tensor,
    variance: Tensor,
    log_prob: Callable[[Tensor, Tensor, Tensor], Tensor] = log_prob_discretised_normal,
    generator: Generator | None = None,
) -> Bound:
    """Unbiased estimate of the bound from two evaluations, one at t = 1 and one at a random t.

    The bound is `[eq-diffusion-bound]`. Each example's other step is drawn by `stratified_t` from 2
    to T, and its divergence counts T - 1 times. The estimate is differentiable, so minus its `elbo`
    is a loss.

    Arguments and errors are those of `bound`.

    Returns
    -------
    Bound
        Nats; in each row of `kl_steps` only the column drawn is not 0, and each column has the
        right mean. The rows' steps depend on each other, which the usual standard error of a
        batch does not know: it is too large where the terms vary smoothly with t.
    """
    first = log_likelihood(schedule, denoise, x_0, noise_like(x_0, generator), variance, log_prob)
    kl_steps = x_0.new_zeros(len(x_0), schedule.T + 1)
    if schedule.T > 1:
        t = stratified_t(len(x_0), schedule.T, generator, first=2).to(x_0.device)
        kl = kl_step(schedule, denoise, x_0, noise_like(x_0, generator), t, variance)
        kl_steps = kl_steps.scatter(1, t[:, None], (schedule.T - 1) * kl[:, None])
    return Bound(first, kl_steps, kl_prior(schedule, x_0))
