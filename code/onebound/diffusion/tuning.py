"""The bound of a trained model on many images: best variances, and bits per dimension.

Images are levels, uint8, split into batches of `AT_ONCE`. Each draws steps of its own, so that all
T terms are estimated from a few evaluations an image. The chances of the steps are a choice: the
estimates divide by them. `generator` is the source of steps and noise.
"""

import math
from contextlib import nullcontext
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Generator, Tensor

from onebound.checks import check_positive, trusting
from onebound.data.images import to_signed
from onebound.diffusion.bound import Bound, bound, kl_coefficients, optimal_variance
from onebound.diffusion.denoisers import Denoiser
from onebound.diffusion.loss import squared_error, stratified_t
from onebound.diffusion.process import sample_xt
from onebound.diffusion.schedules import Schedule, Table
from onebound.distributions import noise_like
from onebound.likelihoods import bits_per_dim, log_prob_discretised_normal

AT_ONCE = 500  # images in a batch: what bounds the memory

Levels = UInt8[Tensor, "N C H W"]


class Tuned(NamedTuple):
    """What validation images say about a model, entry t for step t."""

    variance: Table  # of p(x_s|x_t): the best ones
    chances: Table  # of drawing each step from 2 on: mostly in proportion to its cost; the sum is 1


def even_chances(schedule: Schedule) -> Table:
    """Half by equal shares for steps, half by the log-SNR that a step crosses; t = 1 as t = 2."""
    crossed = -schedule.log_snr[1:].diff()
    crossed = torch.cat([crossed[:1], crossed])
    chances = 0.5 * crossed / crossed.sum() + 0.5 / schedule.T
    return torch.cat([chances.new_zeros(1), chances])


@torch.no_grad()
def squared_errors(
    schedule: Schedule, denoise: Denoiser, levels: Levels, generator: Generator, width: float = 0.25
) -> Table:
    """Mean of ||x_0 - x_0_hat||^2 at each of at least 2 steps, from one evaluation an image.

    In units of v (`[eq-errors]`), where it is smooth, the error is averaged over all steps whose
    log-SNR is within `width`. Entry 0 is 0.
    """
    chances, seen = even_chances(schedule), []
    for x_0 in map(to_signed, levels.split(AT_ONCE)):
        t = stratified_t(len(x_0), schedule.T, generator, chances).to(x_0.device)
        x_0_hat = denoise(sample_xt(schedule, x_0, noise_like(x_0, generator), t), t)
        seen.append((t, squared_error(x_0, x_0_hat)))
    t, errors = (torch.cat(parts).cpu() for parts in zip(*seen, strict=True))
    sums = torch.bincount(t, errors.double(), schedule.T + 1)
    count = torch.bincount(t, minlength=schedule.T + 1).double()
    unit, log_snr = schedule.noise_variance[1:], schedule.log_snr[1:]
    near = ((log_snr[:, None] - log_snr).abs() <= width).double()
    in_v = (near @ (sums[1:] / unit)) / (near @ count[1:])
    return torch.cat([sums.new_zeros(1), in_v * unit])


@torch.no_grad()
def decoder_variance(
    schedule: Schedule, denoise: Denoiser, levels: Levels, generator: Generator
) -> float:
    """Choose the variance at t = 1, of ten multiples of the squared error, by the likelihood.

    Where most errors are far below a bin, the rare large ones want a much larger variance than the
    mean square. All images are evaluated together.
    """
    x_0 = to_signed(levels)
    t = torch.ones(len(x_0), dtype=torch.int64, device=x_0.device)
    x_0_hat = denoise(sample_xt(schedule, x_0, noise_like(x_0, generator), t), t)
    error = (squared_error(x_0, x_0_hat).cpu().double().mean() / x_0[0].numel()).item()
    tries = [error * 2.0**power for power in range(-2, 8)]
    logvars = [x_0.new_tensor(math.log(one)) for one in tries]
    scores = [log_prob_discretised_normal(x_0, x_0_hat, logvar).mean() for logvar in logvars]
    return tries[int(torch.stack(scores).argmax())]


def tuned(schedule: Schedule, error: Table, decoder: float, dims: int) -> Tuned:
    """Turn what `squared_errors` and `decoder_variance` found into variances and chances.

    From t = 2 on the variances are those of `optimal_variance`. A tenth of the chances is shared
    evenly, in case a step costs more than it seems.
    """
    variance = optimal_variance(schedule, error, dims)
    variance[1] = decoder
    weight, excess = kl_coefficients(schedule, variance)
    cost = (weight * error + dims * excess)[2:]
    chances = 0.9 * cost / cost.sum() + 0.1 / len(cost)
    return Tuned(variance, torch.cat([chances.new_zeros(2), chances]))


def tune(schedule: Schedule, denoise: Denoiser, levels: Levels, generator: Generator) -> Tuned:
    """Choose the variances that make the bound of validation images largest, and what to draw."""
    error = squared_errors(schedule, denoise, levels, generator)
    decoder = decoder_variance(schedule, denoise, levels[:1000], generator)
    return tuned(schedule, error, decoder, levels[0].numel())


@torch.no_grad()
def bits(
    schedule: Schedule,
    denoise: Denoiser,
    levels: Levels,
    tuned: Tuned,
    generator: Generator,
    passes: int = 1,
) -> Bound:
    """Return the costs of each image in bits per dimension, by group (`[eq-diffusion-bound]`).

    The groups are positive, and their sum, `total`, is minus the bound. That of the steps is a mean
    over passes, each with one random step of each image (`[eq-weighted-step]`).
    """
    check_positive(passes=passes)
    variance, chances = tuned
    parts: list[Bound] = []
    for x_0 in map(to_signed, levels.split(AT_ONCE)):
        with trusting() if parts else nullcontext():
            draws = [
                bound(schedule, denoise, x_0, variance, generator=generator, chances=chances)
                for _ in range(passes)
            ]
        parts.append(Bound(*(sum(group) / passes for group in zip(*draws, strict=True))))
    decoder, steps, prior = (torch.cat(group) for group in zip(*parts, strict=True))
    dims = levels[0].numel()
    return Bound(*(bits_per_dim(nats, dims) for nats in (decoder, -steps, -prior)))


def total(costs: Bound) -> Float[Tensor, "B"]:
    """Add up the groups of `bits`."""
    return costs.log_likelihood + costs.kl_steps.sum(1) + costs.kl_prior
