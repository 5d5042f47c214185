"""The network for samples drawn in few evaluations, judged as the scoreboard judges: 2,000 samples.

The solvers and their grids are those of `onebound.studies.solvers`; "flow" follows the network's
velocity by Euler's method, in steps even in the time of the straight path.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Generator, Tensor

from onebound.diffusion.denoisers import Denoiser, even_steps, respaced
from onebound.diffusion.flows import flow, velocity_of
from onebound.diffusion.samplers import Step, ddim, last
from onebound.diffusion.schedules import Schedule
from onebound.diffusion.solvers import multistep, nearest_steps
from onebound.studies.sampling import starts
from onebound.studies.scoreboard import judge
from onebound.studies.solvers import kept_steps
from onebound.zoo import unet
from onebound.zoo.cards import load_model

SETTINGS: dict[str, dict[str, Any]] = {
    "DDIM, 50": {"way": "ddim", "steps": 50},
    "flow, 10": {"way": "flow", "steps": 10},
    "2M with noise, 10": {"way": "multistep", "steps": 10},
    "2M with noise, 20": {"way": "multistep", "steps": 20},
}
SEEDS = (0,)
SMOKE: dict[str, Any] = {"n": 100, "steps": 3}


def by_ddim(x_T: Tensor, steps: int, noise: Generator) -> Iterator[Step]:
    """Take steps even in t, without noise."""
    return ddim(*few(even_steps(unet.SCHEDULE.T, steps)), x_T, 0.0)


def by_flow(x_T: Tensor, steps: int, noise: Generator) -> Iterator[Step]:
    """Follow the velocity in steps even in tau."""
    tau = torch.arange(1, steps).double() / steps
    kept = nearest_steps(unet.SCHEDULE, tau / (1 - tau))
    schedule, guess = few(torch.cat([kept, torch.tensor([unet.SCHEDULE.T])]))
    return flow(schedule, velocity_of(schedule, guess), x_T)


def by_multistep(x_T: Tensor, steps: int, noise: Generator) -> Iterator[Step]:
    """Take steps of the multistep method with fresh noise."""
    return multistep(*few(kept_steps("roots", steps)), x_T, 1.0, noise)


def few(kept: Tensor) -> tuple[Schedule, Denoiser]:
    """Return the schedule and the denoiser of some of the network's steps."""
    network, _ = load_model(unet)
    return respaced(unet.SCHEDULE, unet.denoiser_of(network), kept)


WAYS: dict[str, Callable[[Tensor, int, Generator], Iterator[Step]]] = {
    "ddim": by_ddim,
    "flow": by_flow,
    "multistep": by_multistep,
}


def run(seed: int, way: str, steps: int, n: int = 2000) -> dict[str, Any]:
    """Draw n samples in so many evaluations and judge them as the cards do."""
    parts = [last(WAYS[way](x_T, steps, noise)) for x_T, noise in starts(n, seed)]
    return judge(torch.cat(parts))
