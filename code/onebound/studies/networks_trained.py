"""The ShuffleNet U-Net trained to its end, as long as `onebound.zoo.unet_small`, and judged."""

from functools import partial
from typing import Any

import torch

from onebound.data.mnist import load_mnist, split_validation
from onebound.networks.shufflenet import ShuffleUNet
from onebound.studies.records import packed
from onebound.studies.scoreboard import judge
from onebound.studies.training_buffers import recomputed
from onebound.training.optimisers import adam
from onebound.zoo import unet_small
from onebound.zoo._unets import COSINE, RUN, draw, fit, for_samples, from_v

SETTINGS: dict[str, dict[str, Any]] = {"ShuffleNet U-Net": {"rate": 0.01}}
SEEDS = (0, 1, 2)
SMOKE = {"images": 64, "n": 100, "steps": 2}


def run(
    seed: int, rate: float, images: int = 50_000, n: int = 2000, steps: int = 100
) -> dict[str, Any]:
    """Train by Adam on the recipe of `unet_small`, recompute the batch norms, draw and judge.

    The result: what `judge` says of `n` samples, the loss of the averaged
    weights on validation images after each epoch ("curve"), and the first 24 samples ("drawn"), as
    text for `onebound.studies.records.unpacked`.
    """
    torch.manual_seed(seed)
    network = ShuffleUNet(COSINE.T)
    levels, others = split_validation(load_mnist().train_images)
    labels, answers = split_validation(load_mnist().train_labels)
    options = {key: unet_small.RECIPE[key] for key in RUN}
    options |= {"learning_rate": rate, "optimiser": adam, "seed": seed}
    train = partial(fit, network, for_samples(unet_small.RECIPE), levels[:images], labels[:images])
    curve = [seen for _, seen in train((others[::5], answers[::5]), **options)]
    made = recomputed(network, min(images, 2000)).eval()
    samples = draw(COSINE, from_v(made), n, steps=steps, seed=seed)
    return {
        **judge(samples),
        "curve": curve,
        "drawn": packed(((samples[:24] + 1) / 2).clamp(0, 1)),
    }
