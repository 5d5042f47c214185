"""A distance between two sets of points that is 0 on average only if they have one distribution."""

import torch
from jaxtyping import Float
from torch import Tensor


def energy_distance(x: Float[Tensor, "G n D"], y: Float[Tensor, "G m D"]) -> Float[Tensor, "G"]:
    """Twice the mean distance of an x and a y, less that of two x and of two y, for each group.

    See `[eq-energy-distance]`. No point is paired with itself, so the mean over sets is that of
    the distributions, and a single value may be negative. ValueError for fewer than two points.
    Szekely and Rizzo (2013).
    """
    if min(x.shape[1], y.shape[1]) < 2:
        raise ValueError(f"expected at least two points, got {x.shape[1]} and {y.shape[1]}")
    between = torch.cdist(x, y).mean((1, 2))
    return 2 * between - _within(x) - _within(y)


def _within(x: Float[Tensor, "G n D"]) -> Float[Tensor, "G"]:
    n = x.shape[1]
    return torch.cdist(x, x).sum((1, 2)) / (n * (n - 1))
