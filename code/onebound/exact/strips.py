"""Strips of eight pixels: pictures small enough that what was behind an observation is known.

Six shapes, each with smooth deviations of its own, so a strip is a mixture of normals, and so is
what is left of it once a part, its means or a blurred copy has been seen.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

from onebound.exact.mixture import Mixture

PIXELS = 8
SHAPES = {
    "dark": "--------",
    "step up": "----++++",
    "step down": "++++----",
    "bar": "--++++--",
    "gap": "++----++",
    "bright": "++++++++",
}
"""Of each shape: where it is at 1 and where at -1."""


def strips() -> Mixture:
    """Return the mixture of strips, of mean near 0 and a variance near 1 of each pixel."""
    weights = torch.tensor([0.25, 0.2, 0.15, 0.2, 0.1, 0.1], dtype=torch.float64)
    signs = [[1.0 if mark == "+" else -1.0 for mark in shape] for shape in SHAPES.values()]
    means = torch.tensor(signs, dtype=torch.float64)
    place = torch.arange(PIXELS).double()
    near = torch.exp(-((place[:, None] - place) ** 2) / 8)
    covariance = 0.2**2 * near + 0.05**2 * torch.eye(PIXELS, dtype=torch.float64)
    return Mixture(weights, means, covariance.expand(len(means), -1, -1).clone())


def half() -> Float64[Tensor, "4 8"]:
    """Return the operator of inpainting: it sees the left half."""
    return torch.eye(PIXELS, dtype=torch.float64)[: PIXELS // 2]


def coarse() -> Float64[Tensor, "2 8"]:
    """Return the operator of super-resolution: it sees the means of four neighbours each."""
    return torch.eye(2, dtype=torch.float64).repeat_interleave(4, 1) / 4


def blurred() -> Float64[Tensor, "8 8"]:
    """Return the operator of deblurring: convolution with (1, 2, 3, 2, 1) / 9, ends repeated."""
    rows = torch.zeros(PIXELS, PIXELS, dtype=torch.float64)
    for place in range(PIXELS):
        for step, weight in zip(range(-2, 3), (1, 2, 3, 2, 1), strict=True):
            rows[place, min(max(place + step, 0), PIXELS - 1)] += weight / 9
    return rows
