"""What the U-Nets of the zoo share: how they are trained, and how their samples are judged."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from onebound.data.images import to_signed
from onebound.data.mnist import load_mnist, split_validation
from onebound.diffusion.denoisers import Denoiser, Network, clipped, denoiser, even_steps, respaced
from onebound.diffusion.loss import denoising_loss, stratified_t
from onebound.diffusion.parameterisation import x_0_from_v
from onebound.diffusion.samplers import ancestral, last
from onebound.diffusion.schedules import Schedule, cosine_schedule
from onebound.distributions import noise_like
from onebound.evaluation import protocol
from onebound.evaluation.estimates import per_example
from onebound.networks.unet import UNet
from onebound.training.loop import train as run
from onebound.training.optimisers import averaged, muon
from onebound.zoo import digits
from onebound.zoo.cards import load_model

SIZES = ("width", "deep_width", "pairs", "levels", "classes")
"""What of a recipe is for the network."""
RUN = ("epochs", "batch_size", "learning_rate", "warm_up", "seed")
"""What of a recipe is for `onebound.training.loop.train`."""


COSINE = cosine_schedule(1000)
"""The steps of the networks that are trained for samples."""


def sized(recipe: dict[str, Any], T: int) -> UNet:
    """Return the network of a recipe before training."""
    torch.manual_seed(recipe["seed"])
    return UNet(T, **{key: recipe[key] for key in SIZES if key in recipe})


def from_v(network: Network) -> Denoiser:
    """Read x_0_hat off a network whose output is v_hat, over the steps of `COSINE`."""
    return denoiser(COSINE, network, x_0_from_v)


def tilted(schedule: Schedule, tilt: float) -> Tensor:
    """Weights of the squared error of x_0_hat: those of v times exp(tilt t / T), 1 in the middle.

    See `[eq-tilt]`.

    Where the noise is strong it is decided which digit it will be. The loss of v counts every step
    alike, and a tilt counts these more.
    """
    share = torch.arange(schedule.T + 1) / schedule.T
    return (schedule.snr + 1) * torch.exp(tilt * (share - 0.5))


Tell = Callable[[Any, Tensor, Generator | None], Network]
"""(network, labels, noise) to a network of (x_t, t) that knows the labels, or some of them."""


def tell_nothing(network: Any, y: Tensor, noise: Generator | None) -> Network:
    """Leave the labels aside."""
    known: Network = network
    return known


def fit(
    network: UNet,
    denoiser_of: Callable[[Network], Denoiser],
    schedule: Schedule,
    weight: Tensor,
    checkpoint: Path,
    recipe: dict[str, Any],
    tell: Tell = tell_nothing,
) -> Iterator[dict[str, float]]:
    """Lower a weighted squared error on the first 50,000 images, and end with averaged weights.

    Yields
    ------
    dict
        One record an epoch, with the mean loss of the network that learns ("loss") and of the
        averaged one on every fifth validation image ("validation").
    """
    images, labels, *_ = load_mnist()
    shown, held_out = split_validation(torch.arange(len(images)))
    average = averaged(network)

    def loss(network: Any, index: Tensor, noise: Generator | None = None) -> Tensor:
        device = index.device
        index = index.cpu()
        x_0, y = to_signed(images[index]).to(device), labels[index].to(device)
        t = stratified_t(len(x_0), schedule.T, noise).to(device)
        eps = noise_like(x_0, noise)
        denoise = denoiser_of(tell(network, y, noise))
        return denoising_loss(schedule, denoise, x_0, eps, t, weight)

    epochs = run(
        network,
        lambda index: loss(network, index),
        shown,
        optimiser=muon,
        average=average,
        checkpoint=checkpoint,
        **{key: recipe[key] for key in RUN},
    )
    for epoch in epochs:
        noise = Generator().manual_seed(0)
        averages = average.module.eval()
        validation = per_example(lambda i: loss(averages, i, noise), held_out[::5])  # noqa: B023
        yield {
            "epoch": epoch.number,
            "steps": epoch.steps,
            "seconds": epoch.seconds,
            "loss": epoch.loss,
            "validation": validation.mean().item(),
        }
    network.load_state_dict(average.module.state_dict())


def draw(schedule: Schedule, denoise: Denoiser, n: int, steps: int = 100, seed: int = 0) -> Tensor:
    """Draw n images by ancestral sampling in even steps with clipping, always the same ones.

    In float32 on every processor: half precision would make them others.

    Returns
    -------
    Tensor
        In [-1, 1], shape (n, 1, 28, 28).
    """
    coarse, denoise = respaced(schedule, clipped(denoise), even_steps(schedule.T, steps))
    noise = Generator().manual_seed(seed)
    parts = [
        last(ancestral(coarse, denoise, torch.randn(len(part), 1, 28, 28, generator=noise), noise))
        for part in torch.arange(n).split(250)  # what bounds the memory
    ]
    return torch.cat(parts)


def judge(samples: Tensor) -> dict[str, list[float]]:
    """Return what the protocol of `onebound.evaluation` says."""
    classifier, _ = load_model(digits)
    found = protocol.evaluate(samples, protocol.reference(classifier))
    return {
        "recognised": list(found.recognised),
        "frechet": list(found.frechet),
        "floor": list(found.floor),
        "imbalance": [found.imbalance, 0.0],
    }
