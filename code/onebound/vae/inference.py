"""The Gaussian posterior of each image, found by search where an encoder only guesses it."""

import torch
from torch import Generator

from onebound.networks.inputs import Images
from onebound.vae.model import VAE, Gaussian


def fit_posterior(
    model: VAE, x: Images, steps: int = 150, generator: Generator | None = None
) -> Gaussian:
    """Search for the Gaussian with the highest bound, for each image alone (`[eq-inference-gaps]`).

    Starts from the encoder's answer and climbs the bound of four draws by Adam, with a rate that
    falls to zero; the model stays as it is. Cremer, Li and Duvenaud (2018).
    """
    with torch.no_grad():
        mu, logvar = (part.clone().requires_grad_() for part in model.encode(x))
    q = mu, logvar
    optimiser = torch.optim.Adam(q, betas=(0.9, 0.99))
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 0.05 * (1 - step / steps)
        bound = model.log_weights(x, 4, generator, q).mean(1)
        optimiser.zero_grad()
        (-bound.sum()).backward(inputs=q)
        optimiser.step()
    return mu.detach(), logvar.detach()
