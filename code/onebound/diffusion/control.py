"""Control: a denoiser that knows what you want, made of one that does not.

Both kinds of knowledge enter at x_0_hat. A classifier or an observation adds the slope of
log p(y|x_t) to it (`steered`); a second denoiser adds a difference (`guided_by_step`, and
`onebound.diffusion.denoisers.guided`). Samplers take the results as they are. `replaced` is a
sampler of its own.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Float64
from torch import Generator, Tensor

from onebound.checks import check_positive, trusting
from onebound.diffusion.denoisers import Denoiser, guided
from onebound.diffusion.process import Data, q_xs_xt_x0, q_xt_xs, sample_xt, weight_of_x_0
from onebound.diffusion.samplers import Step, ddim
from onebound.diffusion.schedules import Schedule, at
from onebound.distributions import noise_like

Table = Float64[Tensor, "steps"]

LogProb = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x_t, t, x_0_hat at x_t) to the log-probability of what is wanted, (B,), differentiable."""


def steered(denoise: Denoiser, log_prob: LogProb, reach: Table) -> Denoiser:
    """Add reach_t times the slope of log p(y|x_t) to the guess (`[eq-steered]`).

    With the reach of `bayes_reach` and the true log p(y|x_t) the result is E[x_0|x_t, y]. The
    slope passes through the denoiser. ValueError if a reach is not finite. Dhariwal and Nichol
    (2021), section 4.
    """
    _check_finite("reach", reach)

    def towards(x_t: Tensor, t: Tensor) -> Tensor:
        with torch.enable_grad():
            x_t = x_t.detach().requires_grad_()
            x_0_hat = denoise(x_t, t)
            (slope,) = torch.autograd.grad(log_prob(x_t, t, x_0_hat).sum(), x_t)
        return x_0_hat.detach() + at(reach, t, slope) * slope

    return towards


def bayes_reach(schedule: Schedule) -> Table:
    """Return (1 - alpha_bar) / sqrt(alpha_bar), from slopes to x_0; 0 in entry 0 (`[eq-steered]`).

    ValueError if x_T is noise alone: no slope reaches x_0 from there.
    """
    if schedule.alpha_bar[-1] == 0:
        raise ValueError("x_T tells nothing about x_0: take a schedule that leaves some signal")
    return schedule.noise_variance / schedule.alpha_bar.sqrt()


def guided_by_step(denoise: Denoiser, other: Denoiser, strength: Table) -> Denoiser:
    """As `guided`, with a strength of its own for each step (`[eq-guidance]`).

    ValueError if a strength is not finite.
    """
    _check_finite("strength", strength)

    def beyond(x_t: Tensor, t: Tensor) -> Tensor:
        guess = other(x_t, t)
        return guess + at(strength, t, guess) * (denoise(x_t, t) - guess)

    return beyond


def interval(T: int, strength: float, low: int, high: int) -> Table:
    """Return the strengths of guidance where low < t <= high, and 1, which is none, elsewhere.

    ValueError if the strength is not finite. Kynkaanniemi et al. (2024).
    """
    _check_finite("strength", strength)
    t = torch.arange(T + 1)
    return torch.where((low < t) & (t <= high), strength, 1.0).double()


@torch.no_grad()
def guided_and_weighed(
    schedule: Schedule, denoise: Denoiser, other: Denoiser, strength: float, x_T: Data
) -> tuple[Data, Float[Tensor, "B"]]:
    """Draw guided samples without noise, and how much too seldom each is drawn, in nats.

    For denoisers that are exact for two densities, what `guided` draws has the density of
    density^strength / other^(strength - 1), times exp(-nats), but for a factor and the error of
    the steps (`[eq-guided-density]`). ValueError if the strength is not finite.
    """
    _check_finite("strength", strength)
    nats, noise = x_T.new_zeros(len(x_T)), schedule.noise_variance.tolist()
    before = nats
    for step in ddim(schedule, guided(denoise, other, strength), x_T, 0.0):
        t = torch.full((len(x_T),), step.t, device=x_T.device)
        apart = (denoise(step.x_t, t) - other(step.x_t, t)).flatten(1).square().sum(1)
        cost = apart / noise[step.t] ** 2 / 2  # d SNR is d alpha_bar / (1 - alpha_bar)^2
        if step.t < schedule.T:
            nats = nats + (before + cost) / 2 * (noise[step.t + 1] - noise[step.t])
        before = cost
    return step.x_s, strength * (strength - 1) * (nats + before * noise[1])


@dataclass(frozen=True, eq=False)
class Observation:
    """y = operator x_0 + sigma eps of each image, whose pixels are laid out in a row.

    ValueError if the shapes do not fit, those of images included, or sigma is negative or not
    finite.
    """

    operator: Float[Tensor, "M D"]
    y: Float[Tensor, "B M"]
    sigma: float

    def __post_init__(self) -> None:
        if self.operator.ndim != 2 or self.y.ndim != 2 or len(self.operator) != self.y.shape[1]:
            raise ValueError(
                "expected an operator (M, D) and y (B, M), got "
                f"{tuple(self.operator.shape)} and {tuple(self.y.shape)}"
            )
        if not 0 <= self.sigma < math.inf:
            raise ValueError(f"sigma must be finite and not negative, got {self.sigma!r}")

    @cached_property
    def parts(self) -> tuple[Float[Tensor, "R M"], Float[Tensor, "R"], Float[Tensor, "R D"]]:
        """The operator as rows^T diag(scale) columns, with the scales that are not 0."""
        left, scale, right = torch.linalg.svd(self.operator, full_matrices=False)
        seen = scale > 1e-6 * scale[0]
        return left[:, seen].mT, scale[seen], right[seen]

    def misfit(self, x_0: Data) -> Float[Tensor, "B R"]:
        """Return y - operator x_0, along the directions in which the operator answers."""
        left, scale, right = self.parts
        return self.y @ left.mT - scale * (self._rows(x_0) @ right.mT)

    def put_in(self, x: Data, known: Data) -> Data:
        """Take from `known` what the operator sees of an image, and the rest from x."""
        *_, right = self.parts
        moved = self._rows(known - x) @ right.mT @ right
        return x + moved.reshape(x.shape)

    def least(self, x: Data) -> Data:
        """Return the smallest x_0 with operator x_0 = y, in the shape of x: its pseudo-inverse."""
        left, scale, right = self.parts
        self._rows(x)
        return ((self.y @ left.mT / scale) @ right).reshape(x.shape)

    def _rows(self, x: Data) -> Float[Tensor, "B D"]:
        """Lay the pixels of each image in a row, as many images and pixels as were observed."""
        expected = len(self.y), self.operator.shape[1]
        if (rows := x.flatten(1)).shape != expected:
            raise ValueError(
                f"expected {expected[0]} images of {expected[1]} pixels, got {tuple(x.shape)}"
            )
        return rows


def through_the_guess(observation: Observation, spread: Table) -> LogProb:
    """Return log N(y; A x_0_hat, spread_t A A^T + sigma^2 I), but for what x_t does not change.

    As if x_0 were that near x_0_hat (`[eq-through-guess]`). A spread of 0 is the approximation of
    Chung et al. (2023), and that of `normal_spread` the one of Song et al. (2023). ValueError if
    spread and sigma are both 0.
    """
    if observation.sigma == 0 and not (spread[1:] > 0).all():
        raise ValueError("a width of 0: give the observation noise, or the guess a spread")

    def log_prob(x_t: Tensor, t: Tensor, x_0_hat: Tensor) -> Tensor:
        _, scale, _ = observation.parts
        width = at(spread, t, x_t).flatten(1) * scale**2 + observation.sigma**2
        return -(observation.misfit(x_0_hat) ** 2 / width).sum(1) / 2

    return log_prob


def normal_spread(schedule: Schedule, variance: float = 1.0) -> Table:
    """Return the variance of x_0 given x_t if x_0 were normal, along one axis (`[eq-spread]`).

    ValueError if the variance is not positive and finite.
    """
    if not 0 < variance < math.inf:
        raise ValueError(f"variance must be positive and finite, got {variance!r}")
    return (
        variance
        * schedule.noise_variance
        / (variance * schedule.alpha_bar + schedule.noise_variance)
    )


def by_distance(observation: Observation) -> LogProb:
    """Return minus the distance of y from A x_0_hat, whose slope has a length of its own."""
    return lambda x_t, t, x_0_hat: -observation.misfit(x_0_hat).norm(dim=1)


def step_reach(schedule: Schedule, size: float) -> Table:
    """Return the reach that moves x_s of an ancestral step by size times the slope (`[eq-dps]`).

    ValueError if the size is not finite.
    """
    _check_finite("size", size)
    return size / weight_of_x_0(schedule).clamp(min=1e-12)


@torch.no_grad()
def replaced(
    schedule: Schedule,
    denoise: Denoiser,
    x_T: Data,
    observation: Observation,
    repeats: int = 1,
    generator: Generator | None = None,
) -> Iterator[Step]:
    """Take ancestral steps, and put what is known, under the noise of s, into each x_s.

    See `[eq-replaced]`. Each step is taken `repeats` times: back to x_t by one step of noise, and
    again. The noise of the observation is taken to be 0. Song et al. (2021); with repeats Lugmayr
    et al. (2022).
    """
    check_positive(repeats=repeats)
    deviation = schedule.beta_tilde.sqrt()
    x_t = x_s = x_T
    known_0 = observation.least(x_T)
    for step in range(schedule.T, 0, -1):
        with nullcontext() if step == schedule.T else trusting():
            t = torch.full((len(x_t),), step, device=x_t.device)
            for again in range(repeats):
                if again:
                    mean, variance = q_xt_xs(schedule, x_s, t)
                    x_t = mean + variance.sqrt() * noise_like(x_t, generator)
                x_0_hat = denoise(x_t, t)
                mu_tilde, _ = q_xs_xt_x0(schedule, x_t, x_0_hat, t)
                x_s = mu_tilde + at(deviation, t, x_t) * noise_like(x_t, generator)
                known = known_0
                if step > 1:
                    known = sample_xt(schedule, known_0, noise_like(x_t, generator), t - 1)
                x_s = observation.put_in(x_s, known)
        yield Step(step, x_t, x_0_hat, x_s)
        x_t = x_s


def _check_finite(name: str, value: float | Table) -> None:
    used = value[1:] if isinstance(value, Tensor) else torch.tensor(value)
    if not used.isfinite().all():
        raise ValueError(f"{name} must be finite, got {value!r}")
