"""How well one network draws in few evaluations: solvers of second order, their grids, fresh noise.

From the same noise as `onebound.studies.sampling`, whose record has `ddim` and `ancestral`. The
ends of the grid were chosen on 500 samples of another seed.
"""

from typing import Any

import torch
from torch import Tensor

from onebound.diffusion.denoisers import even_steps, respaced
from onebound.diffusion.samplers import last
from onebound.diffusion.solvers import (
    heun,
    karras_ratios,
    log_snr_ratios,
    multistep,
    nearest_steps,
)
from onebound.studies.sampling import N, judged, starts
from onebound.zoo import unet
from onebound.zoo.cards import load_model

SEEDS = (0, 1, 2, 3, 4)
SMOKE = {"n": 260, "steps": 4}
LOW, HIGH = 0.05, 20.0
"""Ends of the grids, as ratios of noise to signal."""
SETTINGS: dict[str, dict[str, Any]] = {
    **{f"2M, η = 0, {K}": {"steps": K} for K in (5, 10, 20, 50)},
    **{f"2M, η = 1, {K}": {"steps": K, "eta": 1.0} for K in (5, 10, 20, 50)},
    **{f"Heun, {2 * K - 1}": {"steps": K, "slopes": 2} for K in (3, 5, 10, 25)},
    **{f"2M, η = 0, 10 even in {grid}": {"steps": 10, "grid": grid} for grid in ("t", "log-SNR")},
}


def kept_steps(grid: str, K: int) -> Tensor:
    """Return K steps of the network, even in what the grid says; "roots" are those of Karras."""
    grids = {
        "roots": lambda: nearest_steps(unet.SCHEDULE, karras_ratios(K, LOW, HIGH)),
        "log-SNR": lambda: nearest_steps(unet.SCHEDULE, log_snr_ratios(K, LOW, HIGH)),
        "t": lambda: even_steps(unet.SCHEDULE.T, K),
    }
    return grids[grid]()


def run(
    seed: int,
    steps: int,
    eta: float = 0.0,
    slopes: int = 1,
    grid: str = "roots",
    n: int = N,
) -> dict[str, Any]:
    """Draw from `unet`, by the multistep method or, with two slopes a step, by Heun's."""
    network, _ = load_model(unet)
    pair = respaced(unet.SCHEDULE, unet.denoiser_of(network), kept_steps(grid, steps))
    parts = []
    for x_T, noise in starts(n, seed):
        way = heun(*pair, x_T) if slopes == 2 else multistep(*pair, x_T, eta, noise)
        parts.append(last(way))
    return judged(torch.cat(parts), seed)
