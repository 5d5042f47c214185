"""Nearest neighbours in pixel space, to see whether a model copies its training images."""

from typing import NamedTuple

import torch
from jaxtyping import Float64, Int64, Shaped
from torch import Tensor

from onebound.checks import check_positive


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
    if images.shape[1:] != reference.shape[1:] or images.dtype != reference.dtype:
        raise ValueError(
            f"expected images like those of the reference, got {images.dtype} of shape "
            f"{tuple(images.shape)} and {reference.dtype} of shape {tuple(reference.shape)}"
        )
    if k > len(reference):
        raise ValueError(f"got {len(reference)} reference images, fewer than k = {k}")
    images, reference = images.cpu(), reference.cpu()  # not every device has float64
    found = [_search(part, reference.flatten(1), k) for part in images.flatten(1).split(1000)]
    return Neighbours(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _search(x: Tensor, reference: Tensor, k: int) -> Neighbours:
    x = x.double()  # with levels every product and every sum below is then exact
    squares = x.new_empty(len(x), 0)
    index = torch.empty(len(x), 0, dtype=torch.int64)
    for start in range(0, len(reference), 5000):
        chunk = reference[start : start + 5000].double()
        # ||y||^2 - 2 x.y: without ||x||^2, which orders nothing.
        squares = torch.cat([squares, (chunk**2).sum(1) - 2 * x @ chunk.T], 1)
        places = torch.arange(start, start + len(chunk)).expand(len(x), -1)
        index = torch.cat([index, places], 1)
        squares, best = squares.topk(min(k, squares.shape[1]), largest=False)
        index = index.gather(1, best)
    # From the differences themselves: a copy is at distance 0, not at the root of a rounding error.
    distance = torch.stack([(x - reference[i]).norm(dim=1) for i in index.T], 1)
    return Neighbours(index, distance)
