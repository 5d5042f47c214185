"""The bound of a trained diffusion model on many images: best variances, and bits per dimension.

Images are levels, uint8 of shape (N, 1, 28, 28). Each draws steps of its own, so that all T terms
are estimated from a few evaluations an image. The chances of the steps are a choice: the estimates
divide by them.
"""

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from onebound.checks import check_per_step, check_positive
from onebound.data.images import to_signed
from onebound.diffusion.bound import (
    Bound,
    kl_coefficients,
    kl_prior,
    kl_step,
    log_likelihood,
    optimal_variance,
)
from onebound.diffusion.denoisers import Denoiser
from onebound.diffusion.process import sample_xt
from onebound.diffusion.schedules import Schedule
from onebound.distributions import noise_like
from onebound.likelihoods import bits_per_dim, log_prob_discretised_normal

AT_ONCE = 500
"""Images in a batch: what bounds the memory."""


class Tuned(NamedTuple):
    """What validation images say about a model, entry t for step t, both of shape (T + 1,)."""

    variance: Tensor
    """Of p(x_s|x_t): the best ones."""
    chances: Tensor
    """Of drawing each step from 2 on: in proportion to what it costs, mostly; the sum is 1."""


def draw_steps(n: int, chances: Tensor, generator: Generator) -> Tensor:
    """Draw n steps with these chances, spread evenly as `stratified_t` does.

    Parameters
    ----------
    n
        How many.
    chances
        Entry t for step t, sum 1, shape (T + 1,).
    generator
        Source of the randomness.

    Returns
    -------
    Tensor
        int64, shape (n,).
    """
    start = torch.rand((), dtype=torch.float64, generator=generator)
    u = (start + torch.arange(n) / n) % 1
    found = torch.searchsorted(chances.cumsum(0), u, right=True)
    return found.clamp(max=len(chances) - 1)  # rounding may leave the sum below 1


def even_chances(schedule: Schedule) -> Tensor:
    """Half by equal shares for steps, half by the log-SNR that a step crosses; t = 1 as t = 2."""
    crossed = -schedule.log_snr[1:].diff()
    crossed = torch.cat([crossed[:1], crossed])
    chances = 0.5 * crossed / crossed.sum() + 0.5 / schedule.T
    return torch.cat([chances.new_zeros(1), chances])


@torch.no_grad()
def squared_errors(
    schedule: Schedule,
    denoise: Denoiser,
    levels: Tensor,
    generator: Generator,
    width: float = 0.25,
) -> Tensor:
    """Mean of ||x_0 - x_0_hat||^2 at each step, from one evaluation an image.

    In units of v the error is a smooth function of the log-SNR (`[eq-errors]`). There it is
    averaged over the steps nearby.

    Parameters
    ----------
    schedule, denoise
        T steps, at least 2, and a denoiser for them.
    levels
        Images, enough for several evaluations near each step.
    generator
        Source of the noise and of the steps.
    width
        How far in log-SNR steps are averaged; 0 takes each by itself.

    Returns
    -------
    Tensor
        Entry t for step t, shape (T + 1,), float64; entry 0 is 0.
    """
    chances = even_chances(schedule)
    sums, count = torch.zeros(2, schedule.T + 1, dtype=torch.float64)
    for batch in levels.split(AT_ONCE):
        x_0 = to_signed(batch)
        t = draw_steps(len(x_0), chances, generator)
        x_0_hat = denoise(sample_xt(schedule, x_0, noise_like(x_0, generator), t), t)
        sums.index_add_(0, t, (x_0 - x_0_hat).double().square().flatten(1).sum(1))
        count.index_add_(0, t, torch.ones_like(t, dtype=torch.float64))
    unit, log_snr = (1 - schedule.alpha_bar)[1:], schedule.log_snr[1:]
    near = ((log_snr[:, None] - log_snr).abs() <= width).double()
    in_v = (near @ (sums[1:] / unit)) / (near @ count[1:])
    return torch.cat([sums.new_zeros(1), in_v * unit])


@torch.no_grad()
def decoder_variance(
    schedule: Schedule, denoise: Denoiser, levels: Tensor, generator: Generator
) -> float:
    """Choose the variance at t = 1, of ten multiples of the squared error, by the likelihood.

    There the likelihood is one of bins, not a density: where most errors are far below a bin, the
    rare large ones want a much larger variance.

    Parameters
    ----------
    schedule, denoise, levels
        T steps, a denoiser for them, and images for the choice, evaluated together.
    generator
        Source of the noise.
    """
    x_0 = to_signed(levels)
    t = torch.ones(len(x_0), dtype=torch.int64)
    x_0_hat = denoise(sample_xt(schedule, x_0, noise_like(x_0, generator), t), t)
    tries = (x_0 - x_0_hat).double().square().mean() * 2.0 ** torch.arange(-2, 8)
    scores = [log_prob_discretised_normal(x_0, x_0_hat, s.log().float()).mean() for s in tries]
    return tries[torch.stack(scores).argmax()].item()


def tuned(schedule: Schedule, error: Tensor, decoder: float) -> Tuned:
    """Turn what validation images say into variances and chances.

    From t = 2 on the variances are those of `optimal_variance`. A tenth of the
    chances is shared evenly, in case a step costs more than it seems.

    Parameters
    ----------
    schedule, error
        T steps, and what `squared_errors` found there, shape (T + 1,).
    decoder
        What `decoder_variance` found.
    """
    variance = optimal_variance(schedule, error)
    variance[1] = decoder
    weight, excess = kl_coefficients(schedule, variance)
    cost = (weight * error + 784 * excess)[2:]
    chances = 0.9 * cost / cost.sum() + 0.1 / len(cost)
    return Tuned(variance, torch.cat([chances.new_zeros(2), chances]))


def tune(schedule: Schedule, denoise: Denoiser, levels: Tensor, generator: Generator) -> Tuned:
    """Choose the variances that make the bound of these images largest, and what to draw.

    Parameters
    ----------
    schedule, denoise
        T steps, and a denoiser for them.
    levels
        Images for the choice: the validation images.
    generator
        Source of the noise and of the steps.
    """
    error = squared_errors(schedule, denoise, levels, generator)
    return tuned(schedule, error, decoder_variance(schedule, denoise, levels[:1000], generator))


@torch.no_grad()
def bits(
    schedule: Schedule,
    denoise: Denoiser,
    levels: Tensor,
    tuned: Tuned,
    generator: Generator,
    passes: int = 1,
) -> Bound:
    """Return the costs of each image in bits per dimension, by group (`[eq-diffusion-bound]`).

    The sum over the steps is estimated from a few of them (`[eq-weighted-step]`).

    Parameters
    ----------
    schedule, denoise, levels
        T steps, a denoiser for them, and images.
    tuned
        Variances, and the chances of the steps from 2 on.
    generator
        Source of the noise and of the steps.
    passes
        Random steps of each image; the result is the mean over them.

    Returns
    -------
    Bound
        The three groups as positive costs: their sum is minus the bound. In `kl_steps` each image
        has at most `passes` columns that are not 0, and each column the right mean.

    Raises
    ------
    ValueError
        If `passes` is below 1, the chances have another shape than (T + 1,), and as
        `onebound.diffusion.bound`.
    """
    check_positive("passes", passes)
    check_per_step("chances", tuned.chances, schedule.T)
    parts = []
    for batch in levels.split(AT_ONCE):
        x_0 = to_signed(batch)
        first, steps = x_0.new_zeros(len(x_0)), x_0.new_zeros(len(x_0), schedule.T + 1)
        for _ in range(passes):
            eps = noise_like(x_0, generator)
            first += log_likelihood(schedule, denoise, x_0, eps, tuned.variance) / passes
            t = draw_steps(len(x_0), tuned.chances, generator)
            eps = noise_like(x_0, generator)
            kl = kl_step(schedule, denoise, x_0, eps, t, tuned.variance)
            share = tuned.chances.to(kl)[t] * passes
            steps.scatter_add_(1, t[:, None], (kl / share)[:, None])
        parts.append([first, steps, kl_prior(schedule, x_0)])
    decoder, steps, prior = (torch.cat(group) for group in zip(*parts, strict=True))
    return Bound(bits_per_dim(decoder), bits_per_dim(-steps), bits_per_dim(-prior))


def total(costs: Bound) -> Tensor:
    """Add up the groups of `bits`, shape (B,)."""
    return costs.log_likelihood + costs.kl_steps.sum(1) + costs.kl_prior
