"""What a code z ~ q(z|x) says about x: which of its units are in use, and how many nats it carries.

The encoder's answers for N images come as means and log-variances of shape (N, L).
"""

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from onebound.checks import check_latents, check_positive
from onebound.distributions import kl_normal_standard, sample_normal


def activity(mu: Tensor) -> Tensor:
    """Variance over images of each unit's posterior mean (`[eq-activity]`).

    Parameters
    ----------
    mu
        Posterior means of N >= 2 images, shape (N, L).

    Returns
    -------
    Tensor
        Shape (L,), never negative. Above 0.01 a unit counts as active.

    Raises
    ------
    ValueError
        If there are fewer than two images, or the means are not finite.

    References
    ----------
    Burda, Grosse and Salakhutdinov (2016), section 5.
    """
    _check_codes(mu, mu)
    return mu.var(0)


def kl_per_unit(mu: Tensor, logvar: Tensor) -> Tensor:
    """Nats that each unit spends, averaged over images: the summands of `[eq-kl-standard]`.

    Parameters
    ----------
    mu, logvar
        Of N images, shape (N, L).

    Returns
    -------
    Tensor
        Shape (L,), never negative; its sum is the mean rate.

    Raises
    ------
    ValueError
        As `activity`, or if the shapes differ.
    """
    _check_codes(mu, logvar)
    units = kl_normal_standard(mu.reshape(-1, 1), logvar.reshape(-1, 1))
    return units.reshape(mu.shape).mean(0)


def log_components(z: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """Log-density of every code under the posterior of every image (`[eq-aggregate-posterior]`).

    The log of the mean of exp over the last axis is the aggregate posterior's log-density.

    Parameters
    ----------
    z
        Codes, shape (S, L).
    mu, logvar
        Of N images, shape (N, L).

    Returns
    -------
    Tensor
        Nats, float64, shape (S, N).

    Raises
    ------
    ValueError
        As `kl_per_unit`, or if codes and posteriors differ in size.
    """
    _check_codes(mu, logvar)
    check_latents(z, mu.shape[1])
    # The square, multiplied out, is two matrix products and no (S, N, L) array. It subtracts large
    # numbers of one size, hence double precision.
    z, mu, logvar = z.double(), mu.double(), logvar.double()
    precision = torch.exp(-logvar)
    squared = z**2 @ precision.T - 2 * z @ (mu * precision).T + (mu**2 * precision).sum(1)
    return -0.5 * (squared + logvar.sum(1) + mu.shape[1] * math.log(2 * math.pi))


class Information(NamedTuple):
    """What the code of an image says about which image it was; one estimate per code, shape (S,).

    The mean of each is in nats; each is unbiased for what its comment says.
    """

    rate: Tensor  # KL(q(z|x) || p(z)), exact for the images drawn
    among: Tensor  # I(n; z), the information that tells the N images apart: at most log N
    above: Tensor  # an upper bound on the information about an x from the source of the images


def information(
    mu: Tensor, logvar: Tensor, codes: int, generator: Generator | None = None
) -> Information:
    """Split the rate of N images into information and mismatch (`[eq-rate-split]`).

    Draws images without repetition and one code for each. `rate - among` averages to the divergence
    of these images' aggregate posterior from the prior. For an endless supply of images like these,
    `among` is in the mean a lower bound on the information, and `above` an upper one
    (`[eq-information-bounds]`).

    Parameters
    ----------
    mu, logvar
        Of N images, shape (N, L).
    codes
        How many, from 1 to N.
    generator
        Source of the noise; None takes torch's global one.

    Raises
    ------
    ValueError
        If `codes` is below 1 or above N, and as `kl_per_unit`.

    References
    ----------
    Hoffman and Johnson (2016); Poole et al. (2019).
    """
    _check_codes(mu, logvar)
    check_positive("codes", codes)
    n = len(mu)
    if codes > n:
        raise ValueError(f"expected at most {n} codes, one for each image, got {codes}")
    chosen = torch.randperm(n, generator=generator)[:codes]
    z = sample_normal(mu[chosen], logvar[chosen], generator)
    log_q = log_components(z, mu, logvar)
    own = log_q.gather(1, chosen[:, None])[:, 0]
    others = log_q.scatter(1, chosen[:, None], -torch.inf)
    return Information(
        rate=kl_normal_standard(mu[chosen].double(), logvar[chosen].double()),
        among=own - (torch.logsumexp(log_q, 1) - math.log(n)),
        above=own - (torch.logsumexp(others, 1) - math.log(n - 1)),
    )


def _check_codes(mu: Tensor, logvar: Tensor) -> None:
    if mu.ndim != 2 or len(mu) < 2 or mu.shape != logvar.shape:
        raise ValueError(
            "expected means and log-variances of at least two images, both (N, L), "
            f"got {tuple(mu.shape)} and {tuple(logvar.shape)}"
        )
    if not (torch.isfinite(mu).all() and torch.isfinite(logvar).all()):
        raise ValueError("expected finite means and log-variances")
