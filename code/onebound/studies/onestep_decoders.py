"""Decoders of one step of noise: their bound, their samples, and a VAE beside them.

Trained on the squared error ("error") or on the bound itself ("bound"); "vae" is of "One scale".
"""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Generator, Tensor, nn

from onebound.checks import check_positive
from onebound.data.images import to_signed, to_unit
from onebound.data.mnist import load_mnist, split_validation
from onebound.diffusion.denoisers import Denoiser
from onebound.diffusion.onestep import ALPHA, SmallDenoiser, bound, decoder
from onebound.distributions import Nats, kl_normal_standard
from onebound.evaluation import quality
from onebound.evaluation.estimates import per_example
from onebound.likelihoods import (
    Images,
    bits_per_dim,
    log_prob_discretised_logistic,
    log_prob_discretised_normal,
)
from onebound.networks.inputs import Shape
from onebound.networks.mlp import MLPDecoder, MLPEncoder
from onebound.studies.onestep_targets import apply, corrupt, fit
from onebound.training.run import train
from onebound.vae.model import VAE
from onebound.zoo import digits
from onebound.zoo.cards import load_model

ALPHAS = (0.02, 0.1, 0.5, 0.9)
SETTINGS = {
    **{f"error, {alpha}": {"trained_on": "error", "alpha": alpha} for alpha in ALPHAS},
    **{f"bound, {alpha}": {"trained_on": "bound", "alpha": alpha} for alpha in (0.1, 0.2, 0.5)},
    "vae": {"trained_on": "vae"},
}
SEEDS = (0, 1, 2, 3, 4)
SMOKE = {"images": 256}


class Trained(NamedTuple):
    """A trained network, its parameters and the seconds that it took."""

    model: nn.Module
    parameters: int
    seconds: float


def one_step_decoder(
    levels: UInt8[Tensor, "N C H W"], alpha: float = ALPHA, seed: int = 0
) -> Trained:
    """Train a decoder of one step on its bound, one pass over 24,000 images."""
    torch.manual_seed(seed)
    network = SmallDenoiser(out=2, shape=_shape(levels)).to(memory_format=torch.channels_last)
    decode = decoder(network, alpha)
    loss = lambda batch: -bound(decode, to_signed(batch), alpha).elbo  # noqa: E731
    (last,) = train(network, loss, levels[:24_000], epochs=1, batch_size=64, seed=seed)
    return _trained(network, last.seconds)


class LearnedScale(nn.Module):
    """A discretised logistic likelihood whose one scale is a parameter.

    See `[eq-discretised-logistic]`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tenth = nn.Parameter(torch.tensor(-0.2))  # Adam's steps have one size: make them count

    def forward(self, x: Images, centre: Images) -> Nats:
        """Log-probability of images in [0, 1], nats."""
        return log_prob_discretised_logistic(x, centre, 10 * self.tenth)


def logistic_vae(levels: UInt8[Tensor, "N C H W"], seed: int = 0) -> Trained:
    """Train the VAE of "One scale", whose likelihood is that, four passes over images."""
    torch.manual_seed(seed)
    shape = _shape(levels)
    model = VAE(MLPEncoder(20, shape=shape), MLPDecoder(20, shape=shape), LearnedScale())
    loss = lambda batch: -model.bound(to_unit(batch)).elbo  # noqa: E731
    *_, last = train(model, loss, levels, epochs=4, learning_rate=5e-3, seed=seed)
    return _trained(model, last.seconds)


def _shape(levels: Tensor) -> Shape:
    return levels.shape[1], levels.shape[2], levels.shape[3]


def _trained(model: nn.Module, seconds: float) -> Trained:
    return Trained(model.eval(), sum(p.numel() for p in model.parameters()), seconds)


@torch.no_grad()
def sample_logistic_vae(model: VAE, n: int, generator: Generator) -> Float[Tensor, "n C H W"]:
    """Draw z from the prior and levels from p(x|z): images in [0, 1]. ValueError if `n` < 1."""
    check_positive(n=n)
    likelihood = model.log_prob
    assert isinstance(likelihood, LearnedScale)
    centre = model.sample(n, generator)
    # The bins are those of a density: draw from it, round down, and cut to the bins at the ends.
    u = torch.rand(centre.shape, generator=generator)
    draw = centre + torch.exp(10 * likelihood.tenth) * torch.logit(u)
    return (256 * draw).floor().clamp(0, 255) / 255


def moments(levels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the pixels of images 2 k / 255 - 1, float64, in parts."""
    total = torch.stack([part.flatten(1).sum(0) for part in levels.split(1000)]).sum(0)
    mean = 2 * total.double() / len(levels) / 255 - 1
    covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    for part in levels.split(1000):
        apart = to_signed(part).flatten(1) - mean.float()
        covariance += (apart.T @ apart) / len(levels)
    return mean, covariance


def sources(
    alpha: float, n: int, levels: Tensor, mean: Tensor, variance: Tensor, generator: Generator
) -> dict[str, Tensor]:
    """Draw n times x_1 from the prior, from a normal density a pixel, and from q(x_1)."""
    eps = torch.randn(n, 1, 28, 28, generator=generator)
    deviation = (alpha * variance + 1 - alpha).sqrt().float().reshape(1, 1, 28, 28)
    middle = math.sqrt(alpha) * mean.float().reshape(1, 1, 28, 28)
    chosen = torch.randint(len(levels), (n,), generator=generator)
    return {
        "N(0, I)": eps,
        "fitted pixels": middle + deviation * eps,
        "corrupted images": corrupt(to_signed(levels[chosen]), alpha, generator),
    }


class Judge:
    """Says which images a classifier is sure of, and which of them pass two more tests as well."""

    def __init__(self, levels: Tensor, test_images: Tensor) -> None:
        self.classifier, _ = load_model(digits)
        sharp = per_example(lambda part: quality.sharpness(to_unit(part)), test_images)
        ends = torch.tensor([0.01, 0.99], dtype=sharp.dtype)
        self.softest, self.grainiest = sharp.quantile(ends)
        self.known = to_signed(levels[:10_000]).flatten(1)
        self.farthest = self.nearest(to_signed(test_images[:1000])).quantile(0.99)

    def nearest(self, x: Tensor) -> Tensor:
        """Distance of each image to the nearest of 10,000 training images."""
        return torch.cdist(x.flatten(1), self.known).min(1).values

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images in [-1, 1] to 1.0 or 0.0: recognised, and recognised and like digits."""
        shown = ((x + 1) / 2).clamp(0, 1)
        sure = per_example(lambda part: quality.recognised(self.classifier, part), shown, 250)
        sharp = quality.sharpness(shown.clamp(min=1e-6 * torch.rand(x.shape)))  # never constant
        like = (self.softest < sharp) & (sharp < self.grainiest) & (self.nearest(x) < self.farthest)
        return sure, sure * like


def returned(denoise: Denoiser, alpha: float, levels: Tensor, generator: Generator) -> Tensor:
    """Say for 200 corrupted training images if the answer's nearest is the one that went in."""
    chosen = torch.randint(len(levels), (200,), generator=generator)
    answer = apply(denoise, corrupt(to_signed(levels[chosen]), alpha, generator)).flatten(1)
    parts = [torch.cdist(answer, to_signed(p).flatten(1)) for p in levels.split(10_000)]
    return (torch.cat(parts, 1).argmin(1) == chosen).float()


def divergence(x_0: Tensor, alpha: float) -> float:
    """KL(q(x_1|x_0) || N(0, I)), mean over images, in bits/dim."""
    spread = torch.full_like(x_0, math.log(1 - alpha))
    return bits_per_dim(-kl_normal_standard(math.sqrt(alpha) * x_0, spread)).mean().item()


def error_run(seed: int, alpha: float, images: int) -> dict[str, Any]:
    """Train on the squared error; the terms of the bound in bits/dim, and what samples are."""
    mnist, noise = load_mnist(), Generator().manual_seed(3 + seed)
    levels, _ = split_validation(mnist.train_images)
    test = to_signed(mnist.test_images)
    denoise = fit(seed, alpha, "v", levels[:images])
    some = to_signed(levels[:5000])
    squares = (apply(denoise, corrupt(some, alpha, noise)) - some) ** 2
    variances = {
        "one sigma": squares.mean(),
        "sigma a pixel": squares.mean(0, keepdim=True).clamp(min=1e-6),
    }
    answers = apply(denoise, corrupt(test, alpha, noise))
    found = {
        name: bits_per_dim(log_prob_discretised_normal(test, answers, variance.log())).mean().item()
        for name, variance in variances.items()
    }
    found["error"] = ((answers - test) ** 2).mean().item()
    found["divergence"] = divergence(test, alpha)
    found["returned"] = returned(denoise, alpha, levels, noise).mean().item()
    torch.manual_seed(seed)
    judge, (mean, covariance) = Judge(levels, mnist.test_images), moments(levels)
    for name, x_1 in sources(alpha, 1000, levels, mean, covariance.diagonal(), noise).items():
        shares = (share.mean().item() for share in judge(apply(denoise, x_1)))
        found[f"{name}: recognised"], found[f"{name}: passed"] = shares
    return found


def vae_run(seed: int, images: int) -> dict[str, Any]:
    """Train the VAE of "One scale"; both terms of its bound."""
    mnist, noise = load_mnist(), Generator().manual_seed(3 + seed)
    levels, _ = split_validation(mnist.train_images)
    vae = logistic_vae(levels[:images], seed).model
    assert isinstance(vae, VAE)
    with torch.no_grad():
        parts = [vae.bound(to_unit(x), noise) for x in mnist.test_images.split(1000)]
    return {
        "reconstruction": bits_per_dim(torch.cat([p.log_likelihood for p in parts])).mean().item(),
        "divergence": bits_per_dim(-torch.cat([p.kl for p in parts])).mean().item(),
    }


def bound_run(seed: int, alpha: float, images: int) -> dict[str, Any]:
    """Train on the bound; its mean on validation and on test images."""
    mnist, noise = load_mnist(), Generator().manual_seed(3 + seed)
    levels, held_out = split_validation(mnist.train_images)
    decode = decoder(one_step_decoder(levels[:images], alpha, seed).model, alpha)

    def elbo(part: Tensor) -> Tensor:
        return bound(decode, to_signed(part), alpha, generator=noise).elbo

    return {
        "validation": bits_per_dim(per_example(elbo, held_out)).mean().item(),
        "test": bits_per_dim(per_example(elbo, mnist.test_images)).mean().item(),
        "divergence": divergence(to_signed(mnist.test_images), alpha),
    }


def run(seed: int, trained_on: str, alpha: float = 0.1, images: int = 50_000) -> dict[str, Any]:
    """Train one of them, and score it on the test images, in bits/dim."""
    if trained_on == "vae":
        return vae_run(seed, images)
    one = error_run if trained_on == "error" else bound_run
    return one(seed, alpha, min(images, 24_000))
