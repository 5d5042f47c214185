"""Digits asked for: `unet_classes` told the label, guided by it, and not told, without noise."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from onebound.data.images import to_unit
from onebound.data.mnist import load_mnist
from onebound.diffusion.denoisers import Denoiser, even_steps, respaced
from onebound.diffusion.samplers import ddim, last
from onebound.evaluation import protocol
from onebound.evaluation.estimates import per_example
from onebound.studies.sampling import AT_ONCE, N, judged, starts
from onebound.zoo import digits, unet_classes
from onebound.zoo.cards import load_model

SEEDS = (0, 1, 2, 3, 4)
SMOKE = {"n": 260, "steps": 2}
SETTINGS: dict[str, dict[str, Any]] = {
    "1": {"strength": 1.0},
    "1.25": {"strength": 1.25},
    "1.5": {"strength": 1.5},
    "3": {"strength": 3.0},
    "not told": {"strength": 0.0},
}


def labels_of(n: int, seed: int) -> Tensor:
    """Return the labels of n training images, others for each seed."""
    labels = load_mnist().train_labels
    return labels[torch.randint(len(labels), (n,), generator=Generator().manual_seed(seed))]


def spreads(features: Tensor, y: Tensor) -> tuple[float, float]:
    """Variance of features: within a class, and between the classes' means."""
    parts = [features[y == digit] for digit in y.unique()]
    within = sum(len(part) / len(y) * part.var(0, correction=0).sum().item() for part in parts)
    return within, features.var(0, correction=0).sum().item() - within


def drawn(
    denoiser: Callable[[Tensor], Denoiser], seed: int, steps: int, n: int
) -> tuple[Tensor, Tensor]:
    """Draw n digits without noise, by the denoiser of their labels; return both."""
    y, parts = labels_of(n, seed), []
    kept = even_steps(unet_classes.SCHEDULE.T, steps)
    for (x_T, noise), part in zip(starts(n, seed), y.split(AT_ONCE), strict=True):
        coarse, guess = respaced(unet_classes.SCHEDULE, denoiser(part), kept)
        parts.append(last(ddim(coarse, guess, x_T, 0.0, noise)))
    return torch.cat(parts), y


def as_asked(samples: Tensor, y: Tensor) -> float:
    """Return the share that the classifier takes for the digit that was asked for."""
    classifier, _ = load_model(digits)
    named = per_example(classifier, to_unit(protocol.to_levels(samples))).argmax(1)
    return (named == y).double().mean().item()


def run(seed: int, strength: float, steps: int = 20, n: int = N) -> dict[str, Any]:
    """Ask for n digits, a strength of guidance by the label; 0 tells no label at all.

    "asked" is the share that is as asked; "within" and "between" are parts of the features'
    variance, over those of test images.
    """
    network, _ = load_model(unet_classes)
    classifier, _ = load_model(digits)

    def denoiser(y: Tensor) -> Denoiser:
        if strength == 0:
            return unet_classes.denoiser_of(network)
        if strength == 1:  # the same as guidance, with half of the evaluations
            return unet_classes.denoiser_of(unet_classes.told(network, y))
        return unet_classes.guided_by_labels(network, y, strength)

    samples, y = drawn(denoiser, seed, steps, n)
    *_, test, test_y = load_mnist()
    mine, real = (
        spreads(per_example(lambda x: classifier.features(to_unit(x)), levels), labels)
        for levels, labels in ((protocol.to_levels(samples), y), (test, test_y))
    )
    return judged(samples, seed) | {
        "asked": as_asked(samples, y),
        "within": mine[0] / real[0],
        "between": mine[1] / real[1],
    }
