"""A VAE whose codes are points of a plane, trained for longer than in "A VAE on MNIST"."""

from functools import partial
from typing import Any

import torch
from torch import Generator

from onebound.data.images import static_binarisation
from onebound.data.mnist import load_mnist
from onebound.evaluation.estimates import estimate, per_example
from onebound.networks.mlp import MLPDecoder, MLPEncoder
from onebound.vae.model import VAE
from onebound.zoo import vae_conv

RECIPE: dict[str, Any] = {"epochs": 60, "batch_size": 128, "learning_rate": 2e-3, "seed": 0}
train = partial(vae_conv.fit, RECIPE)


def build() -> VAE:
    """Return the model before training."""
    torch.manual_seed(RECIPE["seed"])
    return VAE(MLPEncoder(2, 200), MLPDecoder(2, 200))


def measure(model: VAE) -> dict[str, list[float]]:
    """Return the bound on the log-probability of the binarised test images, nats."""
    test = static_binarisation(load_mnist().test_images)
    noise = Generator().manual_seed(0)
    return {"elbo": list(estimate(per_example(lambda x: model.bound(x, noise).elbo, test)))}
