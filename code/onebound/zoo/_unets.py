"""What the U-Nets of the zoo share: how they are trained, and how their samples are judged."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Generator, Tensor, nn

from onebound.data.images import to_signed
from onebound.data.mnist import load_mnist, split_validation
from onebound.diffusion.denoisers import Denoiser, Network, clipped, denoiser, even_steps, respaced
from onebound.diffusion.loss import denoising_loss, stratified_t
from onebound.diffusion.process import X0From, x_0_from_v
from onebound.diffusion.samplers import ancestral, last
from onebound.diffusion.schedules import Schedule, cosine_schedule
from onebound.distributions import noise_like
from onebound.evaluation import protocol
from onebound.evaluation.estimates import per_example
from onebound.networks.inputs import SHAPE, Shape
from onebound.networks.unet import UNet
from onebound.training.optimisers import Average, muon
from onebound.training.run import Epoch, train
from onebound.zoo import digits
from onebound.zoo.cards import load_model, record

SIZES = ("width", "deep_width", "pairs", "levels", "classes")  # of a recipe, for the network
RUN = ("epochs", "batch_size", "learning_rate", "warm_up", "seed")  # of a recipe, for `train`
COSINE = cosine_schedule(1000)  # the steps of the networks that are trained for samples
Levels = UInt8[Tensor, "N C H W"]
Labels = Int64[Tensor, "N"]


@dataclass(frozen=True)
class Objective:
    """What a network is trained for: how its answer is read, and how much each error counts.

    `weight` is that of `denoising_loss`, `untold` the share of the images whose label the network
    is not told; None: it takes no labels.
    """

    schedule: Schedule
    x_0_from: X0From
    weight: Float[Tensor, "steps"]
    untold: float | None = None

    def loss(
        self, network: nn.Module, levels: Levels, y: Labels, noise: Generator | None = None
    ) -> Float[Tensor, "N"]:
        """Return the weighted squared error at a random step of each image."""
        x_0, told = to_signed(levels), cast(Network, network)
        t = stratified_t(len(x_0), self.schedule.T, noise).to(x_0.device)
        eps = noise_like(x_0, noise)
        if self.untold is not None:
            # The network learns to do without the labels that it is not told.
            untold = torch.rand(len(y), generator=noise).to(y.device) < self.untold
            told = partial(network, y=y.masked_fill(untold, cast(UNet, network).classes))
        denoise = denoiser(self.schedule, told, self.x_0_from)
        return denoising_loss(self.schedule, denoise, x_0, eps, t, self.weight)


def tilted(schedule: Schedule, tilt: float) -> Float[Tensor, "steps"]:
    """Weights of the squared error of x_0_hat: those of v times exp(tilt t / T), 1 in the middle.

    Where the noise is strong it is decided which digit it will be. The loss of v counts every step
    alike, and a tilt counts these more (`[eq-tilt]`).
    """
    share = torch.arange(schedule.T + 1) / schedule.T
    return (schedule.snr + 1) * torch.exp(tilt * (share - 0.5))


def sized(recipe: dict[str, Any], T: int = COSINE.T) -> UNet:
    """Return the network of a recipe before training."""
    torch.manual_seed(recipe["seed"])
    return UNet(T, **{key: recipe[key] for key in SIZES if key in recipe})


def from_v(network: Network) -> Denoiser:
    """Read x_0_hat off a network whose output is v_hat, over the steps of `COSINE`."""
    return denoiser(COSINE, network, x_0_from_v)


def for_samples(recipe: dict[str, Any], shape: Shape = SHAPE) -> Objective:
    """Return the tilted squared error of v_hat, a mean over pixels, as a recipe has it."""
    weight = tilted(COSINE, recipe["tilt"]) / math.prod(shape)
    return Objective(COSINE, x_0_from_v, weight, recipe.get("untold"))


def fit(
    network: nn.Module,
    objective: Objective,
    levels: Levels,
    labels: Labels,
    held_out: tuple[Tensor, Tensor] | None = None,
    **options: Any,
) -> Iterator[tuple[Epoch, float | None]]:
    """Train by Muon, or as `options` for `train` say; the network ends with averaged weights.

    Yields a record of each epoch, and the loss of the averaged network on images held out, if any.
    """
    average = Average(network)
    loss = partial(objective.loss, network)
    options = {"optimiser": muon} | options
    for epoch in train(network, loss, levels, labels, average=average, **options):
        yield epoch, held_out and validation(average.module, objective, *held_out)
    network.load_state_dict(average.module.state_dict())


def validation(network: nn.Module, objective: Objective, levels: Levels, labels: Labels) -> float:
    """Return the mean loss on images, with the same steps and noise each time."""
    noise = Generator().manual_seed(0)
    loss = lambda i: objective.loss(network, levels[i], labels[i], noise)  # noqa: E731
    return per_example(loss, torch.arange(len(levels))).mean().item()


def fit_digits(
    recipe: dict[str, Any], objective: Objective, network: UNet, checkpoint: Path
) -> Iterator[dict[str, float]]:
    """Train on the first 50,000 images as a recipe says, and look at every fifth held out.

    Yields one record an epoch; "validation" is the averaged network's mean loss on those held out.
    """
    images, labels, *_ = load_mnist()
    (levels, others), (y, answers) = split_validation(images), split_validation(labels)
    held_out = others[::5], answers[::5]
    options = {"checkpoint": checkpoint} | {key: recipe[key] for key in RUN}
    for epoch, seen in fit(network, objective, levels, y, held_out, **options):
        yield record(epoch, validation=seen)


def draw(
    schedule: Schedule,
    denoise: Denoiser,
    n: int,
    steps: int = 100,
    seed: int = 0,
    shape: Shape = SHAPE,
) -> Float[Tensor, "n C H W"]:
    """Draw n images in [-1, 1] by ancestral sampling in even steps with clipping.

    Always the same ones, in float32 on every processor: half precision would make them others.
    """
    coarse, denoise = respaced(schedule, clipped(denoise), even_steps(schedule.T, steps))
    noise = Generator().manual_seed(seed)
    parts = [
        last(ancestral(coarse, denoise, torch.randn(len(part), *shape, generator=noise), noise))
        for part in torch.arange(n).split(250)  # what bounds the memory
    ]
    return torch.cat(parts)


def judge(samples: Float[Tensor, "n C H W"]) -> dict[str, list[float]]:
    """Return what the protocol of `onebound.evaluation` says."""
    classifier, _ = load_model(digits)
    found = protocol.evaluate(samples, protocol.reference(classifier))
    quality = {name: list(getattr(found, name)) for name in ("recognised", "frechet", "floor")}
    return quality | {"imbalance": [found.imbalance, 0.0]}
