"""What a denoiser is trained by: the weighted error of its guess, at steps spread evenly."""

import torch
from jaxtyping import Float, Int64
from torch import Generator, Tensor

from onebound import checks
from onebound.diffusion.denoisers import Denoiser
from onebound.diffusion.process import Data, Steps, sample_xt
from onebound.diffusion.schedules import Schedule, Table, like, remembered


def stratified_t(
    n: int, T: int, generator: Generator | None = None, chances: Table | None = None
) -> Int64[Tensor, "n"]:
    """Draw n steps from 1 to T with the chances of their table, or all alike, spread evenly.

    One uniform number is drawn, and the others follow it at distances 1 / n around the circle
    (`[eq-stratified]`): means over a batch are unbiased and vary less. Neighbours differ by about
    T / n steps, so the examples should be in random order. Kingma, Salimans, Poole and Ho (2021).
    """
    checks.check_positive(n=n, T=T)
    device = generator.device if generator else None
    digits = torch.randint(1 << 53, (), device=device, generator=generator)
    start = digits * 2.0**-53  # float32 draws fewer digits, and float64 is not on every device
    u = (start + torch.arange(n, device=device) / n) % 1
    if chances is None:
        return 1 + (u * T).long()
    checks.check_per_step("chances", chances, T)
    edges = like(remembered(torch.cumsum, chances, 0), u)
    return torch.searchsorted(edges, u, right=True).clamp(max=T)  # the sum may be below 1


def denoising_loss(
    schedule: Schedule, denoise: Denoiser, x_0: Data, eps: Data, t: Steps, weight: Table
) -> Float[Tensor, "B"]:
    """Return weight_t times the squared error of x_0_hat, summed over pixels.

    `x_0` are images in [-1, 1], or codes (B, L). Every loss in use is one choice of weights
    (`[eq-weighted-loss]`, `[eq-errors]`; for one step `[eq-one-step-errors]`):

    - `schedule.snr`: the squared error of eps_hat, the simplified loss (`[eq-simple-loss]`), Ho,
      Jain and Abbeel (2020), equation 14;
    - `schedule.snr + 1`: the squared error of v_hat;
    - `kl_coefficients(schedule, reverse_variance(schedule))[0]`: the terms of the bound, half the
      difference of the SNRs, and at t = 1 a normal decoder with variance beta_1.
    """
    if x_0.ndim == 2:
        checks.check_latents(x_0, x_0.shape[1])
    else:
        checks.check_images(x_0, -1, 1)
        checks.check_below_zero(x_0)
    checks.check_per_step("weight", weight, schedule.T)
    x_0_hat = denoise(sample_xt(schedule, x_0, eps, t), t)
    return like(weight, x_0)[t] * squared_error(x_0, x_0_hat)


def squared_error(x_0: Data, x_0_hat: Data) -> Float[Tensor, "B"]:
    """Sum of the squared differences over pixels."""
    return ((x_0 - x_0_hat) ** 2).flatten(1).sum(1)
