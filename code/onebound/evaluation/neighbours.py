"""Nearest neighbours in pixel space, to see whether a model copies its training images."""

from typing import NamedTuple

import torch
from jaxtyping import Float64, Int64, Shaped
from torch import Tensor

from onebound.checks import need


class Neighbours(NamedTuple):
    """The nearest of the reference for each image, on the CPU."""

    index: Int64[Tensor, "B"]  # type: ignore[assignment]  # hides tuple.index; places
    distance: Float64[Tensor, "B"]  # Euclidean, in the unit of a pixel


def nearest_neighbours(
    images: Shaped[Tensor, "B *shape"], reference: Shaped[Tensor, "N *shape"]
) -> Neighbours:
    """Find the nearest reference image of each image, exactly: no index, no projection.

    Levels and float images both do. Beside the result no more than about 100 MB is held at a time.
    ValueError if the shapes or the types differ, or there is no reference.
    """
    like = images.shape[1:] == reference.shape[1:] and images.dtype == reference.dtype
    need(
        like and len(reference),
        f"expected images like those of the reference, got {images.dtype} of shape "
        f"{tuple(images.shape)} and {reference.dtype} of shape {tuple(reference.shape)}",
    )
    # Not every device has float64.
    images, reference = images.flatten(1).cpu(), reference.flatten(1).cpu()
    found = [_search(part.double(), reference) for part in images.split(1000)]
    return Neighbours(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _search(x: Tensor, reference: Tensor) -> Neighbours:
    best = []
    for start in range(0, len(reference), 5000):
        y = reference[start : start + 5000].double()
        # ||y||^2 - 2 x.y: without ||x||^2, which orders nothing. With levels all of it is exact.
        squares, places = ((y**2).sum(1) - 2 * x @ y.T).min(1)
        best.append((squares, places + start))
    squares, places = (torch.stack(parts, 1) for parts in zip(*best, strict=True))
    index = places.gather(1, squares.argmin(1, keepdim=True))[:, 0]
    # From the differences themselves: a copy is at distance 0, not at the root of a rounding error.
    return Neighbours(index, (x - reference[index]).norm(dim=1))
