"""The tilt of the loss of v: the same short training with three weights, judged by its samples."""

from typing import Any

import torch

from onebound.data.images import to_unit
from onebound.data.mnist import load_mnist
from onebound.evaluation import frechet
from onebound.evaluation.estimates import per_example
from onebound.evaluation.protocol import to_levels
from onebound.evaluation.quality import recognised
from onebound.networks.unet import UNet
from onebound.studies.training_runs import fit
from onebound.training.optimisers import muon
from onebound.zoo import digits
from onebound.zoo._unets import COSINE, draw, from_v
from onebound.zoo.cards import load_model

SETTINGS: dict[str, dict[str, Any]] = {f"tilt {tilt:g}": {"tilt": tilt} for tilt in (0.0, 2.0, 4.0)}
SEEDS = (0, 1, 2, 3, 4)
SMOKE = {"steps": 2, "n": 100}


def run(seed: int, tilt: float, steps: int = 600, n: int = 500) -> dict[str, float]:
    """Train, draw from averaged weights in 50 steps, and judge as `onebound.evaluation` does."""
    torch.manual_seed(seed)
    network = UNet(COSINE.T)
    average, _ = fit(network, muon, 0.03, steps, tilt=tilt, seed=seed)
    samples = draw(COSINE, from_v(average.module.eval()), n, steps=50, seed=seed)
    classifier, _ = load_model(digits)
    images, real = to_unit(to_levels(samples)), to_unit(load_mnist().test_images)
    made, known = (frechet.fit(per_example(classifier.features, x)) for x in (images, real))
    return {
        "recognised": per_example(lambda x: recognised(classifier, x), images).mean().item(),
        "frechet": frechet.distance(made, known),
    }
