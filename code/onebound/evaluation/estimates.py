"""Numbers about models, each with its standard error."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from onebound.checks import check_positive, need, trusting


class Estimate(NamedTuple):
    """A mean over independent examples and its standard error, same unit."""

    mean: float
    stderr: float

    def __str__(self) -> str:
        return self.text()

    def text(self, digits: int = 2) -> str:
        """Write both with so many digits, with more if none of the error's would be left."""
        if self.stderr == 0:  # all examples are alike
            return f"{self.mean:.{digits}f}"
        digits = max(digits, -math.floor(math.log10(self.stderr)))
        return f"{self.mean:.{digits}f} ± {self.stderr:.{digits}f}"


def estimate(values: Shaped[Tensor, "N"]) -> Estimate:
    """Mean of `values`, one per independent example, and its standard error s / sqrt(N).

    `[eq-standard-error]`. ValueError if there are fewer than two values, or NaN.
    """
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"expected at least two values on one axis, got {tuple(values.shape)}")
    if torch.isnan(values).any():
        raise ValueError(f"{int(torch.isnan(values).sum())} of {len(values)} values are NaN")
    values = values.detach().cpu().double()  # not every device has float64
    return Estimate(values.mean().item(), (values.std() / len(values) ** 0.5).item())


def two_level(
    cheap: Shaped[Tensor, "N"], dear: Shaped[Tensor, "n"], chosen: Int64[Tensor, "n"]
) -> Estimate:
    """Estimate the mean of a dear quantity from a cheap one like it (`[eq-two-level]`).

    The cheap one is known for all examples, the dear one for those at the places `chosen` at
    random: the mean of the cheap one plus the mean difference of the two. The closer they are, the
    fewer it takes. ValueError as `estimate`, or if there are not as many numbers as places.
    """
    got = f"got {tuple(dear.shape)} numbers for {tuple(chosen.shape)} places"
    need(dear.shape == chosen.shape, got)
    level, difference = estimate(cheap), estimate(dear - cheap[chosen])
    return Estimate(level.mean + difference.mean, math.hypot(level.stderr, difference.stderr))


@torch.no_grad()
def per_example(
    function: Callable[[Tensor], Tensor], images: Shaped[Tensor, "N ..."], batch_size: int = 1000
) -> Shaped[Tensor, "N ..."]:
    """Apply `function`, which answers for each example, to all `images` in batches.

    What it checks by reading values it checks on the first batch.
    """
    check_positive(batch_size=batch_size)
    parts: list[Tensor] = []
    for batch in images.split(batch_size):
        with trusting() if parts else nullcontext():
            parts.append(function(batch))
    return torch.cat(parts)
