"""A VAE whose divergence counts little, and a diffusion model of its codes: digits in minutes."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from onebound.data.images import to_unit
from onebound.data.mnist import load_mnist, split_validation
from onebound.diffusion.codes import CodeModel
from onebound.diffusion.denoisers import guided
from onebound.diffusion.schedules import cosine_schedule
from onebound.distributions import log_prob_normal, sample_normal
from onebound.networks.conv import ConvDecoder
from onebound.networks.mlp import MLPEncoder
from onebound.networks.residual import ResidualMLP
from onebound.training.optimisers import Average
from onebound.training.run import train as run
from onebound.vae.model import VAE
from onebound.zoo._unets import judge

RECIPE: dict[str, Any] = {
    "latent_size": 32,
    "hidden_size": 256,
    "width": 192,
    "blocks": 3,
    "kl_weight": 100.0,
    "vae": {"epochs": 12, "batch_size": 128, "learning_rate": 3e-3},
    "epochs": 97,
    "batch_size": 256,
    "learning_rate": 2e-3,
    "earlier": 0.05,
    "strength": 2.0,
    "seed": 0,
}
SIGMA = 0.01
"""Standard deviation of a pixel in [0, 1] given its code: two and a half grey levels. It is chosen,
not fitted: the decoder's error is several times as large, and a draw with that would be grainy."""


def log_prob(x: Tensor, mean: Tensor) -> Tensor:
    """Log-density of pixels from N(mean, SIGMA^2)."""
    return log_prob_normal(x, mean, mean.new_tensor(2 * math.log(SIGMA)))


def vae_loss(vae: VAE, kl_weight: float) -> Callable[[Tensor], Tensor]:
    """Return minus the bound of images of 256 levels, the divergence counting `kl_weight` times."""

    def loss(batch: Tensor) -> Tensor:
        terms = vae.bound(to_unit(batch))
        return kl_weight * terms.kl - terms.log_likelihood

    return loss


def sized(recipe: dict[str, Any]) -> CodeModel:
    """Return the model of a recipe before training."""
    torch.manual_seed(recipe["seed"])
    size, hidden = recipe["latent_size"], recipe["hidden_size"]
    vae = VAE(MLPEncoder(size, hidden), ConvDecoder(size), log_prob)
    schedule = cosine_schedule(1000)
    network = ResidualMLP(schedule.T, size, recipe["width"], recipe["blocks"])
    return CodeModel(vae, network, schedule)


def build() -> CodeModel:
    """Return the model before training."""
    return sized(RECIPE)


def train(model: CodeModel, checkpoint: Path) -> Iterator[dict[str, float]]:
    """Train the VAE, then the diffusion model of its codes."""
    yield from fit(model, RECIPE, checkpoint)


def fit(
    model: CodeModel, recipe: dict[str, Any], checkpoint: Path | None = None
) -> Iterator[dict[str, float]]:
    """Train the VAE by its part of the recipe, then the network; both end averaged.

    Yields a record an epoch; "loss" is the VAE's first, and then that of v_hat.
    """
    images, _ = split_validation(load_mnist().train_images)
    first, seed = recipe["vae"]["epochs"], recipe["seed"]
    average = Average(model.vae)
    epochs = run(
        model.vae,
        vae_loss(model.vae, recipe["kl_weight"]),
        images,
        **recipe["vae"],
        average=average,
        seed=seed,
        checkpoint=checkpoint,
    )
    size = recipe["vae"]["batch_size"]
    for epoch in epochs:
        yield _record(epoch.number, epoch.steps, epoch.seconds, epoch.loss, epoch.steps * size)
    model.vae.load_state_dict(average.module.state_dict())
    steps, seconds, shown = epoch.steps, epoch.seconds, epoch.steps * size
    posteriors = torch.stack(model.encode_all(to_unit(images)), dim=1)
    average = Average(model.network)
    epochs = run(
        model.network,
        lambda batch: model.loss(batch[:, 0], batch[:, 1]),
        posteriors,
        epochs=recipe["epochs"] - first,
        average=average,
        batch_size=recipe["batch_size"],
        learning_rate=recipe["learning_rate"],
        seed=seed,  # without a checkpoint: it takes minutes, and `earlier` would have to be in it
    )
    share = recipe["earlier"] * (recipe["epochs"] - first)
    for epoch in epochs:
        if epoch.number <= max(1, share):
            model.earlier.load_state_dict(average.module.state_dict())
        yield _record(
            first + epoch.number,
            steps + epoch.steps,
            seconds + epoch.seconds,
            epoch.loss,
            shown + epoch.steps * recipe["batch_size"],
        )
    model.network.load_state_dict(average.module.state_dict())


def _record(epoch: int, steps: int, seconds: float, loss: float, images: int) -> dict[str, float]:
    return {"epoch": epoch, "steps": steps, "seconds": seconds, "loss": loss, "images": images}


def images_of(
    model: CodeModel, n: int = 2000, seed: int = 0, strength: float = RECIPE["strength"]
) -> tuple[Tensor, Tensor]:
    """Draw images, and the decoder's means of the same codes, each (n, 1, 28, 28) in [-1, 1].

    The average of an earlier time of the same training guides that of its end.
    """
    noise = Generator().manual_seed(seed)
    denoise = guided(model.denoiser(model.network), model.denoiser(model.earlier), strength)
    with torch.no_grad():
        mean = model.vae.decode(model.draw(denoise, n, generator=noise))
    drawn = sample_normal(mean, mean.new_tensor(2 * math.log(SIGMA)), noise)
    signed = [2 * x.clamp(0, 1) - 1 for x in (drawn, mean)]
    return signed[0], signed[1]


def measure(model: CodeModel) -> dict[str, list[float]]:
    """Return the quality of 2,000 draws unguided and guided, and of the means of the latter."""
    alone, _ = images_of(model, strength=1.0)
    drawn, means = images_of(model)
    sets = {"": alone, "guided_": drawn, "means_": means}
    return {prefix + key: value for prefix, x in sets.items() for key, value in judge(x).items()}
