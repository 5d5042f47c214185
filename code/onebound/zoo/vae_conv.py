"""A convolutional VAE, trained by its evidence lower bound: what "Measuring a VAE" measures."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from onebound.data.images import binarise, static_binarisation
from onebound.data.mnist import load_mnist, split_validation
from onebound.evaluation.estimates import estimate, per_example, two_level
from onebound.networks.conv import ConvDecoder, ConvEncoder
from onebound.training.run import train as run
from onebound.vae.importance import importance_weighted_bound
from onebound.vae.model import VAE
from onebound.zoo.cards import record

Objective = Callable[[Tensor], Tensor]  # images to a bound for each
RECIPE: dict[str, Any] = {"epochs": 40, "batch_size": 64, "learning_rate": 3e-3, "seed": 0}


def build() -> VAE:
    """Return the model before training."""
    torch.manual_seed(RECIPE["seed"])
    return VAE(ConvEncoder(32, 20, growth=4), ConvDecoder(32, 20, growth=4))


def fit(
    recipe: dict[str, Any], model: VAE, checkpoint: Path, bound: Objective | None = None
) -> Iterator[dict[str, float]]:
    """Raise the ELBO, or another bound, of the first 50,000 images, binarised anew when shown.

    Yields one record an epoch; "validation" is the mean bound of the other 10,000, nats.
    """
    images, held_out = split_validation(load_mnist().train_images)
    held_out = static_binarisation(held_out)
    bound = bound or (lambda x: model.bound(x).elbo)
    loss = lambda batch: -bound(binarise(batch))  # noqa: E731
    for epoch in run(model, loss, images, **recipe, checkpoint=checkpoint):
        yield record(epoch, validation=per_example(bound, held_out).mean().item())


train = partial(fit, RECIPE)


def measure(model: VAE) -> dict[str, list[float]]:
    """Return bounds on the log-probability of the binarised test images, nats.

    The one for k = 5,000 draws is computed for 200 images, chosen at random, and carried over to
    all 10,000 by that for 100.
    """
    test = static_binarisation(load_mnist().test_images)
    noise = Generator().manual_seed(0)
    elbo = per_example(lambda x: model.bound(x, noise).elbo, test)
    some = importance_weighted_bound(model, test, 100, noise)
    chosen = torch.randperm(len(test), generator=noise)[:200]
    many = importance_weighted_bound(model, test[chosen], 5000, noise)
    return {
        "elbo": list(estimate(elbo)),
        "log_p_100": list(estimate(some)),
        "log_p_5000": list(two_level(some, many, chosen)),
    }
