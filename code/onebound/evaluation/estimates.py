"""Numbers about models, each with its standard error."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Estimate(NamedTuple):
    """A mean over independent examples and its standard error, same unit."""

    mean: float
    stderr: float

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.stderr:.2f}"


def estimate(values: Tensor) -> Estimate:
    """Mean of `values` and its standard error s / sqrt(N) (`[eq-standard-error]`).

    Parameters
    ----------
    values
        One number per independent example, shape (N,), N >= 2.

    Raises
    ------
    ValueError
        If there are fewer than two values, more than one axis, or NaN.
    """
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"expected at least two values on one axis, got {tuple(values.shape)}")
    if torch.isnan(values).any():
        raise ValueError(f"{int(torch.isnan(values).sum())} of {len(values)} values are NaN")
    values = values.double()
    return Estimate(values.mean().item(), (values.std() / len(values) ** 0.5).item())


def two_level(cheap: Tensor, dear: Tensor, chosen: Tensor) -> Estimate:
    """Estimate the mean of a dear quantity from a cheap one like it (`[eq-two-level]`).

    The cheap one is known for all examples, the dear one for some chosen at random: the mean of the
    cheap one plus the mean difference of the two. The closer they are, the fewer it takes.

    Parameters
    ----------
    cheap
        One number per example, shape (N,).
    dear
        The other number for the chosen examples, shape (n,), n >= 2.
    chosen
        Their places, whole numbers, shape (n,).

    Raises
    ------
    ValueError
        As `estimate`, or if there are not as many numbers as places.
    """
    if dear.shape != chosen.shape:
        raise ValueError(f"got {tuple(dear.shape)} numbers for {tuple(chosen.shape)} places")
    level, difference = estimate(cheap), estimate(dear - cheap[chosen])
    return Estimate(level.mean + difference.mean, math.hypot(level.stderr, difference.stderr))


@torch.no_grad()
def per_example(
    function: Callable[[Tensor], Tensor], images: Tensor, batch_size: int = 1000
) -> Tensor:
    """Apply `function`, which gives one number per example, to all `images` in batches.

    Returns
    -------
    Tensor
        Shape (N,) for N images.
    """
    return torch.cat([function(batch) for batch in images.split(batch_size)])
