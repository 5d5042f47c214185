"""Averaged weights and the statistics of a batch norm: which buffers fit, measured."""

import copy
from typing import Any

import torch
from torch import Generator, nn

from onebound.data.images import to_signed
from onebound.data.mnist import load_mnist, split_validation
from onebound.networks.shufflenet import ShuffleUNet
from onebound.studies.training_runs import fit, held_out_loss, v_loss
from onebound.training.optimisers import adam
from onebound.zoo._unets import COSINE

SETTINGS: dict[str, dict[str, Any]] = {
    "100 steps": {"steps": 100},
    "400 steps": {"steps": 400},
}
SEEDS = (0, 1, 2, 3, 4)
SMOKE = {"steps": 2, "images": 100}


def with_buffers(weights: nn.Module, source: nn.Module) -> nn.Module:
    """Return the weights of one network with the buffers of another."""
    made = copy.deepcopy(weights)
    for own, other in zip(made.buffers(), source.buffers(), strict=True):
        own.copy_(other)
    return made


@torch.no_grad()
def recomputed(weights: nn.Module, images: int = 2000) -> nn.Module:
    """Return the network with statistics that are means over batches, its weights held fixed."""
    made = copy.deepcopy(weights).train()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a mean over all batches
    shown, _ = split_validation(load_mnist().train_images)
    noise = Generator().manual_seed(6)
    for part in to_signed(shown[-images:]).split(100):
        v_loss(made, part, noise=noise)
    return made


def run(seed: int, steps: int, width: int = 8, images: int = 2000) -> dict[str, float]:
    """Train at a constant rate; return the loss with each set of buffers."""
    torch.manual_seed(seed)
    network = ShuffleUNet(COSINE.T, width)
    start = copy.deepcopy(network)
    average = fit(network, adam, 0.01, steps, falling=False, seed=seed)[0].module
    variants = {
        "recomputed": recomputed(average, images),
        "averaged": average,
        "last step": with_buffers(average, network),
        "start": with_buffers(average, start),
        "last weights": network,
        "last weights, recomputed": recomputed(network, images),
    }
    return {name: held_out_loss(made, images).mean().item() for name, made in variants.items()}
