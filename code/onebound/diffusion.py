"""Diffusion: a fixed process that adds noise, a model that takes it away, and the bound.

Indices are the book's: t from 1 to T, s = t - 1, and x_0 is the data, of shape (B, ...). Images are
in [-1, 1]; where a likelihood does not ask for images, any real data will do. The noise `eps` is
drawn from N(0, I) and has the shape of x_0.

Two kinds of function occur as arguments. A network maps (x_t, t) to a tensor like x_t, and what it
means is settled by one of the maps `x_0_from_...`. A denoiser maps (x_t, t) to x_0_hat, its guess
of x_0. `denoiser` makes the second out of the first. Everything below it knows denoisers only.

Every function raises ValueError if `t` is not an int64 from 1 to T for each example, if data are
not floating point, or if shapes differ that must agree.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from onebound.checks import (
    check_images,
    check_latents,
    check_per_step,
    check_positive,
    check_same_shape,
    check_steps,
    check_variance,
)
from onebound.distributions import kl_normal_standard, noise_like
from onebound.likelihoods import log_prob_discretised_normal
from onebound.schedules import Schedule, at

Network = Callable[[Tensor, Tensor], Tensor]
"""(x_t, t) to a tensor like x_t."""

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(x_t, t) to x_0_hat, like x_t."""

X0From = Callable[[Schedule, Tensor, Tensor, Tensor], Tensor]
"""(schedule, x_t, what a network puts out, t) to x_0_hat."""


# ---- the process that adds noise


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
    mu_tilde = at(_weight_of_x_0(schedule), t, x_t) * x_0 + at(on_x_t, t, x_t) * x_t
    return mu_tilde, at(schedule.beta_tilde, t, x_t)


def _weight_of_x_0(schedule: Schedule) -> Tensor:
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


def stratified_t(n: int, T: int, generator: Generator | None = None, first: int = 1) -> Tensor:
    """Draw n steps, each uniform on `first` to T, spread evenly as a set.

    One uniform number is drawn, and the others follow it at distances 1 / n around the circle. A
    mean over the batch of a function of t varies less than with independent steps. It is unbiased.
    See `[eq-stratified]`.

    Parameters
    ----------
    n
        How many.
    T
        The last step.
    generator
        Source of randomness, whose device the result is on; None takes torch's global one.
    first
        The first step, 1 to T.

    Returns
    -------
    Tensor
        int64, shape (n,). Neighbours differ by about T / n steps, so the examples that they go with
        should be in random order.

    Raises
    ------
    ValueError
        If `n` or `first` is below 1, or `first` above `T`.

    References
    ----------
    Kingma, Salimans, Poole and Ho (2021), who call it a low-discrepancy sampler.
    """
    check_positive("n", n)
    check_positive("first", first)
    check_positive("T - first + 1", T - first + 1)
    device = generator.device if generator else None
    start = torch.rand((), dtype=torch.float64, device=device, generator=generator)
    u = (start + torch.arange(n, device=device) / n) % 1
    return first + (u * (T - first + 1)).long()


# ---- what a network may put out: eps, x_0 or v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x_0


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
    signal, noise = _amplitudes(schedule, x_t, t)
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
    signal, noise = _amplitudes(schedule, x_t, t)
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
    signal, noise = _amplitudes(schedule, x_t, t)
    return (x_t - signal * x_0) / noise


def v_from_x_0(schedule: Schedule, x_t: Tensor, x_0: Tensor, t: Tensor) -> Tensor:
    """Return (sqrt(alpha_bar) x_t - x_0) / sqrt(1 - alpha_bar), undoing `x_0_from_v`.

    See `[eq-x0-v]`.
    """
    check_same_shape(x_t=x_t, x_0=x_0)
    signal, noise = _amplitudes(schedule, x_t, t)
    return (signal * x_t - x_0) / noise


def _amplitudes(schedule: Schedule, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    # The root of 1 - alpha_bar is taken in float64: in float32 the difference loses its digits.
    return at(schedule.alpha_bar.sqrt(), t, x_t), at((1 - schedule.alpha_bar).sqrt(), t, x_t)


# ---- denoisers


def denoiser(schedule: Schedule, network: Network, x_0_from: X0From) -> Denoiser:
    """Read x_0_hat off a network.

    Parameters
    ----------
    schedule
        The T steps that the network was trained on.
    network
        Maps (x_t, t) to a tensor like x_t; it may answer in another floating-point type.
    x_0_from
        What the network puts out: `x_0_from_eps`, `x_0_from_v` or `x_0_from_x_0`.
    """

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        return x_0_from(schedule, x_t, network(x_t, t).to(x_t.dtype), t)

    return denoise


def clipped(denoise: Denoiser) -> Denoiser:
    """Cut x_0_hat to [-1, 1], the range of images. This makes another sampler and another bound."""
    return lambda x_t, t: denoise(x_t, t).clamp(-1, 1)


def guided(denoise: Denoiser, worse: Denoiser, strength: float) -> Denoiser:
    """Go from the guess of a worse denoiser through that of a better one, and beyond.

    The result is x_0_hat of `worse` plus `strength` times the difference of the two
    (`[eq-guidance]`). Where both err alike, the worse one errs more, and going on leads away from
    the error. Like `clipped`, this makes another sampler: it is no longer a model whose bound is
    known.

    Parameters
    ----------
    denoise, worse
        Two denoisers for the same steps, the second one smaller or trained for a shorter time.
    strength
        1 gives `denoise` alone, above 1 goes beyond.

    References
    ----------
    Karras et al. (2024), autoguidance.
    """

    def beyond(x_t: Tensor, t: Tensor) -> Tensor:
        guess = worse(x_t, t)
        return guess + strength * (denoise(x_t, t) - guess)

    return beyond


def respaced(schedule: Schedule, denoise: Denoiser, steps: Tensor) -> tuple[Schedule, Denoiser]:
    """Leave out steps: step k of the new schedule and denoiser is step steps[k - 1] of the old.

    q(x_t|x_0) of the steps that are kept stays the same, so the denoiser needs no retraining. All
    of a model with fewer steps, bound and samplers, follows from the new pair.

    Parameters
    ----------
    schedule, denoise
        T steps, and a denoiser for them.
    steps
        The steps to keep, rising, 1 to T, int64, shape (K,). If T is not among them, the result
        starts from less than all the noise.

    Returns
    -------
    tuple of Schedule and Denoiser
        K steps.

    Raises
    ------
    ValueError
        If `steps` is not such a sequence.
    """
    check_steps(steps, schedule.T)
    kept = torch.cat([steps.new_zeros(1), steps])
    coarse = Schedule(schedule.alpha_bar[kept.to(schedule.alpha_bar.device)])
    return coarse, lambda x_k, k: denoise(x_k, kept.to(k.device)[k])


def even_steps(T: int, K: int) -> Tensor:
    """K of the steps 1 to T at equal distances up to rounding, T the last; for `respaced`.

    Raises
    ------
    ValueError
        If `K` is not in 1 to `T`.
    """
    check_positive("K", K)
    check_positive("T - K + 1", T - K + 1)
    return torch.arange(1, K + 1) * T // K


# ---- training


def denoising_loss(
    schedule: Schedule, denoise: Denoiser, x_0: Tensor, eps: Tensor, t: Tensor, weight: Tensor
) -> Tensor:
    """Return weight_t times the squared error of x_0_hat, summed over pixels.

    Every loss in use is one choice of weights (`[eq-weighted-loss]`), since x_t is known: an error
    of x_0_hat is one of eps_hat times a factor, and of v_hat times another (`[eq-errors]`; for one
    step `[eq-one-step-errors]`).

    - `schedule.snr`: the squared error of eps_hat, the simplified loss (`[eq-simple-loss]`);
    - `schedule.snr + 1`: the squared error of v_hat;
    - `kl_coefficients(schedule, reverse_variance(schedule))[0]`: the terms of the bound, half the
      difference of the SNRs, and at t = 1 a normal decoder with variance beta_1.

    Parameters
    ----------
    schedule, denoise
        T steps, and the denoiser to train.
    x_0
        Images in [-1, 1], shape (B, 1, 28, 28), or codes, any real numbers, shape (B, L).
    eps, t
        Noise, the shape of `x_0`, and steps, shape (B,).
    weight
        Entry t for step t, shape (T + 1,).

    Returns
    -------
    Tensor
        Shape (B,). Times T, with t uniform, its mean is the sum over all steps.

    Raises
    ------
    ValueError
        If `x_0` is no image in [-1, 1] and no finite code, `weight` has another shape, and as the
        module says.

    References
    ----------
    Ho, Jain and Abbeel (2020), equation 14.
    """
    if x_0.ndim == 2:
        check_latents(x_0, x_0.shape[1])
    else:
        check_images(x_0, -1, 1)
    check_per_step("weight", weight, schedule.T)
    x_0_hat = denoise(sample_xt(schedule, x_0, eps, t), t)
    return weight.to(x_0)[t] * _squared_error(x_0, x_0_hat)


def _squared_error(x_0: Tensor, x_0_hat: Tensor) -> Tensor:
    return ((x_0 - x_0_hat) ** 2).flatten(1).sum(1)


# ---- the bound


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
    inner = schedule.beta_tilde + _weight_of_x_0(schedule) ** 2 * error / dims
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
    weight = _weight_of_x_0(schedule)[1:] ** 2 / (2 * variance)
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
    return weight * _squared_error(x_0, x_0_hat) + excess * x_0[0].numel()


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
