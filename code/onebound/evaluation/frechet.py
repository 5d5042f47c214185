"""The Frechet distance between two sets of images, seen through the features of a classifier.

A normal distribution is fitted to the features of each set. The distance between the two normals is
known in closed form. It is squared, as everywhere in the literature, and has the unit of a squared
feature: numbers from two classifiers cannot be compared.

The estimate from n examples is biased: even two samples of one distribution have distances
around (1/n + 1/m) (tr S + sum_ij S_i S_j (1 + [i = j]) / (2 (S_i + S_j))), to first order and for
normal features whose covariance S has the eigenvalues S_i. So compare at one n only, and put
`floor`, what real images get at that n, beside every number.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Generator, Tensor

from onebound.checks import check_positive, need
from onebound.evaluation.estimates import Estimate, estimate


class Normal(NamedTuple):
    """A normal distribution in D dimensions, on the CPU."""

    mean: Float64[Tensor, "D"]
    covariance: Float64[Tensor, "D D"]


def fit(features: Float[Tensor, "n D"]) -> Normal:
    """Return the normal distribution with the mean and the unbiased covariance of examples.

    ValueError if they are no more than features, as the covariance had no full rank, or not finite.
    """
    got, more = tuple(features.shape), features.ndim == 2 and len(features) > features.shape[1]
    need(more, f"expected more examples than features, (n, D) with n > D, got {got}")
    if not torch.isfinite(features).all():
        raise ValueError(f"{int((~torch.isfinite(features)).sum())} features are not finite")
    features = features.detach().cpu().double()  # not every device has float64
    mean = features.mean(0)
    centred = features - mean
    return Normal(mean, centred.T @ centred / (len(features) - 1))


def distance(one: Normal, other: Normal) -> float:
    """||m_1 - m_2||^2 + tr(S_1 + S_2 - 2 (S_1^(1/2) S_2 S_1^(1/2))^(1/2)), at least 0.

    The square of the least root mean squared distance that a joint distribution of x_1 and x_2 with
    these marginals can give them (`[eq-frechet]`). Dowson and Landau (1982); Heusel et al. (2017),
    with the features of another network.
    """
    size, other_size = tuple(one.mean.shape), tuple(other.mean.shape)
    need(size == other_size, f"expected normals of one dimension, got {size} and {other_size}")
    # The trace of that root is the sum of the singular values of S_1^(1/2) S_2^(1/2). They come
    # without squaring, so without the roots of rounding errors where S is nearly singular.
    overlap = torch.linalg.svdvals(_root(one.covariance) @ _root(other.covariance)).sum()
    spread = one.covariance.trace() + other.covariance.trace() - 2 * overlap
    return max(0.0, (((one.mean - other.mean) ** 2).sum() + spread).item())


def _root(covariance: Tensor) -> Tensor:
    """Return the symmetric square root."""
    variances, axes = torch.linalg.eigh(covariance)
    return axes * variances.clamp(min=0).sqrt() @ axes.T  # rounding makes a zero negative


def from_sample(
    features: Float[Tensor, "n D"], reference: Normal, resamples: int = 200, seed: int = 0
) -> Estimate:
    """Distance of a sample to a reference, with the standard error of the bootstrap.

    The mean is the distance of the normal fitted to the sample, the error its scatter over samples
    of this size, without the bias and the error of the reference. The bootstrap's quantiles would
    be biased once more: take ``mean ± 1.96 stderr``, near the floor up to sqrt(3) times too wide,
    as the distance has no slope there. Efron and Tibshirani (1993), chapter 8.
    """
    check_positive(2, resamples=resamples)
    generator = Generator().manual_seed(seed)
    draws, n = torch.empty(resamples, dtype=torch.float64), len(features)
    for i in range(resamples):
        chosen = torch.randint(n, (n,), generator=generator)
        draws[i] = distance(fit(features[chosen]), reference)
    return Estimate(distance(fit(features), reference), draws.std().item())


def floor(
    features: Float[Tensor, "N D"], reference: Normal, n: int, repeats: int = 20, seed: int = 0
) -> Estimate:
    """Distance of n real images to a reference: mean over disjoint subsets, and its standard error.

    The features are of 2 n or more real images that are not in the reference, n the size of the
    sample to be compared. At most `repeats` subsets are taken, shuffled by `seed`.
    """
    check_positive(n=n)
    order = torch.randperm(len(features), generator=Generator().manual_seed(seed))
    subsets = order[: len(order) // n * n].split(n)[:repeats]
    need(len(subsets) > 1, f"expected at least 2 subsets of {n} from {len(features)} images")
    found = [distance(fit(features[subset]), reference) for subset in subsets]
    return estimate(torch.tensor(found, dtype=torch.float64))
