"""The time of a training step: two networks, and one choice changed at a time.

Each setting is measured in a process of its own, because what a processor may do is settled when
torch starts: once with all that this one has, once held to AVX2 and without bfloat16.
"""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from multiprocessing import get_context
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from onebound.data.images import to_signed
from onebound.data.mnist import load_mnist
from onebound.networks.shufflenet import ShuffleUNet, Unit
from onebound.networks.unet import Conv, UNet
from onebound.studies.training_runs import v_loss
from onebound.training.optimisers import adam
from onebound.training.precision import computes_in_bfloat16, mixed_precision
from onebound.zoo._unets import COSINE

SETTINGS: dict[str, dict[str, Any]] = {
    "own instructions": {"held_to": {}},
    "AVX2": {
        "held_to": {
            "ATEN_CPU_CAPABILITY": "avx2",
            "MKL_ENABLE_INSTRUCTIONS": "AVX2",
            "ONEDNN_MAX_CPU_ISA": "AVX2",
            "ONEBOUND_BFLOAT16": "0",
        }
    },
}
SEEDS = (0, 1, 2, 3, 4)
SMOKE = {"steps": 2, "batch_size": 2}


def full_convolutions() -> ShuffleUNet:
    """Return the ShuffleNet U-Net with one 3 x 3 convolution of all channels in place of a unit."""
    network = ShuffleUNet(COSINE.T)
    for name, module in list(network.named_modules()):
        if isinstance(module, Unit):
            width = 2 * len(next(module.parameters()))  # the first are of one half
            full = nn.Conv2d(width, width, 3, padding=1, bias=False)
            network.set_submodule(name, nn.Sequential(full, nn.BatchNorm2d(width), nn.SiLU()))
    return network


def channels_first() -> UNet:
    """Return our U-Net with the places of a channel side by side in front of each convolution."""
    network = UNet(COSINE.T)
    for module in network.modules():
        if isinstance(module, Conv):
            module.register_forward_pre_hook(lambda _, inputs: inputs[0].contiguous())
    return network


def channels_last() -> ShuffleUNet:
    """Return the ShuffleNet U-Net with the channels of a place side by side."""
    return ShuffleUNet(COSINE.T).to(memory_format=torch.channels_last)


VARIANTS = {  # how to build it, and whether products may be in bfloat16
    "ShuffleNet U-Net": (lambda: ShuffleUNet(COSINE.T), False),
    "ShuffleNet U-Net, channels last": (channels_last, False),
    "ShuffleNet U-Net, half": (lambda: ShuffleUNet(COSINE.T), True),
    "ShuffleNet U-Net, full convolutions": (full_convolutions, False),
    "our U-Net, channels first": (channels_first, False),
    "our U-Net": (lambda: UNet(COSINE.T), False),
    "our U-Net, half": (lambda: UNet(COSINE.T), True),
}


def measure(seed: int, steps: int, batch_size: int) -> dict[str, Any]:
    """Return the size of each network, and the time of its steps, taken in turns."""
    torch.manual_seed(seed)
    cpu = torch.device("cpu")
    x_0 = to_signed(load_mnist().train_images[:batch_size])
    networks = {name: build() for name, (build, _) in VARIANTS.items()}
    parts = {name: adam(network, 1e-3)[0] for name, network in networks.items()}
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(steps + 1):
        for name, network in networks.items():
            start = time.process_time()
            with mixed_precision(cpu) if VARIANTS[name][1] else nullcontext():
                value = v_loss(network, x_0).mean()
            network.zero_grad()
            value.backward()
            parts[name].step()
            seconds[name].append(time.process_time() - start)
    return {
        "parameters": {
            n: sum(p.numel() for p in made.parameters()) for n, made in networks.items()
        },
        "millions": {name: multiply_adds(network) for name, network in networks.items()},
        "seconds": {name: median(taken[1:]) for name, taken in seconds.items()},  # not the first
        "bfloat16": computes_in_bfloat16(cpu),
        "vectors": torch.backends.cpu.get_cpu_capability(),
    }


@torch.no_grad()
def multiply_adds(network: nn.Module) -> float:
    """Return the millions of multiply-adds of a pass, for one image."""
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(2, 1, 28, 28), torch.ones(2, dtype=torch.int64))
    return counter.get_total_flops() / 2e6 / 2


def run(seed: int, held_to: dict[str, str], steps: int = 6, batch_size: int = 32) -> dict[str, Any]:
    """Measure with one thread in a new process, held to what the variables say."""
    before = dict(os.environ)
    os.environ |= {"OMP_NUM_THREADS": "1"} | held_to
    try:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            return pool.submit(measure, seed, steps, batch_size).result()
    finally:
        os.environ.clear()
        os.environ |= before
