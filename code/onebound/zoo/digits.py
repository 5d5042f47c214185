"""The classifier of digits that judges samples, and whose features compare sets of images."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from onebound.data.images import to_unit
from onebound.data.mnist import load_mnist, split_validation
from onebound.evaluation import frechet, protocol
from onebound.evaluation.estimates import estimate, per_example
from onebound.evaluation.quality import NOISE, recognised
from onebound.networks.classifier import ConvClassifier
from onebound.networks.inputs import SHAPE
from onebound.training.run import train as run
from onebound.zoo.cards import record

Images = Float[Tensor, "B C H W"]
RECIPE: dict[str, Any] = {"epochs": 12, "batch_size": 100, "learning_rate": 3e-3, "seed": 0}


def build() -> ConvClassifier:
    """Return the model before training."""
    torch.manual_seed(RECIPE["seed"])
    return ConvClassifier()


def train(model: ConvClassifier, checkpoint: Path) -> Iterator[dict[str, float]]:
    """Minimise the cross-entropy of moved digits and of noise, one image for every eight, in nats.

    Without the noise a classifier is as sure of it as of a digit: nothing has told it otherwise.
    Yields one record an epoch; "validation" is the share of the held-out images named rightly.
    """
    mnist = load_mnist()
    images, held_out = split_validation(mnist.train_images)
    labels, answers = split_validation(mnist.train_labels)

    def loss(levels: Tensor, y: Tensor) -> Tensor:
        digits = moved(to_unit(levels))
        noise = noisy(len(digits) // 8, y.device)
        target = torch.cat([y, y.new_full((len(noise),), NOISE)])
        return F.cross_entropy(model(torch.cat([digits, noise])), target, reduction="none")

    for epoch in run(model, loss, images, labels, **RECIPE, checkpoint=checkpoint):
        right = _probability(model, held_out).argmax(1) == answers
        yield record(epoch, validation=right.double().mean().item())


def moved(images: Images, degrees: float = 12, stretch: float = 0.12, pixels: float = 2) -> Images:
    """Turn, stretch and shift each image at random, about its middle; outside the frame it is 0.

    The largest angle, relative change of each side, and shift along each axis; uniform below.
    """
    u = 2 * torch.rand(5, len(images), device=images.device) - 1
    angle = math.radians(degrees) * u[0]
    wide, high = 1 + stretch * u[1], 1 + stretch * u[2]
    height, width = images.shape[2:]  # the frame reaches from -1 to 1
    right, down = 2 * pixels / width * u[3], 2 * pixels / height * u[4]
    rows = [
        torch.stack([wide * angle.cos(), -wide * angle.sin(), right], 1),
        torch.stack([high * angle.sin(), high * angle.cos(), down], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def noisy(count: int, device: torch.device | None = None) -> Images:
    """Draw images of normal noise, each of another strength, cut to [0, 1]."""
    strength = torch.rand(count, 1, 1, 1, device=device)
    return (strength * torch.randn(count, *SHAPE, device=device)).clamp(0, 1)


def measure(model: ConvClassifier) -> dict[str, list[float]]:
    """Return how it does on the test images, and the floor of the Frechet distance.

    "accuracy" and "recognised" (above 0.95) are shares, "overconfidence" is the mean probability of
    the likeliest class less the accuracy. The floor is that at 2,000 images.
    """
    test, answers = load_mnist().test_images, load_mnist().test_labels
    confidence, chosen = _probability(model, test).max(1)
    right = (chosen == answers).double()
    real = protocol.reference(model)
    return {
        "accuracy": list(estimate(right)),
        "recognised": list(estimate(per_example(lambda x: recognised(model, x), to_unit(test)))),
        "overconfidence": list(estimate(confidence - right)),
        "floor_2000": list(frechet.floor(real.train, real.test, 2000)),
    }


def _probability(model: ConvClassifier, levels: Tensor) -> Tensor:
    return per_example(lambda x: model(to_unit(x)).softmax(1), levels)
