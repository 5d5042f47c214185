"""The first VAE trained at six prices of a nat of rate."""

from typing import Any

import torch
from torch import Generator

from onebound.data.images import binarise, static_binarisation
from onebound.data.mnist import load_mnist, split_validation
from onebound.evaluation.estimates import estimate, per_example
from onebound.networks.mlp import MLPDecoder, MLPEncoder
from onebound.studies.records import packed
from onebound.training.run import train
from onebound.vae.codes import activity, information
from onebound.vae.importance import importance_weighted_bound
from onebound.vae.model import VAE

SETTINGS: dict[str, dict[str, Any]] = {
    f"beta = {beta:g}": {"beta": beta} for beta in (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
}
SEEDS = (0, 1, 2, 3, 4)
SMOKE = {"epochs": 1, "limit": 300, "draws": 20}


def trained(beta: float, seed: int = 0, epochs: int = 3, limit: int | None = None) -> VAE:
    """Minimise distortion plus `beta` times rate, on binary draws."""
    torch.manual_seed(seed)
    vae = VAE(MLPEncoder(20), MLPDecoder(20))
    images, _ = split_validation(load_mnist().train_images)

    def loss(batch: torch.Tensor) -> torch.Tensor:
        log_likelihood, kl = vae.bound(binarise(batch))
        return beta * kl - log_likelihood

    list(train(vae, loss, images[:limit], epochs=epochs, learning_rate=5e-3, seed=seed))
    return vae.eval()


def run(
    seed: int, beta: float, epochs: int = 3, limit: int | None = None, draws: int = 500
) -> dict[str, Any]:
    """Train at one price.

    The result: nats per binary test image: "rate" and "distortion" of all; of the first 200 the
    "elbo" and the importance-weighted bound of `draws` ("tight"); for 1,000 codes the information
    that tells the images apart ("among"), the upper bound on that about any image ("above") and the
    "mismatch" of codes and prior. The number of "active" units. As text for
    `onebound.studies.records`, the decoder's probabilities for the codes of the first six test
    images ("rebuilt") and for six codes from the prior ("drawn").
    """
    vae = trained(beta, seed, epochs, limit)
    test = static_binarisation(load_mnist().test_images)[:limit]
    noise = Generator().manual_seed(1)
    terms = per_example(lambda x: torch.stack(vae.bound(x, noise), 1), test)
    tight = importance_weighted_bound(vae, test[:200], draws, Generator().manual_seed(3))
    with torch.no_grad():
        mu, logvar = vae.encode(test)
        z = torch.randn(6, 20, generator=Generator().manual_seed(7))
        rebuilt, drawn = (packed(torch.sigmoid(vae.decode(code))) for code in (mu[:6], z))
    found = information(mu, logvar, min(1000, len(test)), Generator().manual_seed(4))
    return {
        "rate": terms[:, 1].mean().item(),
        "distortion": -terms[:, 0].mean().item(),
        "elbo": (terms[:200, 0] - terms[:200, 1]).mean().item(),
        "tight": tight.mean().item(),
        "among": found.among.mean().item(),
        "above": found.above.mean().item(),
        "mismatch": estimate(found.rate - found.among).mean,
        "active": int((activity(mu) > 0.01).sum()),
        "rebuilt": rebuilt,
        "drawn": drawn,
    }
