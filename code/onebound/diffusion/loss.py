"""What a denoiser is trained by: the weighted error of its guess, at steps spread evenly."""

import torch
from torch import Generator, Tensor

from onebound.checks import (
    check_images,
    check_latents,
    check_per_step,
    check_positive,
)
from onebound.diffusion.denoisers import Denoiser
from onebound.diffusion.process import sample_xt
from onebound.diffusion.schedules import Schedule


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
    return weight.to(x_0)[t] * squared_error(x_0, x_0_hat)


def squared_error(x_0: Tensor, x_0_hat: Tensor) -> Tensor:
    """Sum of the squared differences over pixels, shape (B,)."""
    return ((x_0 - x_0_hat) ** 2).flatten(1).sum(1)
