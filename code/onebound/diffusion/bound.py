"""The evidence lower bound of a diffusion model, term by term, in nats per example.

`variance` is that of the model's steps p(x_s|x_t), entry t for step t, `eps` noise like `x_0`, and
`log_prob` the decoder's log p(x_0|x_1) of x_0, mean and log-variance; the default takes images
2 k / 255 - 1. ValueError if a variance is not positive from t = 1 on.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from onebound.checks import check_per_step, check_precise, check_variance, trusting
from onebound.diffusion.denoisers import Denoiser
from onebound.diffusion.loss import squared_error, stratified_t
from onebound.diffusion.process import Data, Steps, q_xt_x0, sample_xt, weight_of_x_0
from onebound.diffusion.schedules import Schedule, Table, at, like, remembered
from onebound.distributions import Nats, kl_normal_standard, noise_like
from onebound.likelihoods import log_prob_discretised_normal

LogProb = Callable[[Tensor, Tensor, Tensor], Tensor]


class Bound(NamedTuple):
    """The three groups of terms of the evidence lower bound (`[eq-diffusion-bound]`).

    Ho, Jain and Abbeel (2020), equation 5, with the sign of a bound from below.
    """

    log_likelihood: Nats  # estimate of E[log p(x_0|x_1)]
    kl_steps: Float[Tensor, "B steps"]
    """Column t: estimate of E[KL(q(x_s|x_t, x_0) || p(x_s|x_t))]; columns 0 and 1 are 0."""
    kl_prior: Nats  # KL(q(x_T|x_0) || N(0, I)), exactly

    @property
    def elbo(self) -> Nats:
        """The bound itself."""
        return self.log_likelihood - self.kl_steps.sum(1) - self.kl_prior


def reverse_variance(schedule: Schedule) -> Table:
    """Variances of the model's steps p(x_s|x_t): beta_tilde, and beta_1 for the decoder at t = 1.

    With beta_tilde (`[eq-posterior-variance]`) step and model differ in their means only, but it is
    0 at t = 1, where every image but x_0_hat would have the probability 0. `schedule.beta` is usual
    too, and `[eq-optimal-variance]` best. Ho, Jain and Abbeel (2020), sections 3.2 and 3.3.
    """
    return torch.cat([schedule.beta[:2], schedule.beta_tilde[2:]])


def optimal_variance(schedule: Schedule, error: Table, dims: int) -> Table:
    """Return the variances of p(x_s|x_t) that make the bound largest (`[eq-optimal-variance]`).

    `error` is the mean of ||x_0 - x_0_hat||^2 at each step, entry 0 not used, and `dims` the
    dimensions of x_0. Bao, Li, Zhu and Zhang (2022).
    """
    check_per_step("error", error, schedule.T)
    inner = schedule.beta_tilde + weight_of_x_0(schedule) ** 2 * error / dims
    return torch.cat([error.new_zeros(1), inner[1:]])


def kl_coefficients(schedule: Schedule, variance: Table) -> tuple[Table, Table]:
    """Weight and excess of each step's divergence, weight ||x_0 - x_0_hat||^2 + D excess.

    See `[eq-step-kl-x0]`, `[eq-step-snr]`, `[eq-kl-weight]`. The excess is what a variance other
    than beta_tilde costs each of D dimensions, infinite at t = 1, where the weight is that of a
    normal decoder. Ho, Jain and Abbeel (2020), equation 8; Kingma, Salimans, Poole and Ho (2021).
    """
    check_variance(variance, schedule.T)
    beta_tilde = like(schedule.beta_tilde, variance)[1:]
    on_x_0 = like(weight_of_x_0(schedule), variance)[1:]
    weight = on_x_0**2 / (2 * variance[1:])
    log_ratio = torch.log(beta_tilde) - torch.log(variance[1:])
    # expm1 keeps the digits that exp(log_ratio) - 1 loses where the variances are close.
    excess = 0.5 * (torch.expm1(log_ratio) - log_ratio)
    zero = weight.new_zeros(1)
    return torch.cat([zero, weight]), torch.cat([zero, excess])


def kl_prior(schedule: Schedule, x_0: Data) -> Nats:
    """KL(q(x_T|x_0) || N(0, I)), what is left of x_0 (`[eq-prior-term]`); 0 if alpha_bar_T is 0."""
    T = torch.full((len(x_0),), schedule.T, device=x_0.device)
    mean, _ = q_xt_x0(schedule, x_0, T)
    return kl_normal_standard(mean, at(schedule.log_noise_variance, T, x_0))


def kl_step(
    schedule: Schedule, denoise: Denoiser, x_0: Data, eps: Data, t: Steps, variance: Table
) -> Nats:
    """KL(q(x_s|x_t, x_0) || p(x_s|x_t)) for x_t by `eps` (`[eq-step-kl-x0]`), infinite at t = 1."""
    x_0_hat = denoise(sample_xt(schedule, x_0, eps, t), t)
    tables = remembered(kl_coefficients, schedule, variance)
    weight, excess = (like(table, x_0)[t] for table in tables)
    return weight * squared_error(x_0, x_0_hat) + excess * x_0[0].numel()


def log_likelihood(
    schedule: Schedule,
    denoise: Denoiser,
    x_0: Data,
    eps: Data,
    variance: Table,
    log_prob: LogProb = log_prob_discretised_normal,
) -> Nats:
    """Log p(x_0|x_1) at the x_1 that `eps` leads to, around the mean x_0_hat.

    The first group of `[eq-diffusion-bound]`; entry 1 of `variance` is the decoder's.
    """
    check_variance(variance, schedule.T)
    t = torch.ones(len(x_0), dtype=torch.int64, device=x_0.device)
    x_0_hat = denoise(sample_xt(schedule, x_0, eps, t), t)
    return log_prob(x_0, x_0_hat, torch.log(at(variance, t, x_0)))


def bound(
    schedule: Schedule,
    denoise: Denoiser,
    x_0: Data,
    variance: Table,
    log_prob: LogProb = log_prob_discretised_normal,
    generator: Generator | None = None,
    chances: Table | None = None,
) -> Bound:
    """Evidence lower bound of each example, from one draw of x_t for each term evaluated.

    See `[eq-diffusion-bound]`. Without `chances` every term is evaluated, by T evaluations of the
    denoiser that keep no graph. With chances of the steps from 2 on, there are two evaluations: the
    decoder's, and that of a step drawn with them for each example, whose divergence is divided by
    its chance (`[eq-weighted-step]`). Each column has the right mean, and minus the `elbo` is a
    loss. The steps are drawn together (`stratified_t`): the usual standard error is too large.
    """
    check_precise(x_0)
    with nullcontext() if chances is not None else torch.no_grad():
        noise = noise_like(x_0, generator)
        first = log_likelihood(schedule, denoise, x_0, noise, variance, log_prob)
        kl_steps = x_0.new_zeros(len(x_0), schedule.T + 1)
        steps, counts = range(2, schedule.T + 1), x_0.new_ones(())
        with trusting():
            for step in steps if chances is None else steps[:1]:
                t = torch.full((len(x_0),), step, device=x_0.device)
                if chances is not None:  # a step for each example, drawn
                    t = stratified_t(len(x_0), schedule.T, generator, chances).to(x_0.device)
                    counts = 1 / like(chances, x_0)[t]
                eps = noise_like(x_0, generator)
                kl = counts * kl_step(schedule, denoise, x_0, eps, t, variance)
                kl_steps.scatter_(1, t[:, None], kl[:, None])
        return Bound(first, kl_steps, kl_prior(schedule, x_0))


def equal_chances(schedule: Schedule) -> Table:
    """Return the same chance for each step from 2 on."""
    later = torch.arange(schedule.T + 1, dtype=torch.float64) > 1
    return later.double() / max(schedule.T - 1, 1)
