"""How good digits are after minutes of training without labels, by two models.

"codes" is the VAE with a diffusion model of its codes, `onebound.zoo.latent`; "pixels" a U-Net that
sees images, like `onebound.zoo.unet`. No label is told to either. Each is guided by an average of
its own weights at an earlier time of the same training.

The budget is processor time of one thread, all that the training takes: a trial that finds how
many steps will fit, the steps themselves, and their averages. It is `SECONDS` on the machine of the
record, imitating AVX2, where it stands for minutes of two cores of a reference machine: such a core
takes 2.1 times as long for the same work.
"""

import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn

from onebound.data.images import to_signed, to_unit
from onebound.data.mnist import load_mnist, split_validation
from onebound.diffusion.denoisers import Denoiser, clipped, even_steps, guided, respaced
from onebound.diffusion.loss import denoising_loss, stratified_t
from onebound.diffusion.samplers import ddim, last
from onebound.networks.unet import UNet
from onebound.studies.scoreboard import judge
from onebound.training.optimisers import averaged, muon
from onebound.training.run import train
from onebound.zoo import latent
from onebound.zoo._unets import COSINE, from_v, tilted

SECONDS = {1: 57.0, 5: 285.0, 20: 1140.0}
"""Processor time for minutes of two cores: 2 * 60 / 2.1 for one."""
CODES: dict[str, Any] = {
    "model": "codes",
    **{key: latent.RECIPE[key] for key in ("latent_size", "hidden_size", "blocks", "kl_weight")},
    "share": 0.4,
    "width": 256,
    "vae": {"batch_size": 128, "learning_rate": 3e-3},
    "batch_size": 256,
    "learning_rate": 2e-3,
    "earlier": 0.05,
    "strength": 2.0,
}
PIXELS: dict[str, Any] = {
    "model": "pixels",
    "deep_width": 64,
    "pairs": 2,
    "batch_size": 32,
    "learning_rate": 0.03,
    "warm_up": 100,
    "tilt": 2.0,
    "earlier": 0.1,
    "strength": 2.0,
}
SETTINGS: dict[str, dict[str, Any]] = {"codes, 1 min": CODES | {"seconds": SECONDS[1]}}
SEEDS = (0, 1, 2)
SMOKE: dict[str, Any] = {"seconds": 2.0, "n": 100}
PARTS = 20
"""A training is seen at so many moments; one of them is the earlier time."""
TRIAL = 20
"""Steps whose time says how many fit, after as many that warm up."""


class Trained(NamedTuple):
    """What a training left behind, beside the network, which ends with averaged weights."""

    earlier: dict[str, Tensor]
    """The averaged weights at an earlier time."""
    steps: int
    curve: list[list[float]]
    """Processor seconds since the start, and the mean loss since the last moment."""


def batches(examples: Tensor, size: int, seed: int) -> Iterator[Tensor]:
    """Yield batches for ever, each pass over the examples in another order."""
    order = Generator().manual_seed(seed)
    while True:
        shuffled = torch.randperm(len(examples), generator=order)
        yield from (examples[part] for part in shuffled.split(size) if len(part) == size)


def spend(
    network: nn.Module,
    loss: Callable[[Tensor], Tensor],
    examples: Tensor,
    seconds: float,
    *,
    batch_size: int,
    earlier: float,
    seed: int,
    **options: Any,
) -> Trained:
    """Train a network for so many seconds of processor time.

    The arguments are those of `onebound.training.run.train`, but for `earlier`: the share of the
    training after which the average is kept that may guide the last one.
    """
    start = time.process_time()
    drawn = batches(examples, batch_size, seed)

    def train_for(steps: int, parts: int) -> Iterator[tuple[float, nn.Module]]:
        average = averaged(network)
        places = torch.arange(steps // parts * batch_size)  # how many; `drawn` knows which
        more = options | {"batch_size": batch_size, "seed": seed, "average": average}
        for epoch in train(network, lambda _: loss(next(drawn)), places, epochs=parts, **more):
            yield epoch.loss, average.module

    begun = deepcopy(network.state_dict())
    clock = [time.process_time() for _ in train_for(2 * TRIAL, 2)]
    network.load_state_dict(begun)
    left = seconds - (time.process_time() - start)
    steps = PARTS * max(1, round(left / (clock[1] - clock[0]) * TRIAL / PARTS))
    curve: list[list[float]] = []
    for mean, average in train_for(steps, PARTS):
        curve.append([time.process_time() - start, mean])
        if len(curve) == max(1, round(earlier * PARTS)):
            kept = deepcopy(average.state_dict())
    network.load_state_dict(average.state_dict())
    return Trained(kept, steps, curve)


def codes(
    images: Tensor, seed: int, seconds: float, n: int, recipe: dict[str, Any]
) -> dict[str, Any]:
    """Train a VAE for a share of the time and a model of its codes for the rest, and draw.

    A sample is a draw from the decoder's likelihood. Its means are judged beside it.
    """
    start = time.process_time()
    model = latent.sized(recipe | {"seed": seed})
    loss = latent.vae_loss(model.vae, recipe["kl_weight"])
    options = {"earlier": recipe["earlier"], "seed": seed}
    vae = spend(model.vae, loss, images, recipe["share"] * seconds, **recipe["vae"], **options)
    posteriors = torch.stack(model.encode_all(to_unit(images)), dim=1)
    left = seconds - (time.process_time() - start)
    options |= {key: recipe[key] for key in ("batch_size", "learning_rate")}
    found = spend(
        model.network, lambda b: model.loss(b[:, 0], b[:, 1]), posteriors, left, **options
    )
    model.earlier.load_state_dict(found.earlier)
    trained = time.process_time()
    drawn, means = latent.images_of(model.eval(), n, seed, recipe["strength"])
    sampled = time.process_time()
    alone, _ = latent.images_of(model, n, seed, 1.0)
    return {
        "seconds": trained - start,
        "sampling": sampled - trained,
        "steps": found.steps,
        "curve": found.curve,
        "vae_steps": vae.steps,
        "vae_curve": vae.curve,
        "parameters": sum(p.numel() for p in model.parameters()),
        **judge(drawn),
        **{f"means_{name}": value for name, value in judge(means).items()},
        **{f"alone_{name}": value for name, value in judge(alone).items()},
    }


def draw(denoise: Denoiser, n: int, seed: int, steps: int = 25) -> Tensor:
    """Draw n images by DDIM without noise, in even steps with clipping."""
    coarse, denoise = respaced(COSINE, clipped(denoise), even_steps(COSINE.T, steps))
    noise = Generator().manual_seed(seed)
    parts = [
        torch.randn(len(part), 1, 28, 28, generator=noise) for part in torch.arange(n).split(250)
    ]
    return torch.cat([last(ddim(coarse, denoise, x_T, eta=0.0)) for x_T in parts])


def pixels(
    images: Tensor, seed: int, seconds: float, n: int, recipe: dict[str, Any]
) -> dict[str, Any]:
    """Train a U-Net, and draw images with it."""
    start = time.process_time()
    torch.manual_seed(seed)
    sizes = {key: recipe[key] for key in ("deep_width", "pairs")}
    network = UNet(COSINE.T, **sizes)
    weight = tilted(COSINE, recipe["tilt"]) / 784

    def loss(batch: Tensor) -> Tensor:
        x_0, t = to_signed(batch), stratified_t(len(batch), COSINE.T)
        return denoising_loss(COSINE, from_v(network), x_0, torch.randn_like(x_0), t, weight)

    options = {key: recipe[key] for key in ("batch_size", "learning_rate", "warm_up", "earlier")}
    found = spend(network, loss, images, seconds, seed=seed, optimiser=muon, **options)
    trained = time.process_time()
    worse = UNet(COSINE.T, **sizes)
    worse.load_state_dict(found.earlier)
    denoise = from_v(network.eval())
    drawn = draw(guided(denoise, from_v(worse.eval()), recipe["strength"]), n, seed)
    sampled = time.process_time()
    return {
        "seconds": trained - start,
        "sampling": sampled - trained,
        "steps": found.steps,
        "curve": found.curve,
        "parameters": sum(p.numel() for p in network.parameters()),
        **judge(drawn),
        **{f"alone_{name}": value for name, value in judge(draw(denoise, n, seed)).items()},
    }


def run(seed: int, model: str, seconds: float, n: int = 2000, **recipe: Any) -> dict[str, Any]:
    """Train for so many seconds of processor time, and judge n draws, guided and alone.

    The seed is that of the first weights, of the training, and of the noise.
    """
    images, _ = split_validation(load_mnist().train_images)
    return {"codes": codes, "pixels": pixels}[model](images, seed, seconds, n, recipe)
