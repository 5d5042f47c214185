"""How good digits are after minutes of training without labels, by three models.

"codes" is the VAE with a diffusion model of its codes, `onebound.zoo.latent`; "pixels" a U-Net that
sees images, like `onebound.zoo.unet`. Both are guided by an average of their own weights at an
earlier time of the same training. "groups" is the U-Net of "pixels" again, told in which group of
images that look alike an image is, and guided by itself untold. No label is told to any of them:
`groups_of` finds the groups without.

The budget is processor time of one thread, all that the training takes: a trial that finds how
many steps will fit, the steps themselves, and their averages. It is `SECONDS` on the machine of the
record, imitating AVX2, where it stands for minutes of two cores of a reference machine: such a core
takes 2.1 times as long for the same work.
"""

import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Generator, Tensor, nn

from onebound.data.images import to_unit
from onebound.data.mnist import load_mnist, split_validation
from onebound.diffusion.denoisers import Denoiser, Network, clipped, even_steps, guided, respaced
from onebound.diffusion.samplers import ddim, last
from onebound.networks.unet import UNet
from onebound.studies.scoreboard import judge
from onebound.training.optimisers import Average, muon
from onebound.training.run import train
from onebound.zoo import latent
from onebound.zoo._unets import COSINE, for_samples, from_v

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
GROUPS: dict[str, Any] = {
    **PIXELS,
    "groups": 30,
    "untold": 0.1,
    "strength": 3.0,
}
"""The same, told one of so many groups; a share of the images is not."""
WIDER: dict[int, dict[str, Any]] = {
    1: {"seconds": SECONDS[1]},
    5: {"seconds": SECONDS[5], "deep_width": 96},
    20: {"seconds": SECONDS[20], "deep_width": 112, "pairs": 3},
}
"""The U-Net that makes the most of so many minutes."""
SETTINGS: dict[str, dict[str, Any]] = {
    "codes, 1 min": CODES | {"seconds": SECONDS[1]},
    "codes, 5 min": CODES | {"seconds": SECONDS[5]},
    "pixels, 1 min": PIXELS | WIDER[1],
    "groups, 1 min": GROUPS | WIDER[1],
    "groups, 5 min": GROUPS | WIDER[5],
    "groups, 20 min": GROUPS | WIDER[20] | {"strength": 2.0},
    "codes, 20 min": CODES | {"seconds": SECONDS[20]},
    "pixels, 5 min": PIXELS | WIDER[5],
    "pixels, 20 min": PIXELS | WIDER[20],
}
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
        average = Average(network)
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


def groups_of(
    images: UInt8[Tensor, "N 1 H W"], groups: int, seed: int, components: int = 40, rounds: int = 12
) -> Int64[Tensor, "N"]:
    """Put images into groups that look alike, by k-means on their first principal components.

    Each group's centre is an image at first, then the mean of its group, `rounds` times.
    """
    x = to_unit(images).flatten(1)
    x = x - x.mean(dim=0)
    x = x @ torch.linalg.eigh(x.T @ x).eigenvectors[:, -components:]
    order = Generator().manual_seed(seed)
    centres = x[torch.randperm(len(x), generator=order)[:groups]]
    for _ in range(rounds):
        nearest = torch.cat([torch.cdist(part, centres).argmin(dim=1) for part in x.split(5000)])
        size = nearest.bincount(minlength=groups).clamp(min=1)
        centres = torch.zeros_like(centres).index_add(0, nearest, x) / size[:, None]
    return nearest


def pixels(
    images: Tensor, seed: int, seconds: float, n: int, recipe: dict[str, Any]
) -> dict[str, Any]:
    """Train a U-Net, and draw images with it; with "groups" in its recipe it is told them.

    The group of a sample is that of a training image chosen at random.
    """
    start = time.process_time()
    torch.manual_seed(seed)
    groups = recipe.get("groups", 0)
    sizes = {key: recipe[key] for key in ("deep_width", "pairs")} | {"classes": groups}
    network, worse = UNet(COSINE.T, **sizes), UNet(COSINE.T, **sizes)
    group = (
        groups_of(images, groups, seed) if groups else torch.zeros(len(images), dtype=torch.int64)
    )
    objective = for_samples(recipe)

    def told(y: Tensor) -> Network:
        return partial(network, y=y) if groups else network

    def loss(places: Tensor) -> Tensor:
        return objective.loss(network, images[places], group[places])

    options = {key: recipe[key] for key in ("batch_size", "learning_rate", "warm_up", "earlier")}
    left = seconds - (time.process_time() - start)
    places = torch.arange(len(images))
    found = spend(network, loss, places, left, seed=seed, optimiser=muon, **options)
    worse.load_state_dict(found.earlier)
    trained = time.process_time()
    guide = from_v(network.eval()) if groups else from_v(worse.eval())
    shown = group[torch.randint(len(group), (n,), generator=Generator().manual_seed(seed))]
    drawn = draw(lambda y: guided(from_v(told(y)), guide, recipe["strength"]), shown, seed)
    sampled = time.process_time()
    alone = draw(lambda y: from_v(told(y)), shown, seed)
    return {
        "seconds": trained - start,
        "sampling": sampled - trained,
        "steps": found.steps,
        "curve": found.curve,
        "parameters": sum(p.numel() for p in network.parameters()),
        **judge(drawn),
        **{f"alone_{name}": value for name, value in judge(alone).items()},
    }


def draw(
    denoiser_for: Callable[[Tensor], Denoiser], shown: Int64[Tensor, "n"], seed: int
) -> Float[Tensor, "n 1 28 28"]:
    """Draw an image for each label by DDIM without noise, in 25 even steps with clipping."""
    noise, images = Generator().manual_seed(seed), []
    for y in shown.split(250):
        denoise = clipped(denoiser_for(y))
        coarse, denoise = respaced(COSINE, denoise, even_steps(COSINE.T, 25))
        x_T = torch.randn(len(y), 1, 28, 28, generator=noise)
        images.append(last(ddim(coarse, denoise, x_T, eta=0.0)))
    return torch.cat(images)


def run(seed: int, model: str, seconds: float, n: int = 2000, **recipe: Any) -> dict[str, Any]:
    """Train for so many seconds of processor time, and judge n draws, guided and alone.

    The seed is that of the first weights, of the training, and of the noise.
    """
    images, _ = split_validation(load_mnist().train_images)
    return {"codes": codes, "pixels": pixels}[model](images, seed, seconds, n, recipe)
