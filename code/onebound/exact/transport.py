"""The probability-flow equation solved on a line, where no path can pass another."""

import torch
from jaxtyping import Float64
from torch import Tensor

from onebound.exact.mixture import Mixture


def share_below(
    mixture: Mixture, x: Float64[Tensor, "B 1"], a: float, sigma: float
) -> Float64[Tensor, "B 1"]:
    """Return the probability that a x_0 + sigma eps is at most x, for a mixture on a line."""
    spread = (a**2 * mixture.covariances[:, 0, 0] + sigma**2).sqrt()
    below = torch.special.ndtr((x - a * mixture.means[:, 0]) / spread)
    return (below @ mixture.weights)[:, None]


def carried(
    mixture: Mixture,
    x: Float64[Tensor, "B 1"],
    before: tuple[float, float],
    after: tuple[float, float],
    halvings: int = 100,
) -> Float64[Tensor, "B 1"]:
    """Carry points from one pair (a, sigma) to another along the exact paths (`[eq-line-flow]`).

    A path keeps the share of probability below it, and the place of a share is found by bisection.
    ValueError if the mixture is not on a line, or a point is farther than 1,000 from 0.
    """
    if mixture.means.shape[1] != 1:
        raise ValueError(f"expected a mixture on a line, got {mixture.means.shape[1]} dimensions")
    if not (x.abs() <= 1e3).all():
        raise ValueError(f"expected points within 1,000 of 0, got {x.abs().max():g}")
    share = share_below(mixture, x, *before)
    low, high = torch.full_like(x, -1e3), torch.full_like(x, 1e3)
    for _ in range(halvings):
        middle = (low + high) / 2
        short = share_below(mixture, middle, *after) < share
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return (low + high) / 2
