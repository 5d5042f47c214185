"""Divergences between two learned Gaussians; `distributions` has the one to the standard normal."""

import torch
from torch import Tensor


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
