"""Numbers about models, each with its standard error."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from onebound.checks import check_positive


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


def bits_per_dim(nats: Tensor, dims: int = 784) -> Tensor:
    """Bits that a code for the model spends on each dimension (`[eq-bits-per-dim]`).

    Parameters
    ----------
    nats
        Log-probability of discrete data, or a lower bound on it, shape (B,). A log-density is not
        one: `onebound.likelihoods.density_to_levels` comes first.
    dims
        Dimensions of an example.

    Returns
    -------
    Tensor
        Shape (B,), positive, lower is better.

    Raises
    ------
    ValueError
        If `dims` is below 1.
    """
    check_positive("dims", dims)
    return -nats / (dims * math.log(2))
