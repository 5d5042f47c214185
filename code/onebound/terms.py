"""The bound of a trained diffusion model on many images: best variances, and bits per dimension.

Images are levels, uint8 of shape (N, 1, 28, 28). Each draws steps of its own, so that all T terms
are estimated from a few evaluations an image.
"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from onebound.checks import check_positive
from onebound.data import to_signed
from onebound.diffusion import (
    Bound,
    Denoiser,
    bound_estimate,
    optimal_variance,
    sample_xt,
    stratified_t,
)
from onebound.distributions import noise_like
from onebound.likelihoods import log_prob_discretised_normal
from onebound.metrics import bits_per_dim
from onebound.schedules import Schedule

AT_ONCE = 500
"""Images in a batch: what bounds the memory."""


def smooth(values: Tensor, window: int = 21) -> Tensor:
    """Return the mean over an odd number of neighbours; the ends count as often as it takes.

    Parameters
    ----------
    values
        One number a step, shape (T,).
    window
        How many neighbours.
    """
    padded = F.pad(values[None, None], (window // 2, window // 2), mode="replicate")
    return F.avg_pool1d(padded, window, stride=1)[0, 0]


@torch.no_grad()
def squared_errors(
    schedule: Schedule,
    denoise: Denoiser,
    levels: Tensor,
    generator: Generator,
    window: int = 21,
) -> Tensor:
    """Mean of ||x_0 - x_0_hat||^2 at each step, from one evaluation an image.

    In units of v the error changes slowly with t (`[eq-errors]`), and there it is averaged over
    neighbouring steps.

    Parameters
    ----------
    schedule, denoise
        T steps, and a denoiser for them.
    levels
        Images, enough for several evaluations in each window.
    generator
        Source of the noise and of the steps.
    window
        Steps to average over, odd.

    Returns
    -------
    Tensor
        Entry t for step t, shape (T + 1,), float64; entry 0 is 0.
    """
    sums, count = torch.zeros(2, schedule.T + 1, dtype=torch.float64)
    for batch in levels.split(AT_ONCE):
        x_0 = to_signed(batch)
        t = stratified_t(len(x_0), schedule.T, generator)
        x_0_hat = denoise(sample_xt(schedule, x_0, noise_like(x_0, generator), t), t)
        sums.index_add_(0, t, (x_0 - x_0_hat).double().square().flatten(1).sum(1))
        count.index_add_(0, t, torch.ones_like(t, dtype=torch.float64))
    unit = (1 - schedule.alpha_bar)[1:]
    in_v = smooth(sums[1:] / unit, window) / smooth(count[1:], window)
    return torch.cat([sums.new_zeros(1), in_v * unit])


@torch.no_grad()
def best_variances(
    schedule: Schedule, denoise: Denoiser, levels: Tensor, generator: Generator
) -> Tensor:
    """Return the variances of p(x_s|x_t) that make the bound of these images largest.

    From t = 2 on they are those of `onebound.diffusion.optimal_variance`. At t = 1 the likelihood
    is one of bins, not a density, and the best of five multiples of the squared error is taken.

    Parameters
    ----------
    schedule, denoise
        T steps, and a denoiser for them.
    levels
        Images for the choice: the validation images.
    generator
        Source of the noise and of the steps.

    Returns
    -------
    Tensor
        Entry t for step t, shape (T + 1,), float64.
    """
    variance = optimal_variance(schedule, squared_errors(schedule, denoise, levels, generator))
    x_0 = to_signed(levels[:1000])
    t = torch.ones(len(x_0), dtype=torch.int64)
    x_0_hat = denoise(sample_xt(schedule, x_0, noise_like(x_0, generator), t), t)
    tries = (x_0 - x_0_hat).double().square().mean() * 2.0 ** torch.arange(-2, 3)
    scores = [log_prob_discretised_normal(x_0, x_0_hat, s.log().float()).mean() for s in tries]
    variance[1] = tries[torch.stack(scores).argmax()]
    return variance


@torch.no_grad()
def bits(
    schedule: Schedule,
    denoise: Denoiser,
    levels: Tensor,
    variance: Tensor,
    generator: Generator,
    passes: int = 1,
) -> Bound:
    """Return the costs of each image in bits per dimension, by group (`[eq-diffusion-bound]`).

    Parameters
    ----------
    schedule, denoise, levels, variance, generator
        As `onebound.diffusion.bound_estimate`.
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
        If `passes` is below 1, and as `onebound.diffusion.bound_estimate`.
    """
    check_positive("passes", passes)
    parts = []
    for batch in levels.split(AT_ONCE):
        x_0 = to_signed(batch)
        draws = [
            bound_estimate(schedule, denoise, x_0, variance, generator=generator)
            for _ in range(passes)
        ]
        parts.append([torch.stack(group).mean(0) for group in zip(*draws, strict=True)])
    decoder, steps, prior = (torch.cat(group) for group in zip(*parts, strict=True))
    return Bound(bits_per_dim(decoder), bits_per_dim(-steps), bits_per_dim(-prior))


def total(costs: Bound) -> Tensor:
    """Add up the groups of `bits`, shape (B,)."""
    return costs.log_likelihood + costs.kl_steps.sum(1) + costs.kl_prior
