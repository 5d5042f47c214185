"""Solvers: samplers that take the way from noise to data for a differential equation.

Without noise a sample obeys d(x_bar) / d(rho) = eps_hat in the scaled image
x_bar = x_t / sqrt(alpha_bar), where rho = sqrt((1 - alpha_bar) / alpha_bar) is the *ratio* of noise
to signal. `onebound.diffusion.samplers.ddim` is Euler's method for it; here are
methods of second order, and the grids of ratios that they are used on. They are samplers like
those: generators of `Step` that know a schedule and a denoiser.
"""

import math
from collections.abc import Iterator
from contextlib import nullcontext

import torch
from jaxtyping import Float64, Int64
from torch import Generator, Tensor

from onebound.checks import check_positive, need, trusting
from onebound.diffusion.denoisers import Denoiser
from onebound.diffusion.process import Data, eps_from_x_0
from onebound.diffusion.samplers import Step
from onebound.diffusion.schedules import Schedule, at
from onebound.distributions import noise_like


@torch.no_grad()
def heun(schedule: Schedule, denoise: Denoiser, x_T: Data) -> Iterator[Step]:
    """Take Euler's step, look at the slope there, and go with the mean of both (`[eq-heun]`).

    The last step, to x_0, is Euler's: at rho = 0 there is no slope. So T steps take 2 T - 1
    evaluations of the denoiser. ValueError if x_T is noise alone. Karras et al. (2022), algorithm 1
    without its churn.
    """
    if schedule.alpha_bar[-1] == 0:
        raise ValueError("Heun's method needs a ratio: take a schedule that leaves some signal")
    signal, noise = schedule.amplitudes
    signal_s, noise_s = schedule.alpha_bar_s.sqrt(), (1 - schedule.alpha_bar_s).sqrt()
    half = (noise_s - signal_s * noise / signal) / 2  # (rho_s - rho_t) / 2 in units of x_s
    x_t = x_T
    for step in range(schedule.T, 0, -1):
        with nullcontext() if step == schedule.T else trusting():
            t = torch.full((len(x_t),), step, device=x_t.device)
            x_0_hat = denoise(x_t, t)
            eps_hat = eps_from_x_0(schedule, x_t, x_0_hat, t)
            x_s = at(signal_s, t, x_t) * x_0_hat + at(noise_s, t, x_t) * eps_hat
            if step > 1:
                there = eps_from_x_0(schedule, x_s, denoise(x_s, t - 1), t - 1)
                x_s = x_s + at(half, t, x_t) * (there - eps_hat)
        yield Step(step, x_t, x_0_hat, x_s)
        x_t = x_s


@torch.no_grad()
def multistep(
    schedule: Schedule,
    denoise: Denoiser,
    x_T: Data,
    eta: float = 0.0,
    generator: Generator | None = None,
) -> Iterator[Step]:
    """Take the step of `ddim` with a guess that the last two foretell for its middle.

    The guess moves evenly in log-SNR, and one evaluation a step finds out how fast
    (`[eq-multistep]`); the first step, and the last, know no better than `ddim`. `eta` is the share
    of the noise that is drawn anew (`[eq-churn]`). DPM-Solver++(2M) of Lu et al. (2022) for 0,
    SDE-DPM-Solver++(2M) for 1.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must be in [0, 1], got {eta!r}")
    signal, noise = schedule.amplitudes
    variance = eta**2 * schedule.beta_tilde
    kept = (1 - schedule.alpha_bar_s - variance).clamp(min=0).sqrt() / noise
    new, deviation = schedule.alpha_bar_s.sqrt() - signal * kept, variance.sqrt()
    ahead = extrapolation(schedule)
    x_t, x_0_before = x_T, torch.zeros_like(x_T)
    for step in range(schedule.T, 0, -1):
        with nullcontext() if step == schedule.T else trusting():
            t = torch.full((len(x_t),), step, device=x_t.device)
            x_0_hat = denoise(x_t, t)
            middle = x_0_hat + at(ahead, t, x_t) * (x_0_hat - x_0_before)
            mean = at(kept, t, x_t) * x_t + at(new, t, x_t) * middle
            x_s = mean + at(deviation, t, x_t) * noise_like(x_t, generator)
        yield Step(step, x_t, x_0_hat, x_s)
        x_t, x_0_before = x_s, x_0_hat


def extrapolation(schedule: Schedule) -> Float64[Tensor, "steps"]:
    """Half a step over the step before it, both in log-SNR; 0 for steps 1 and T, and in entry 0.

    What the change of the guess is multiplied by in `[eq-multistep]`.
    """
    ahead = torch.zeros_like(schedule.log_snr)
    lengths = -schedule.log_snr[1:].diff()  # of the steps 2 to T
    ahead[2:-1] = lengths[:-1] / lengths[1:] / 2
    return ahead


def karras_ratios(K: int, low: float, high: float, power: float = 7.0) -> Float64[Tensor, "K"]:
    """K ratios that rise from `low` to `high`, evenly in their roots (`[eq-karras-grid]`).

    1 is even in the ratio; the larger the power, the nearer to even in log-SNR. Karras et al.
    (2022), equation 5.
    """
    check_ends(K, low, high)
    if not 0 < power < math.inf:
        raise ValueError(f"power must be positive and finite, got {power!r}")
    return torch.linspace(low ** (1 / power), high ** (1 / power), K, dtype=torch.float64) ** power


def log_snr_ratios(K: int, low: float, high: float) -> Float64[Tensor, "K"]:
    """K ratios that rise from `low` to `high` by the same factor each time."""
    check_ends(K, low, high)
    return torch.linspace(math.log(low), math.log(high), K, dtype=torch.float64).exp()


def check_ends(K: int, low: float, high: float) -> None:
    """Refuse a grid of no points, or one that does not rise from above 0."""
    check_positive(K=K)
    if not 0 < low < high < math.inf:
        raise ValueError(f"expected 0 < low < high, both finite, got {low!r} and {high!r}")


def schedule_of(ratios: Float64[Tensor, "K"]) -> Schedule:
    """Return the schedule of K steps with these ratios, alpha_bar = 1 / (1 + rho^2).

    What is known in closed form can be asked at any ratio.
    """
    return Schedule(torch.cat([ratios.new_ones(1), 1 / (1 + ratios**2)]))


def nearest_steps(schedule: Schedule, ratios: Float64[Tensor, "K"]) -> Int64[Tensor, "K"]:
    """Return the steps whose log-SNR is nearest to that of the ratios, for `respaced`.

    A network knows the steps it was trained at. Where ratios fall on one step, they move apart to
    its neighbours. ValueError if the ratios do not rise, or are more than the steps.
    """
    if not (ratios.diff() > 0).all() or not ratios[0] > 0:
        raise ValueError(f"expected ratios that rise from above 0, got {ratios.tolist()}")
    need(len(ratios) <= schedule.T, f"got {len(ratios)} ratios for {schedule.T} steps")
    wanted = -2 * ratios.log()
    steps = (schedule.log_snr[1:, None] - wanted).abs().argmin(0) + 1
    places = torch.arange(len(steps))
    steps = (steps - places).cummax(0).values + places
    return torch.minimum(steps, schedule.T - places.flip(0))
