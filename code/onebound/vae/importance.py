"""What a handful of importance weights says: an average, its log, and how far to trust them.

Weights w > 0 come as logarithms, with the k draws on the last axis. ValueError if there are too few
or one is NaN.
"""

import math
from contextlib import nullcontext

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from onebound.checks import check_positive, trusted, trusting
from onebound.distributions import Nats
from onebound.networks.inputs import Images
from onebound.vae.model import VAE


def log_mean_exp(log_w: Float[Tensor, "*shape k"]) -> Float[Tensor, "*shape"]:
    """Log of the average weight, without overflow.

    The average is `[eq-importance-weights]`, for draws from the prior `[eq-monte-carlo]`. Its log
    is biased (`[eq-log-mean-exp-bias]`).
    """
    _check_weights(log_w, 1)
    return torch.logsumexp(log_w, -1) - math.log(log_w.shape[-1])


def log_mean_exp_of_groups(log_w: Float[Tensor, "*shape K"], k: int) -> Float[Tensor, "*shape"]:
    """Log of the average of k weights, averaged over disjoint groups of k (`[eq-groups]`).

    From many draws it estimates what `log_mean_exp` of k draws gives in the mean, with all in use
    but those that do not fill a last group. If k divides K, it is at most the same for K.
    """
    check_positive(k=k)
    _check_weights(log_w, k)
    groups = log_w.shape[-1] // k
    return log_mean_exp(log_w[..., : groups * k].unflatten(-1, (groups, k))).mean(-1)


def relative_variance(log_w: Float[Tensor, "*shape k"]) -> Float[Tensor, "*shape"]:
    """Sample variance of the weights over their squared average (`[eq-relative-variance]`).

    The square root of it over k is the relative standard error of the average, and to first order
    the standard error of its log.
    """
    _check_weights(log_w, 2)
    return torch.exp(log_w - log_mean_exp(log_w)[..., None]).var(-1)


def effective_sample_size(log_w: Float[Tensor, "*shape k"]) -> Float[Tensor, "*shape"]:
    """Return (sum w)^2 / sum w^2, between 1 and k (`[eq-effective-sample-size]`)."""
    _check_weights(log_w, 1)
    return torch.exp(2 * torch.logsumexp(log_w, -1) - torch.logsumexp(2 * log_w, -1))


def _check_weights(log_w: Tensor, least: int) -> None:
    if log_w.ndim < 1 or log_w.shape[-1] < least:
        raise ValueError(f"expected at least {least} on the last axis, got {tuple(log_w.shape)}")
    if not trusted() and torch.isnan(log_w).any():
        raise ValueError(f"{int(torch.isnan(log_w).sum())} of {log_w.numel()} log-weights are NaN")


@torch.no_grad()
def importance_weighted_bound(
    model: VAE, images: Images, k: int, generator: Generator | None = None, at_once: int = 200
) -> Nats:
    """Log of the average of k importance weights for each image, in nats (`[eq-iwae]`).

    In the mean a lower bound on log p(x), the tighter the larger k. `at_once` latents pass the
    decoder together: a few hundred suit a cache. Burda, Grosse and Salakhutdinov (2016).
    """
    check_positive(k=k, at_once=at_once)
    draws = min(k, at_once)
    parts: list[Tensor] = []
    for batch in images.split(max(1, at_once // draws)):
        with trusting() if parts else nullcontext():  # values are checked on the first batch
            sums = [
                torch.logsumexp(model.log_weights(batch, min(draws, k - done), generator), 1)
                for done in range(0, k, draws)
            ]
        parts.append(torch.logsumexp(torch.stack(sums), 0) - math.log(k))
    return torch.cat(parts)
