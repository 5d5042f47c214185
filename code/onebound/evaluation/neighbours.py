"""Nearest neighbours in pixel space, to see whether a model copies its training images."""

from typing import NamedTuple

import torch
from jaxtyping import Float64, Int64, Shaped
from torch import Tensor

from onebound.checks import check_positive, need


class Neighbours(NamedTuple):
    """The k nearest of the reference for each image, nearest first, on the CPU."""

    index: Int64[Tensor, "B k"]  # type: ignore[assignment]  # hides tuple.index; places
    distance: Float64[Tensor, "B k"]  # Euclidean, in the unit of a pixel


def nearest_neighbours(
    images: Shaped[Tensor, "B *shape"], reference: Shaped[Tensor, "N *shape"], k: int = 1
) -> Neighbours:
    """Find the k nearest reference images, exactly: no index, no projection.

    Levels and float images both do. Beside the result no more than about 100 MB is held at a time.
    ValueError if the shapes or the types differ, or k is below 1 or above N.
    """
    check_positive("k", k)
    need(
        images.shape[1:] == reference.shape[1:] and images.dtype == reference.dtype,
        f"expected images like those of the reference, got {images.dtype} of shape "
        f"{tuple(images.shape)} and {reference.dtype} of shape {tuple(reference.shape)}",
    )
    need(k <= len(reference), f"got {len(reference)} reference images, fewer than k = {k}")
    # Not every device has float64.
    images, reference = images.flatten(1).cpu(), reference.flatten(1).cpu()
    found = [_search(part.double(), reference, k) for part in images.split(1000)]
    return Neighbours(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _search(x: Tensor, reference: Tensor, k: int) -> Neighbours:
    best = []
    for start in range(0, len(reference), 5000):
        y = reference[start : start + 5000].double()
        # ||y||^2 - 2 x.y: without ||x||^2, which orders nothing. With levels all of it is exact.
        squares, places = ((y**2).sum(1) - 2 * x @ y.T).topk(min(k, len(y)), largest=False)
        best.append((squares, places + start))
    squares, places = (torch.cat(parts, 1) for parts in zip(*best, strict=True))
    index = places.gather(1, squares.topk(k, largest=False).indices)
    # From the differences themselves: a copy is at distance 0, not at the root of a rounding error.
    distance = torch.stack([(x - reference[i]).norm(dim=1) for i in index.T], 1)
    return Neighbours(index, distance)
