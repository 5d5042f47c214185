"""Diagonal Gaussians: sampling, log-density, divergence.

A diagonal Gaussian is given by its mean `mu` and log-variance `logvar`, of shapes that broadcast.
The log-variance may be any real number, so a network can produce it without a constraint. Each
`log_prob_*` and `kl_*` sums over all axes but the first and returns nats. A `generator` is the
source of the noise; None takes torch's global one.
"""

import math

import torch
from jaxtyping import Float
from torch import Generator, Tensor

AnyShape = Float[Tensor, "*shape"]  # one shape for all that a function takes and gives as this
Broadcast = Float[Tensor, "..."]  # any shape that broadcasts to that of the others
Nats = Float[Tensor, "B"]  # one number for each example, in nats


def noise_like(x: AnyShape, generator: Generator | None = None) -> AnyShape:
    """Draw from N(0, I) in the shape and type and on the device of x."""
    return torch.randn(x.shape, dtype=x.dtype, device=x.device, generator=generator)


def sample_normal(mu: AnyShape, logvar: Broadcast, generator: Generator | None = None) -> AnyShape:
    """Draw z = mu + sigma * eps, differentiable in mu and sigma (`[eq-reparameterisation]`).

    Kingma and Welling (2014), section 2.4.
    """
    return mu + torch.exp(0.5 * logvar) * noise_like(mu, generator)


def log_prob_normal(x: Broadcast, mu: Broadcast, logvar: Broadcast) -> Nats:
    """Log-density of N(mu, diag(exp(logvar))) at x (`[eq-normal-density]`).

    With one variance for all pixels: a squared error and a constant (`[eq-normal-likelihood]`).
    """
    squared = (x - mu) ** 2 * torch.exp(-logvar)
    return -0.5 * (squared + logvar + math.log(2 * math.pi)).flatten(1).sum(1)


def kl_normal_standard(mu: Broadcast, logvar: Broadcast) -> Nats:
    """KL(N(mu, diag(exp(logvar))) || N(0, I)) (`[eq-kl-standard]`).

    Never negative; zero only at mu = 0, logvar = 0. Kingma and Welling (2014), appendix B.
    """
    # expm1 keeps the digits that exp(logvar) - 1 loses where the two are close; so in `kl_normal`.
    return 0.5 * (mu**2 + torch.expm1(logvar) - logvar).flatten(1).sum(1)


def kl_normal(mu_q: Broadcast, logvar_q: Broadcast, mu_p: Broadcast, logvar_p: Broadcast) -> Nats:
    """KL(N(mu_q, diag(exp(logvar_q))) || N(mu_p, diag(exp(logvar_p)))) (`[eq-kl-normal]`)."""
    difference = logvar_q - logvar_p
    terms = (mu_q - mu_p) ** 2 * torch.exp(-logvar_p) + torch.expm1(difference) - difference
    return 0.5 * terms.flatten(1).sum(1)
