"""Diagonal Gaussians: sampling, log-density, divergence.

A diagonal Gaussian is given by its mean `mu` and log-variance `logvar`, both of shape (B, D).
The log-variance may be any real number, so a network can produce it without a constraint.
Every `log_prob_*` and `kl_*` sums over all axes but the first and returns nats, shape (B,).
"""

import math

import torch
from torch import Generator, Tensor


def noise_like(x: Tensor, generator: Generator | None = None) -> Tensor:
    """Draw from N(0, I) in the shape and type and on the device of x.

    Parameters
    ----------
    x
        Floating point, any shape.
    generator
        Source of the noise; None takes torch's global one.
    """
    return torch.randn(x.shape, dtype=x.dtype, device=x.device, generator=generator)


def sample_normal(mu: Tensor, logvar: Tensor, generator: Generator | None = None) -> Tensor:
    """Draw z = mu + sigma * eps, differentiable in mu and sigma (`[eq-reparameterisation]`).

    Parameters
    ----------
    mu, logvar
        Mean and log-variance, equal shapes.
    generator
        Source of the noise; None takes torch's global one.

    Returns
    -------
    Tensor
        One sample of each Gaussian, the shape of `mu`.

    References
    ----------
    Kingma and Welling (2014), section 2.4.
    """
    return mu + torch.exp(0.5 * logvar) * noise_like(mu, generator)


def log_prob_normal(x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """Log-density of N(mu, diag(exp(logvar))) at x, nats (`[eq-normal-density]`).

    With one variance for all pixels it is a squared error and a constant
    (`[eq-normal-likelihood]`).

    Parameters
    ----------
    x, mu, logvar
        Broadcastable to the shape of `x`, (B, ...).

    Returns
    -------
    Tensor
        Shape (B,).
    """
    squared = (x - mu) ** 2 * torch.exp(-logvar)
    return -0.5 * (squared + logvar + math.log(2 * math.pi)).flatten(1).sum(1)


def kl_normal_standard(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, diag(exp(logvar))) || N(0, I)), nats (`[eq-kl-standard]`).

    Parameters
    ----------
    mu, logvar
        Mean and log-variance, shape (B, D).

    Returns
    -------
    Tensor
        Shape (B,), never negative, zero only at mu = 0, logvar = 0.

    References
    ----------
    Kingma and Welling (2014), appendix B.
    """
    # expm1 keeps the digits that exp(logvar) - 1 loses where the posterior is close to the prior.
    return 0.5 * (mu**2 + torch.expm1(logvar) - logvar).flatten(1).sum(1)


def kl_normal(mu_q: Tensor, logvar_q: Tensor, mu_p: Tensor, logvar_p: Tensor) -> Tensor:
    """KL(N(mu_q, diag(exp(logvar_q))) || N(mu_p, diag(exp(logvar_p)))), nats (`[eq-kl-normal]`).

    Parameters
    ----------
    mu_q, logvar_q, mu_p, logvar_p
        Means and log-variances, broadcastable to one shape (B, ...).

    Returns
    -------
    Tensor
        Shape (B,), never negative, zero only where both Gaussians are the same.
    """
    difference = logvar_q - logvar_p
    # expm1 keeps the digits that exp(difference) - 1 loses where the variances are close.
    terms = (mu_q - mu_p) ** 2 * torch.exp(-logvar_p) + torch.expm1(difference) - difference
    return 0.5 * terms.flatten(1).sum(1)
