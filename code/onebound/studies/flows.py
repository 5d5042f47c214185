"""Velocities learned in the plane: which noise is paired with which point, and rectified once more.

Small networks learn the exact mixture of `onebound.exact.mixture`, on the straight path. What they
learn from is pairs of a point and noise: independent, the best pairing within batches, or the two
ends of the paths of a network learned before.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from onebound.diffusion.denoisers import Network, even_steps
from onebound.diffusion.flows import (
    curvature,
    flow,
    flow_matching_loss,
    optimal_pairing,
    straight_schedule,
)
from onebound.diffusion.loss import stratified_t
from onebound.diffusion.samplers import last
from onebound.diffusion.schedules import Schedule
from onebound.evaluation.energy import energy_distance
from onebound.exact.mixture import mixture_2d
from onebound.networks.residual import ResidualMLP

T, PAIRS, BATCH, STEPS, RATE = 100, 6400, 256, 1500, 2e-3
SEEDS = (0, 1, 2, 3, 4)
SMOKE = {"steps": 3, "pairs": 128}
SETTINGS: dict[str, dict[str, Any]] = {
    "independent": {},
    "best of 64": {"together": 64},
    "rectified": {"rounds": 1},
    "rectified twice": {"rounds": 2},
}
COUNTS = (1, 2, 4, 8, 100)
"""Euler steps with which the samples are drawn."""


def pairs_of(n: int, together: int, noise: Generator) -> tuple[Tensor, Tensor]:
    """Draw n points and noise, paired at best within so many; 1 leaves them independent."""
    x_0, eps = mixture_2d().sample(n, noise).float(), torch.randn(n, 2, generator=noise)
    if together > 1:
        parts = zip(x_0.split(together), eps.split(together), strict=True)
        eps = torch.cat([part[optimal_pairing(points, part)] for points, part in parts])
    return x_0, eps


def learned(
    x_0: Float[Tensor, "N 2"], eps: Float[Tensor, "N 2"], seed: int, steps: int = STEPS
) -> ResidualMLP:
    """Train a network on pairs, by Adam with a rate that falls to 0."""
    torch.manual_seed(seed)
    network, schedule = ResidualMLP(T, 2, width=64, blocks=2), straight_schedule(T)
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        chosen = torch.randint(len(x_0), (BATCH,))
        t = stratified_t(BATCH, T)
        loss = flow_matching_loss(schedule, network, x_0[chosen], eps[chosen], t).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        falling.step()
    return network


def in_steps(velocity: Network, K: int) -> tuple[Schedule, Network]:
    """Leave K even steps of the straight path; the velocity needs no map, as a denoiser does."""
    kept = torch.cat([torch.zeros(1, dtype=torch.int64), even_steps(T, K)])
    return Schedule(straight_schedule(T).alpha_bar[kept]), lambda x, t: velocity(x, kept[t])


def apart(one: Float[Tensor, "N 2"], other: Float[Tensor, "M 2"]) -> float:
    """Energy distance of two sets of points."""
    return energy_distance(one[None], other[None]).item()


def run(
    seed: int, together: int = 1, rounds: int = 0, pairs: int = PAIRS, steps: int = STEPS
) -> dict[str, Any]:
    """Learn a velocity from pairs, then as often as asked from the ends of its own paths."""
    noise = Generator().manual_seed(seed)
    x_0, eps = pairs_of(pairs, together, noise)
    network = learned(x_0, eps, seed, steps)
    for _ in range(rounds):
        eps = torch.randn(pairs, 2, generator=noise)
        network = learned(last(flow(*in_steps(network, 50), eps)), eps, seed, steps)
    start = torch.randn(2000, 2, generator=noise)
    real, others = (mixture_2d().sample(2000, noise).float() for _ in range(2))
    return {
        "curvature": curvature(straight_schedule(T), network, start),
        "energy": [apart(last(flow(*in_steps(network, K), start)), real) for K in COUNTS],
        "floor": apart(others, real),
    }
