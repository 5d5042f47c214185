"""Which choices of a design matter: one network, equal processor time, one change at a time.

The base learns v, sees the steps of the cosine schedule alike, and counts every error of v alike.
Runs of a seed start from the same weights and see the same images and noise. The network's own skip
from the input, which would make up for a poor choice of output, is off.
"""

import time
from typing import Any, cast

import torch
from torch import Generator, Tensor, nn

from onebound.data.images import to_signed, to_unit
from onebound.data.mnist import load_mnist, split_validation
from onebound.diffusion.denoisers import Denoiser, Network, respaced
from onebound.diffusion.design import (
    Coefficients,
    coefficients,
    log_ratio_chances,
    preconditioned,
    preconditioning,
    weight_for,
)
from onebound.diffusion.loss import denoising_loss, stratified_t
from onebound.diffusion.samplers import last
from onebound.diffusion.solvers import karras_ratios, multistep, nearest_steps
from onebound.distributions import noise_like
from onebound.evaluation import frechet
from onebound.evaluation.estimates import per_example
from onebound.evaluation.protocol import to_levels
from onebound.evaluation.quality import recognised
from onebound.networks.unet import UNet
from onebound.studies.sampling import starts
from onebound.training.optimisers import Average, muon
from onebound.training.run import train
from onebound.zoo import digits
from onebound.zoo._unets import COSINE
from onebound.zoo.cards import load_model

VARIANCE = 0.27
"""Of a pixel in [-1, 1] about its own mean, on average over the pixels."""
LOW, HIGH = 0.05, 20.0
"""Ratios of noise to signal between which steps are drawn in training, and in sampling."""
EVALUATIONS = 12
BINS = 10
"""Groups of steps, as many steps in each, for which the error is kept."""
SEEDS = (0, 1, 2, 3, 4)
SMOKE = {"steps": 2, "n": 260, "images": 100}
BASE = {"output": "v", "chances": "even", "weight": "v"}
CHANGES: dict[str, dict[str, str]] = {
    "base": {},
    "output F": {"output": "F"},
    "output x_0": {"output": "x_0"},
    "output eps": {"output": "eps"},
    "chances of EDM": {"chances": "EDM"},
    "chances of SD3": {"chances": "SD3"},
    "weight of EDM": {"weight": "EDM"},
    "all of EDM": {"output": "F", "chances": "EDM", "weight": "EDM"},
    "weight of eps": {"weight": "eps"},
    "weight of Min-SNR": {"weight": "Min-SNR"},
}
SETTINGS: dict[str, dict[str, Any]] = {name: BASE | change for name, change in CHANGES.items()}


def outputs() -> dict[str, Coefficients]:
    """Return the numbers of each output."""
    return {**coefficients(COSINE), "F": preconditioning(COSINE, VARIANCE)}


def chances_of(name: str) -> Tensor:
    """Return the chances of the steps, 0 outside `LOW` and `HIGH`."""
    table = {
        "even": torch.ones(COSINE.T + 1, dtype=torch.float64),
        "EDM": log_ratio_chances(COSINE, -1.2, 1.2),
        "SD3": log_ratio_chances(COSINE, 0.0, 1.0),
    }[name]
    ratios = (-COSINE.log_snr / 2).exp()
    inside = torch.where((ratios >= LOW) & (ratios <= HIGH), table, 0)
    return inside / inside.sum()


def effective_of(name: str) -> Tensor:
    """Return how much the squared error of x_0_hat counts at each step, in all."""
    if name == "EDM":
        chances, weight = chances_of("EDM"), COSINE.snr + 1 / VARIANCE
    else:
        weights = {
            "v": COSINE.snr + 1,
            "eps": COSINE.snr,
            "Min-SNR": COSINE.snr.clamp(max=5),
        }
        chances, weight = chances_of("even"), weights[name]
    return torch.where(chances > 0, chances * weight, 0)


def plain(seed: int) -> UNet:
    """Return the network before training, without its own skip: d and r of `UNet` stay 0."""
    torch.manual_seed(seed)
    network = UNet(COSINE.T)
    network.time.register_forward_hook(_without_skip)
    return network


def _without_skip(module: nn.Module, inputs: tuple[Tensor], told: Tensor) -> Tensor:
    return torch.cat([told[:, :-2], torch.zeros_like(told[:, -2:])], dim=1)


def loss(
    denoise: Denoiser, x_0: Tensor, chances: Tensor, weight: Tensor, noise: Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Return the drawn steps, and the weighted error of each image, a mean over pixels."""
    t = stratified_t(len(x_0), COSINE.T, noise, chances).to(x_0.device)
    eps = noise_like(x_0, noise)
    return t, denoising_loss(COSINE, denoise, x_0, eps, t, weight / x_0[0].numel())


def errors(denoise: Denoiser, images: int) -> tuple[Tensor, Tensor]:
    """Return steps and errors of v on validation images, with the same draws each time."""
    _, held_out = split_validation(load_mnist().train_images)
    noise, chances = Generator().manual_seed(5), chances_of("even")
    weight = weight_for(effective_of("v"), chances)

    def one(part: Tensor) -> Tensor:
        return torch.stack(loss(denoise, part, chances, weight, noise), dim=1)

    t, error = per_example(one, to_signed(held_out[:images]), 250).double().unbind(1)
    return t.long(), error


def run(
    seed: int,
    output: str,
    chances: str,
    weight: str,
    steps: int = 1500,
    n: int = 1000,
    images: int = 3000,
) -> dict[str, Any]:
    """Train, look at images held out, draw in few evaluations, and judge what was drawn."""
    network, numbers = plain(seed), outputs()[output]
    average = Average(network)
    drawn = chances_of(chances)
    table = weight_for(effective_of(weight), drawn)
    guess = preconditioned(COSINE, cast(Network, network), numbers)
    shown, _ = split_validation(load_mnist().train_images)
    order = torch.randperm(len(shown), generator=Generator().manual_seed(seed))
    started = time.process_time()
    epochs = train(
        network,
        lambda batch: loss(guess, to_signed(batch), drawn, table)[1],
        shown[order[: 32 * steps]],
        epochs=1,
        batch_size=32,
        learning_rate=0.03,
        optimiser=muon,
        warm_up=20,
        average=average,
        seed=seed,
    )
    next(epochs)
    spent = time.process_time() - started
    denoise = preconditioned(COSINE, cast(Network, average.module), numbers)
    t, error = errors(denoise, images)
    groups = error[t.argsort(stable=True)].chunk(BINS)
    kept = nearest_steps(COSINE, karras_ratios(EVALUATIONS, LOW, HIGH))
    pair = respaced(COSINE, denoise, kept)
    parts = [last(multistep(*pair, x_T, 1.0, noise)) for x_T, noise in starts(n, seed)]
    return {
        "processor": spent,
        "validation": error.mean().item(),
        "errors": [group.mean().item() for group in groups],
        **judged(to_unit(to_levels(torch.cat(parts)))),
    }


def judged(images: Tensor) -> dict[str, float]:
    """Return the share that the classifier recognises, and the distance to the test images."""
    classifier, _ = load_model(digits)
    real = to_unit(load_mnist().test_images)
    made, known = (frechet.fit(per_example(classifier.features, x, 250)) for x in (images, real))
    return {
        "recognised": per_example(lambda x: recognised(classifier, x), images).mean().item(),
        "frechet": frechet.distance(made, known),
    }
