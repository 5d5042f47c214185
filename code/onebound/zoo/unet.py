"""The U-Net of chapter 10, trained for good samples: the loss of v, late steps counting more."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from onebound import data
from onebound.diffusion import (
    Denoiser,
    Network,
    denoiser,
    denoising_loss,
    stratified_t,
    x_0_from_v,
)
from onebound.distributions import noise_like
from onebound.metrics import per_example
from onebound.networks.unet import UNet
from onebound.optimisers import averaged, muon
from onebound.schedules import Schedule, cosine_schedule
from onebound.training import train as run

RECIPE: dict[str, Any] = {
    "width": 32,
    "deep_width": 112,
    "pairs": 3,
    "tilt": 2.0,
    "epochs": 34,
    "batch_size": 64,
    "learning_rate": 0.03,
    "warm_up": 100,
    "seed": 0,
}
SCHEDULE = cosine_schedule(1000)


def build() -> UNet:
    """Return the network before training."""
    torch.manual_seed(RECIPE["seed"])
    sizes = {key: RECIPE[key] for key in ("width", "deep_width", "pairs")}
    return UNet(SCHEDULE.T, **sizes)


def denoiser_of(network: Network) -> Denoiser:
    """Read x_0_hat off the network, whose output is v_hat."""
    return denoiser(SCHEDULE, network, x_0_from_v)


def tilted(schedule: Schedule, tilt: float) -> Tensor:
    """Weights of the squared error of x_0_hat: those of v times exp(tilt t / T), 1 in the middle.

    Where the noise is strong it is decided which digit it will be. The loss of v counts every step
    alike, and a tilt counts these more.
    """
    share = torch.arange(schedule.T + 1) / schedule.T
    return (schedule.snr + 1) * torch.exp(tilt * (share - 0.5))


def train(network: UNet, checkpoint: Path) -> Iterator[dict[str, float]]:
    """Lower the squared error of v_hat; the network ends with averaged weights."""
    weight = tilted(SCHEDULE, RECIPE["tilt"]) / 784  # a mean over pixels
    recipe = {key: RECIPE[key] for key in RUN}
    yield from fit(network, denoiser_of, SCHEDULE, weight, checkpoint, **recipe)


RUN = ("epochs", "batch_size", "learning_rate", "warm_up", "seed")
"""What of a recipe is for `onebound.training.train`."""


def fit(
    network: UNet,
    denoiser_of: Callable[[Network], Denoiser],
    schedule: Schedule,
    weight: Tensor,
    checkpoint: Path,
    **recipe: Any,
) -> Iterator[dict[str, float]]:
    """Lower a weighted squared error on the first 50,000 images, and end with averaged weights.

    Yields
    ------
    dict
        One record an epoch, with the mean loss of the network that learns ("loss") and of the
        averaged one on the 10,000 validation images ("validation").
    """
    images, held_out = data.split_validation(data.mnist().train_images)
    average = averaged(network)

    def loss(denoise: Denoiser, batch: Tensor, noise: Generator | None = None) -> Tensor:
        x_0 = data.to_signed(batch)
        t = stratified_t(len(x_0), schedule.T, noise).to(x_0.device)
        return denoising_loss(schedule, denoise, x_0, noise_like(x_0, noise), t, weight)

    epochs = run(
        network,
        lambda batch: loss(denoiser_of(network), batch),
        images,
        optimiser=muon,
        average=average,
        checkpoint=checkpoint,
        **recipe,
    )
    for epoch in epochs:
        noise = Generator().manual_seed(0)
        denoise = denoiser_of(average.module.eval())
        validation = per_example(lambda x: loss(denoise, x, noise), held_out)  # noqa: B023
        yield {
            "epoch": epoch.number,
            "steps": epoch.steps,
            "seconds": epoch.seconds,
            "loss": epoch.loss,
            "validation": validation.mean().item(),
        }
    network.load_state_dict(average.module.state_dict())


def measure(network: UNet) -> dict[str, list[float]]:
    """Return the sample quality."""
    return {}
