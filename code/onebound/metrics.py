"""Numbers about models, each with its standard error."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from onebound.checks import check_positive
from onebound.vae import VAE


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


@torch.no_grad()
def importance_weighted_bound(
    model: VAE, images: Tensor, k: int, generator: Generator | None = None, at_once: int = 200
) -> Tensor:
    """Log of the average of k importance weights for each image (`[eq-iwae]`).

    Parameters
    ----------
    model
        A trained VAE.
    images
        As `VAE.bound` takes them, shape (N, 1, 28, 28).
    k
        Draws for each image.
    generator
        Source of the noise; None takes torch's global one.
    at_once
        Latents that pass the decoder together: what bounds the memory. A few hundred suit a cache.

    Returns
    -------
    Tensor
        Nats, shape (N,): in the mean a lower bound on log p(x), the tighter the larger k.

    Raises
    ------
    ValueError
        If `k` or `at_once` is below 1, and as `VAE.log_weights`.

    References
    ----------
    Burda, Grosse and Salakhutdinov (2016).
    """
    check_positive("k", k)
    check_positive("at_once", at_once)
    draws = min(k, at_once)
    parts = []
    for batch in images.split(max(1, at_once // draws)):
        sums = [
            torch.logsumexp(model.log_weights(batch, min(draws, k - done), generator), 1)
            for done in range(0, k, draws)
        ]
        parts.append(torch.logsumexp(torch.stack(sums), 0) - math.log(k))
    return torch.cat(parts)
