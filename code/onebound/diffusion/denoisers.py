"""Networks and denoisers: who answers what, and what samplers and bounds make of the answer.

A network's answer is read by one of the maps `x_0_from_...`. A denoiser's is x_0_hat, its guess of
x_0. `denoiser` makes the second of the first. Losses, bounds and samplers know denoisers only.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Int64
from torch import Tensor

from onebound.checks import check_positive, check_steps, need
from onebound.diffusion.process import X0From, x_0_from_eps
from onebound.diffusion.schedules import Schedule, like

Network = Callable[[Tensor, Tensor], Tensor]  # (x_t, t) to a tensor like x_t
Denoiser = Callable[[Tensor, Tensor], Tensor]  # (x_t, t) to x_0_hat, like x_t
Kept = Int64[Tensor, "K"]  # steps of a schedule, rising


def denoiser(schedule: Schedule, network: Network, x_0_from: X0From) -> Denoiser:
    """Read x_0_hat off a network, which may answer in another floating-point type.

    ValueError if it puts out eps and x_T is noise alone: x_0 does not follow from the two there.
    """
    if x_0_from is x_0_from_eps and schedule.alpha_bar[-1] == 0:
        raise ValueError(
            "eps does not determine x_0 if alpha_bar_T is 0: take x_0_from_v, or leave some signal"
        )

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        return x_0_from(schedule, x_t, network(x_t, t).to(x_t.dtype), t)

    return denoise


def clipped(denoise: Denoiser) -> Denoiser:
    """Cut x_0_hat to [-1, 1], the range of images. This makes another sampler and another bound."""
    return lambda x_t, t: denoise(x_t, t).clamp(-1, 1)


def guided(denoise: Denoiser, worse: Denoiser, strength: float) -> Denoiser:
    """Go from the guess of a worse denoiser through that of a better one, and beyond.

    The result is x_0_hat of `worse` plus `strength`, a finite number, times the difference of the
    two (`[eq-guidance]`): 1 gives `denoise` alone, and above 1 goes beyond. Like `clipped`, this
    makes another sampler, whose bound is not known. Karras et al. (2024), autoguidance.
    """
    need(math.isfinite(strength), f"strength must be finite, got {strength!r}")

    def beyond(x_t: Tensor, t: Tensor) -> Tensor:
        guess = worse(x_t, t)
        return guess + strength * (denoise(x_t, t) - guess)

    return beyond


def respaced(schedule: Schedule, denoise: Denoiser, steps: Kept) -> tuple[Schedule, Denoiser]:
    """Leave out steps: step k of the new schedule and denoiser is step steps[k - 1] of the old.

    `steps` rise from 1 or more to T or less. q(x_t|x_0) of those kept stays the same, so the
    denoiser needs no retraining. A sampler of the pair starts from x_t at the last step kept, which
    is noise from N(0, I) only if it is the old T.
    """
    check_steps(steps, schedule.T)
    kept = torch.cat([steps.new_zeros(1), steps])
    coarse = Schedule(schedule.alpha_bar[kept.to(schedule.alpha_bar.device)])
    return coarse, lambda x_k, k: denoise(x_k, like(kept, k)[k])


def even_steps(T: int, K: int) -> Kept:
    """K of the steps 1 to T at equal distances up to rounding, T the last; for `respaced`."""
    check_positive(K=K)
    need(K <= T, f"K must be at most T, got K = {K} and T = {T}")
    return torch.arange(1, K + 1) * T // K
