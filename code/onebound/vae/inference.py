"""The Gaussian posterior of each image, found by search where an encoder only guesses it."""

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from onebound.networks.inputs import Images, Latents
from onebound.vae.model import VAE


def log_weights(
    model: VAE, x: Images, mu: Latents, logvar: Latents, k: int, generator: Generator | None = None
) -> Float[Tensor, "B {k}"]:
    """Log importance weights of k draws from a Gaussian of each image's own (`[eq-vae-weights]`).

    What `VAE.log_weights` gives, with these in the place of the encoder's answers. The mean over
    the draws estimates the evidence lower bound.
    """
    given = VAE(lambda _: (mu, logvar), model.decoder, model.log_prob)
    return given.log_weights(x, k, generator)


def fit_posterior(
    model: VAE, x: Images, steps: int = 150, generator: Generator | None = None
) -> tuple[Latents, Latents]:
    """Search for the Gaussian with the highest bound, for each image alone (`[eq-inference-gaps]`).

    Starts from the encoder's answer and climbs the bound of four draws by Adam, with a rate that
    falls to zero; the model stays as it is. Cremer, Li and Duvenaud (2018).
    """
    with torch.no_grad():
        mu, logvar = (part.clone().requires_grad_() for part in model.encode(x))
    q = [mu, logvar]
    optimiser = torch.optim.Adam(q, betas=(0.9, 0.99))
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 0.05 * (1 - step / steps)
        bound = log_weights(model, x, mu, logvar, 4, generator).mean(1)
        optimiser.zero_grad()
        (-bound.sum()).backward(inputs=q)
        optimiser.step()
    return mu.detach(), logvar.detach()
