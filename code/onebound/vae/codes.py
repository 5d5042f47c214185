"""What a code z ~ q(z|x) says about x: which of its units are in use, and how many nats it carries.

The encoder's answers for N >= 2 images come as means and log-variances, finite and of one shape
(N, L); ValueError if they are not. A `generator` is the source of the noise; None takes torch's
global one.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Generator, Tensor

from onebound.checks import check_latents, check_positive, need
from onebound.distributions import kl_normal_standard, sample_normal

Answers = Float[Tensor, "N L"]


def activity(mu: Answers) -> Float[Tensor, "L"]:
    """Variance over images of each unit's posterior mean (`[eq-activity]`).

    Above 0.01 a unit counts as active. Burda, Grosse and Salakhutdinov (2016), section 5.
    """
    _check_codes(mu, mu)
    return mu.var(0)


def kl_per_unit(mu: Answers, logvar: Answers) -> Float[Tensor, "L"]:
    """Nats that each unit spends, averaged over images: the summands of `[eq-kl-standard]`."""
    _check_codes(mu, logvar)
    units = kl_normal_standard(mu.reshape(-1, 1), logvar.reshape(-1, 1))
    return units.reshape(mu.shape).mean(0)


def log_components(z: Float[Tensor, "S L"], mu: Answers, logvar: Answers) -> Float64[Tensor, "S N"]:
    """Log-density of every code under the posterior of every image (`[eq-aggregate-posterior]`).

    In nats. The log of the mean of exp over the last axis is the aggregate posterior's log-density.
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
    """What the code of an image says about which image it was, nats, one estimate per code.

    The mean of each is unbiased for what its comment says.
    """

    rate: Float64[Tensor, "S"]  # KL(q(z|x) || p(z)), exact for the images drawn
    among: Float64[Tensor, "S"]  # I(n; z), what tells the N images apart: at most log N
    above: Float64[Tensor, "S"]  # an upper bound on the information about an x from their source


def information(
    mu: Answers, logvar: Answers, codes: int, generator: Generator | None = None
) -> Information:
    """Split the rate of N images into information and mismatch (`[eq-rate-split]`).

    Draws `codes` of the images, none twice, and one code for each. `rate - among` averages to the
    divergence of these images' aggregate posterior from the prior. For an endless supply of images
    like these, `among` is in the mean a lower bound on the information, and `above` an upper one
    (`[eq-information-bounds]`). Hoffman and Johnson (2016); Poole et al. (2019).
    """
    _check_codes(mu, logvar)
    check_positive(codes=codes)
    n = len(mu)
    need(codes <= n, f"expected at most {n} codes, one for each image, got {codes}")
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
    some, got = mu.ndim == 2 and len(mu) > 1, f"got {tuple(mu.shape)} and {tuple(logvar.shape)}"
    expected = "expected means and log-variances of at least two images, both (N, L)"
    need(some and mu.shape == logvar.shape, f"{expected}, {got}")
    need(torch.isfinite(mu + logvar).all(), "expected finite means and log-variances")
