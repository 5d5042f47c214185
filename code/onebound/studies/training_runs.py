"""Short trainings of digits: two optimisers, two networks, the last weights or their average.

The recipe is that of `onebound.zoo.unet_small`, for as many steps as a setting says.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn

from onebound.data.images import to_signed
from onebound.data.mnist import load_mnist, split_validation
from onebound.diffusion.loss import denoising_loss, stratified_t
from onebound.distributions import noise_like
from onebound.evaluation.estimates import per_example
from onebound.networks.shufflenet import ShuffleUNet
from onebound.networks.unet import UNet
from onebound.training import optimisers
from onebound.training.run import train
from onebound.zoo._unets import COSINE, from_v, tilted

NETWORKS = {"U-Net": UNet, "ShuffleNet U-Net": ShuffleUNet}
SEEDS = (0, 1, 2, 3, 4)
SMOKE = {"steps": 2, "images": 100}


def _settings() -> dict[str, dict[str, Any]]:
    short = [("adam", r) for r in (0.003, 0.01, 0.02)] + [("muon", r) for r in (0.01, 0.03, 0.06)]
    rows = [("U-Net", name, rate, 150, True) for name, rate in short]
    rows += [("U-Net", "muon", 0.03, 150, False)]
    rows += [("ShuffleNet U-Net", "adam", rate, 60, True) for rate in (0.003, 0.01)]
    rows += [("ShuffleNet U-Net", "adam", 0.01, 120, True)]
    long = [("adam", 0.003), ("adam", 0.01), ("muon", 0.03)]
    rows += [("U-Net", name, rate, 600, True) for name, rate in long]
    rows += [("U-Net", "muon", 0.03, 600, False)]
    names = ("network", "optimiser", "rate", "steps", "falling")
    return {_name(*row): dict(zip(names, row, strict=True)) for row in rows}


def _name(network: str, optimiser: str, rate: float, steps: int, falling: bool) -> str:
    kind = "" if falling else ", constant"
    return f"{network}, {optimiser} {rate}{kind}, {steps} steps"


SETTINGS = _settings()


def v_loss(
    network: nn.Module, x_0: Tensor, tilt: float = 2.0, noise: Generator | None = None
) -> Tensor:
    """Return the tilted squared error of v (`[eq-tilt]`), a mean over pixels, for each image."""
    t = stratified_t(len(x_0), COSINE.T, noise).to(x_0.device)
    weight = tilted(COSINE, tilt) / x_0[0].numel()
    return denoising_loss(COSINE, from_v(network), x_0, noise_like(x_0, noise), t, weight)


def fit(
    network: nn.Module,
    optimiser: Callable[..., Any],
    rate: float,
    steps: int,
    *,
    falling: bool = True,
    tilt: float = 2.0,
    seed: int = 0,
) -> tuple[optimisers.Average, list[Tensor]]:
    """Train for so many steps of 32 images; return averaged weights and the loss of each step.

    A rate that does not fall is that of a run twenty times as long, left after its first part, over
    which it falls by less than 1 %.
    """
    average, trace = optimisers.Average(network), []
    shown, _ = split_validation(load_mnist().train_images)
    chosen = torch.randperm(len(shown), generator=Generator().manual_seed(seed))[: 32 * steps]

    def loss(batch: Tensor) -> Tensor:
        values = v_loss(network, to_signed(batch), tilt)
        trace.append(values.detach().mean().cpu())
        return values

    epochs = train(
        network,
        loss,
        shown[chosen],
        epochs=1 if falling else 20,
        batch_size=32,
        learning_rate=rate,
        optimiser=optimiser,
        warm_up=20,
        average=average,
        seed=seed,
    )
    next(epochs)
    return average, trace


def held_out_loss(network: nn.Module, images: int = 2000) -> Tensor:
    """Return the loss on validation images, with the same steps and noise each time."""
    _, held_out = split_validation(load_mnist().train_images)
    noise = Generator().manual_seed(5)
    x_0 = to_signed(held_out[:images])
    return per_example(lambda part: v_loss(network.eval(), part, noise=noise), x_0, 250)


def run(
    seed: int,
    network: str,
    optimiser: str,
    rate: float,
    steps: int,
    falling: bool,
    images: int = 2000,
) -> dict[str, Any]:
    """Train once; return the loss of last and of averaged weights, and that of the steps."""
    torch.manual_seed(seed)
    made = NETWORKS[network](COSINE.T)
    average, trace = fit(
        made, getattr(optimisers, optimiser), rate, steps, falling=falling, seed=seed
    )
    last, mean = (held_out_loss(m, images).mean().item() for m in (made, average.module))
    curve = torch.stack(trace).split(10)
    return {
        "last": last,
        "averaged": mean,
        "gain": last - mean,
        "curve": [part.mean().item() for part in curve],
    }
