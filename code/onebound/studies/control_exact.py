"""Strips of eight pixels completed, enlarged and deblurred, against the exact posterior.

Each method draws for many observations, and the energy distance to exact draws is kept for each.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float64
from torch import Generator, Tensor

from onebound.diffusion.control import (
    LogProb,
    Observation,
    Table,
    bayes_reach,
    by_distance,
    normal_spread,
    replaced,
    steered,
    step_reach,
    through_the_guess,
)
from onebound.diffusion.denoisers import Denoiser, even_steps, respaced
from onebound.diffusion.samplers import ancestral, last
from onebound.diffusion.schedules import Schedule, cosine_schedule
from onebound.evaluation.energy import energy_distance
from onebound.exact.mixture import Mixture
from onebound.exact.strips import blurred, coarse, half, strips

OPERATORS: dict[str, Callable[[], Tensor]] = {
    "inpainting": half,
    "super-resolution": coarse,
    "deblurring": blurred,
}
SETTINGS: dict[str, dict[str, Any]] = {name: {"task": name} for name in OPERATORS}
SEEDS = (0,)
SMOKE = {"observations": 2, "each": 4}
SIGMA = 0.1
"""Standard deviation of the noise of an observation."""
SCHEDULE = respaced(cosine_schedule(1000), lambda x, t: x, even_steps(1000, 100))[0]
DATA = strips()

Way = Callable[[Schedule, Denoiser, Observation, Tensor, Generator], Tensor]
"""From schedule, guess, what is seen, x_T and what draws the noise to samples."""
Finish = Callable[[Denoiser], Denoiser]
"""What is done to a guess at last: `clipped`, or nothing."""


def kept(guess: Denoiser) -> Denoiser:
    """Do nothing to a guess."""
    return guess


def put_in(repeats: int, finish: Finish = kept) -> Way:
    """Return what puts the known into every step, which is taken so many times."""

    def draw(
        schedule: Schedule, guess: Denoiser, seen: Observation, x_T: Tensor, noise: Generator
    ) -> Tensor:
        return last(replaced(schedule, finish(guess), x_T, seen, repeats, noise))

    return draw


def stepped(size: float, finish: Finish = kept) -> Way:
    """Return what takes steps of a size along minus the distance of y from what is guessed."""
    return _pulled(lambda seen, _: by_distance(seen), partial(step_reach, size=size), finish)


def believing(spread: Callable[[Schedule], Table], finish: Finish = kept) -> Way:
    """Return what takes x_0 for normal around the guess, with this variance at each step."""
    slope = lambda seen, schedule: through_the_guess(seen, spread(schedule))  # noqa: E731
    return _pulled(slope, bayes_reach, finish)


def _pulled(
    log_prob: Callable[[Observation, Schedule], LogProb],
    reach: Callable[[Schedule], Table],
    finish: Finish,
) -> Way:
    def draw(
        schedule: Schedule, guess: Denoiser, seen: Observation, x_T: Tensor, noise: Generator
    ) -> Tensor:
        towards = steered(guess, log_prob(seen, schedule), reach(schedule))
        return last(ancestral(schedule, finish(towards), x_T, noise))

    return draw


WAYS: dict[str, Way] = {
    "put in": put_in(1),
    "put in, 5 times": put_in(5),
    "guess at its word": believing(lambda schedule: torch.zeros_like(schedule.alpha_bar)),
    **{f"distance, {size:g}": stepped(size) for size in (0.1, 0.3, 1.0)},
    "spread of the guess": believing(normal_spread),
}


def observed(
    task: str, observations: int, coins: Generator
) -> tuple[Float64[Tensor, "N D"], Float64[Tensor, "N M"], list[Mixture]]:
    """Draw strips and what is seen of each; return both, and what each strip may be."""
    operator = OPERATORS[task]()
    x_0 = DATA.sample(observations, coins)
    noise = torch.randn(observations, len(operator), dtype=torch.float64, generator=coins)
    y = x_0 @ operator.T + SIGMA * noise
    return x_0, y, [DATA.posterior(one, operator, SIGMA) for one in y]


def knowing(posteriors: list[Mixture]) -> Denoiser:
    """Return the exact denoiser of each posterior, for as many points of each."""
    denoisers = [posterior.denoiser(SCHEDULE) for posterior in posteriors]

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        parts = zip(x_t.chunk(len(denoisers)), t.chunk(len(denoisers)), strict=True)
        return torch.cat([exact(*part) for exact, part in zip(denoisers, parts, strict=True)])

    return denoise


def run(seed: int, task: str, observations: int = 100, each: int = 64) -> dict[str, Any]:
    """Draw by each method, for each observation; the lists have an entry for each of them.

    "exact draws" are others of the posterior, "exact slope" the same sampler with the exact
    denoiser of the posterior.
    """
    coins = Generator().manual_seed(seed)
    _, y, posteriors = observed(task, observations, coins)
    exact, again = (torch.stack([p.sample(each, coins) for p in posteriors]) for _ in range(2))
    x_T = torch.randn(observations * each, DATA.means.shape[1], dtype=exact.dtype, generator=coins)
    seen = Observation(OPERATORS[task](), y.repeat_interleave(each, 0), SIGMA)
    slope = last(ancestral(SCHEDULE, knowing(posteriors), x_T, coins))
    draws = {"exact draws": again.flatten(0, 1), "exact slope": slope}
    guess = DATA.denoiser(SCHEDULE)
    draws |= {name: way(SCHEDULE, guess, seen, x_T, coins) for name, way in WAYS.items()}
    return {
        name: energy_distance(x.reshape(exact.shape), exact).tolist() for name, x in draws.items()
    }
