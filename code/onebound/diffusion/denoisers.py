"""Networks and denoisers: who answers what, and what samplers and bounds make of the answer.

A network maps (x_t, t) to a tensor like x_t, and what it means is settled by one of the maps
`x_0_from_...`. A denoiser maps (x_t, t) to x_0_hat, its guess of x_0. `denoiser` makes the second
out of the first. Losses, bounds and samplers know denoisers only.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from onebound.checks import check_positive, check_steps
from onebound.diffusion.parameterisation import X0From
from onebound.diffusion.schedules import Schedule

Network = Callable[[Tensor, Tensor], Tensor]
"""(x_t, t) to a tensor like x_t."""


Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(x_t, t) to x_0_hat, like x_t."""


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
