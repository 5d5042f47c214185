"""The first VAE by four recipes: on binary draws, on grey levels, and twice as usually taught."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator, Tensor

from onebound.data.images import binarise, to_unit
from onebound.data.mnist import load_mnist, split_validation
from onebound.evaluation.estimates import per_example
from onebound.likelihoods import cross_entropy_grey
from onebound.networks.mlp import MLPDecoder, MLPEncoder
from onebound.training.run import train
from onebound.vae.importance import importance_weighted_bound
from onebound.vae.model import VAE

SETTINGS: dict[str, dict[str, Any]] = {
    "binarised": {"grey": False, "epochs": 24},
    "grey levels": {"grey": True, "epochs": 24},
    "as taught, batches of 1024": {"taught": 1024, "epochs": 10},
    "as taught, batches of 128": {"taught": 128, "epochs": 10},
}
SEEDS = (0, 1, 2, 3, 4)
SMOKE = {"epochs": 1, "refit": 1, "limit": 1100}


def as_taught(model: VAE, images: Tensor, epochs: int, batch_size: int) -> Iterator[float]:
    """Train on grey levels with Adam as it comes and a constant rate; yield each epoch's bound."""
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        bounds = []
        for batch in images[torch.randperm(len(images))].split(batch_size):
            bound = model.bound(to_unit(batch)).elbo.mean()
            optimiser.zero_grad()
            (-bound).backward()
            optimiser.step()
            bounds.append(bound.item())
        yield sum(bounds) / len(bounds)


def bound_of(model: VAE, x: Tensor) -> Tensor:
    """Return the bound of each image, with noise from a seed, so that models meet the same."""
    noise = Generator().manual_seed(1)
    return per_example(lambda batch: model.bound(batch, noise).elbo, x)


def run(
    seed: int,
    epochs: int,
    grey: bool = True,
    taught: int | None = None,
    refit: int = 6,
    limit: int | None = None,
) -> dict[str, Any]:
    """Train by one recipe, then the encoder alone for `refit` epochs on draws.

    The result: nats per image. Of each epoch the bound in "training", and in "validation" that of
    binary validation images. Of the test images the bound with the encoder that sees "grey" levels
    and the one that sees the "draw"; the latter after the encoder was trained further on draws, the
    decoder held fixed ("refitted"), and then 100 draws' bound of the first 1,000 ("of_100").
    """
    torch.manual_seed(seed)
    decoder = MLPDecoder(20)
    model = VAE(MLPEncoder(20), decoder, cross_entropy_grey)
    mnist = load_mnist()
    fixed = Generator().manual_seed(0)
    images, held_out = split_validation(mnist.train_images)
    validation, test = (binarise(x, fixed)[:limit] for x in (held_out, mnist.test_images))
    images = images[:limit]
    prepare = to_unit if grey else binarise
    if taught:
        passes = as_taught(model, mnist.train_images[:limit], epochs, taught)
    else:
        objective = lambda x: -model.bound(prepare(x)).elbo  # noqa: E731
        steps = train(model, objective, images, epochs=epochs, learning_rate=5e-3, seed=seed)
        passes = (-epoch.loss for epoch in steps)
    curves = [(bound, bound_of(model, validation).mean().item()) for bound in passes]
    training, validated = zip(*curves, strict=True)
    result = {
        "training": list(training),
        "validation": list(validated),
        "grey": bound_of(model, to_unit(mnist.test_images[:limit])).mean().item(),
        "draw": bound_of(model, test).mean().item(),
    }
    decoder.requires_grad_(False)
    on_draws = lambda x: -model.bound(binarise(x)).elbo  # noqa: E731
    list(train(model, on_draws, images, epochs=refit, learning_rate=2e-3, seed=seed))
    noise = Generator().manual_seed(2)
    some = importance_weighted_bound(model, test[:1000], 100, noise)
    return result | {
        "refitted": bound_of(model, test).mean().item(),
        "of_100": some.mean().item(),
    }
