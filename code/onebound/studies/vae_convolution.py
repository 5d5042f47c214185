"""The convolutional VAE of "A VAE on MNIST"."""

from typing import Any

import torch
from torch import Generator

from onebound.data.images import binarise
from onebound.data.mnist import load_mnist, split_validation
from onebound.networks.conv import ConvDecoder, ConvEncoder
from onebound.studies.vae_recipes import bound_of
from onebound.training.run import train
from onebound.vae.model import VAE

SETTINGS: dict[str, dict[str, Any]] = {
    "20 latents": {"width": 16, "epochs": 4},
}
SEEDS = (0, 1, 2, 3, 4)
SMOKE = {"epochs": 1, "limit": 300}


def run(seed: int, width: int, epochs: int, limit: int | None = None) -> dict[str, Any]:
    """Train on binary draws.

    The result: nats per image: of each epoch the bound on "training" and on "validation" images,
    and at the end on the "test" images, with the draws of `onebound.studies.vae_recipes`.
    """
    torch.manual_seed(seed)
    model = VAE(ConvEncoder(20, width), ConvDecoder(20, width))
    mnist = load_mnist()
    fixed = Generator().manual_seed(0)
    images, held_out = split_validation(mnist.train_images)
    validation, test = (binarise(x, fixed)[:limit] for x in (held_out, mnist.test_images))
    loss = lambda x: -model.bound(binarise(x)).elbo  # noqa: E731
    steps = train(
        model, loss, images[:limit], epochs=epochs, batch_size=128, learning_rate=5e-3, seed=seed
    )
    curves = [(-epoch.loss, bound_of(model, validation).mean().item()) for epoch in steps]
    training, validated = zip(*curves, strict=True)
    return {
        "training": list(training),
        "validation": list(validated),
        "test": bound_of(model, test).mean().item(),
    }
