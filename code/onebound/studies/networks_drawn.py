"""Digits of the two U-Nets after equally many steps by Adam, each at the better of two rates."""

from typing import Any

import torch

from onebound.evaluation.estimates import per_example
from onebound.evaluation.quality import recognised
from onebound.studies.records import packed
from onebound.studies.training_buffers import recomputed
from onebound.studies.training_runs import NETWORKS, fit, held_out_loss
from onebound.training.optimisers import adam
from onebound.zoo import digits
from onebound.zoo._unets import COSINE, draw, from_v
from onebound.zoo.cards import load_model

SETTINGS: dict[str, dict[str, Any]] = {
    "ShuffleNet U-Net": {"network": "ShuffleNet U-Net", "rate": 0.01},
    "our U-Net": {"network": "U-Net", "rate": 0.003},
}
SEEDS = (0, 1, 2, 3, 4)
SMOKE = {"steps": 2, "n": 20, "images": 100}


def run(
    seed: int, network: str, rate: float, steps: int = 300, n: int = 100, images: int = 2000
) -> dict[str, Any]:
    """Train, recompute the statistics of batch norms, and draw in 50 steps.

    The result: the "loss" on validation images, the share of `n` samples that is "recognised", and
    the first twelve of them ("drawn"), as text for `onebound.studies.records.unpacked`.
    """
    torch.manual_seed(seed)
    average, _ = fit(NETWORKS[network](COSINE.T), adam, rate, steps, seed=seed)
    made = recomputed(average.module, images).eval()
    samples = (draw(COSINE, from_v(made), n, steps=50, seed=seed) + 1) / 2
    classifier, _ = load_model(digits)
    return {
        "loss": held_out_loss(made, images).mean().item(),
        "recognised": per_example(lambda x: recognised(classifier, x), samples).mean().item(),
        "drawn": packed(samples[:12].clamp(0, 1)),
    }
