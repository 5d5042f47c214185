"""The Gaussian posterior of each image, found by search where an encoder only guesses it."""

import torch
from torch import Generator, Tensor

from onebound.checks import check_positive
from onebound.distributions import log_prob_normal, sample_normal
from onebound.vae.model import VAE


def log_weights(
    model: VAE, x: Tensor, mu: Tensor, logvar: Tensor, k: int, generator: Generator | None = None
) -> Tensor:
    """Log importance weights of k draws from a Gaussian of each image's own (`[eq-vae-weights]`).

    What `VAE.log_weights` gives, with any Gaussian in the place of the encoder's answer.

    Parameters
    ----------
    x
        Images in [0, 1], shape (B, 1, 28, 28); the likelihood may ask for {0, 1}.
    mu, logvar
        Of the Gaussians, shape (B, L).
    k
        Draws for each image; all B * k pass the decoder at once.
    generator
        Source of the noise; None takes torch's global one.

    Returns
    -------
    Tensor
        Nats, shape (B, k); the mean over the draws estimates the evidence lower bound.

    Raises
    ------
    ValueError
        If `k` is below 1, and as the decoder and the likelihood.
    """
    check_positive("k", k)
    mu, logvar = mu.repeat_interleave(k, 0), logvar.repeat_interleave(k, 0)
    z = sample_normal(mu, logvar, generator)
    zero = z.new_zeros(())
    log_joint = model.log_prob(x.repeat_interleave(k, 0), model.decode(z))
    log_joint = log_joint + log_prob_normal(z, zero, zero)
    return (log_joint - log_prob_normal(z, mu, logvar)).unflatten(0, (len(x), k))


def fit_posterior(
    model: VAE, x: Tensor, steps: int = 150, generator: Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Search for the Gaussian with the highest bound, for each image alone (`[eq-inference-gaps]`).

    Starts from the encoder's answer and climbs the bound of four draws by Adam, with a rate that
    falls to zero; the model stays as it is.

    Returns
    -------
    tuple
        Means and log-variances, each (B, L), without a graph.

    References
    ----------
    Cremer, Li and Duvenaud (2018).
    """
    with torch.no_grad():
        mu, logvar = (part.clone().requires_grad_() for part in model.encode(x))
    q = [mu, logvar]
    optimiser = torch.optim.Adam(q, betas=(0.9, 0.99))
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 0.05 * (1 - step / steps)
        bound = log_weights(model, x, mu, logvar, 4, generator).mean(1)
        for part, gradient in zip(q, torch.autograd.grad(-bound.sum(), q), strict=True):
            part.grad = gradient
        optimiser.step()
    return mu.detach(), logvar.detach()
