"""Two models of earlier chapters, trained again in seconds where later pages stand beside them.

Both give probabilities to 8-bit images, so both have a number in bits per dimension.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Generator, Tensor, nn

from onebound.checks import check_positive
from onebound.data.images import to_signed, to_unit
from onebound.diffusion.onestep import one_step
from onebound.diffusion.process import sample_xt
from onebound.distributions import kl_normal_standard, noise_like
from onebound.likelihoods import log_prob_discretised_logistic, log_prob_discretised_normal
from onebound.networks import inputs
from onebound.networks.conv import Residual
from onebound.networks.inputs import SHAPE, Shape, shape_of
from onebound.networks.mlp import MLPDecoder, MLPEncoder
from onebound.training.run import train
from onebound.vae.model import VAE


class Trained(NamedTuple):
    """A trained network, its parameters and the seconds that it took."""

    model: nn.Module
    parameters: int
    seconds: float


# ---- "One scale": a VAE whose likelihood is a discretised logistic


class LearnedScale(nn.Module):
    """A discretised logistic likelihood whose one scale is a parameter.

    See `[eq-discretised-logistic]`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tenth = nn.Parameter(torch.tensor(-0.2))  # Adam's steps have one size: make them count

    def forward(
        self, x: Float[Tensor, "B C H W"], centre: Float[Tensor, "B C H W"]
    ) -> Float[Tensor, "B"]:
        """Log-probability of images in [0, 1], nats."""
        return log_prob_discretised_logistic(x, centre, 10 * self.tenth)


def logistic_vae(levels: UInt8[Tensor, "N C H W"], seed: int = 0) -> Trained:
    """Train that VAE, four passes over images."""
    torch.manual_seed(seed)
    shape = shape_of(levels)
    model = VAE(MLPEncoder(20, shape=shape), MLPDecoder(20, shape=shape), LearnedScale())
    loss = lambda batch: -model.bound(to_unit(batch)).elbo  # noqa: E731
    *_, last = train(model, loss, levels, epochs=4, learning_rate=5e-3, seed=seed)
    return _trained(model, last.seconds)


@torch.no_grad()
def sample_logistic_vae(model: VAE, n: int, generator: Generator) -> Float[Tensor, "n C H W"]:
    """Draw z from the prior and levels from p(x|z): images in [0, 1]. ValueError if `n` < 1."""
    check_positive("n", n)
    likelihood = model.log_prob
    assert isinstance(likelihood, LearnedScale)
    centre = model.sample(n, generator)
    # The bins are those of a density: draw from it, round down, and cut to the bins at the ends.
    u = torch.rand(centre.shape, generator=generator)
    draw = centre + torch.exp(10 * likelihood.tenth) * torch.logit(u)
    return (256 * draw).floor().clamp(0, 255) / 255


# ---- one step of noise, and a decoder trained on the bound


class SmallDenoiser(nn.Module):
    """(x_t, t) to `out` images like x_t; it knows one noise level only and ignores t."""

    def __init__(self, width: int = 16, deep: int = 64, out: int = 1, shape: Shape = SHAPE) -> None:
        super().__init__()
        inputs.check_built_for(shape, width=width, deep=deep, out=out)
        self.shape, channels = shape, shape[0]
        self.enter = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * channels, width, 3, padding=1),
            Residual(width),
            nn.SiLU(),
        )
        self.inner = nn.Sequential(
            nn.Conv2d(width, deep, 2, stride=2),
            Residual(deep),
            nn.SiLU(),
            nn.Conv2d(deep, 4 * width, 1),
            nn.PixelShuffle(2),
        )
        self.leave = nn.Sequential(
            Residual(width),
            nn.SiLU(),
            nn.Conv2d(width, 4 * out * channels, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(
        self, x_t: Float[Tensor, "B C H W"], t: Int64[Tensor, "B"] | None = None
    ) -> Float[Tensor, "B images H W"]:
        """Return the answer."""
        inputs.check_shape(x_t, self.shape)
        fine = self.enter(inputs.own_type(x_t, self))
        return self.leave(fine + self.inner(fine)).to(x_t.dtype)


ALPHA = 0.1
"""Share of signal in the variance of x_1, where a function is not told another."""


def one_step_decoder(
    levels: UInt8[Tensor, "N C H W"], alpha: float = ALPHA, seed: int = 0
) -> Trained:
    """Train the decoder of "A VAE without an encoder" on its bound, one pass over 24,000 images."""
    torch.manual_seed(seed)
    network = SmallDenoiser(out=2, shape=shape_of(levels)).to(memory_format=torch.channels_last)
    loss = lambda batch: -one_step_bound(network, to_signed(batch), alpha=alpha)  # noqa: E731
    (last,) = train(network, loss, levels[:24_000], epochs=1, batch_size=64, seed=seed)
    return _trained(network, last.seconds)


def one_step_bound(
    network: Callable[..., Tensor],
    x_0: Float[Tensor, "B C H W"],
    generator: Generator | None = None,
    alpha: float = ALPHA,
) -> Float[Tensor, "B"]:
    """Estimate the bound of images 2 k / 255 - 1, nats (`[eq-one-step-elbo]`).

    The network maps x_1, `alpha` of whose variance is signal, to two images: v_hat, and what the
    log-variance is made of.
    """
    t = torch.ones(len(x_0), dtype=torch.int64, device=x_0.device)
    x_1 = sample_xt(one_step(alpha), x_0, noise_like(x_0, generator), t)
    logvar_q = torch.full_like(x_0, math.log(1 - alpha))
    divergence = kl_normal_standard(math.sqrt(alpha) * x_0, logvar_q)
    return log_prob_discretised_normal(x_0, *_moments(network, x_1, alpha)) - divergence


def _moments(network: Callable[..., Tensor], x_1: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of p(x_0|x_1); sigma from a third of a bin to half the range."""
    v_hat, raw = network(x_1, None).to(x_1.dtype).chunk(2, dim=1)
    return math.sqrt(alpha) * x_1 - math.sqrt(1 - alpha) * v_hat, 6 * torch.tanh(raw + 1) - 6


@torch.no_grad()
def sample_one_step(
    network: Callable[..., Tensor], n: int, generator: Generator, shape: Shape = SHAPE
) -> Float[Tensor, "n C H W"]:
    """Draw x_1 from the prior and x_0 from p(x_0|x_1): images in [-1, 1] up to an overshoot.

    ValueError if `n` < 1.
    """
    check_positive("n", n)
    parts = []
    for x_1 in torch.randn(n, *shape, generator=generator).split(500):
        mean, logvar = _moments(network, x_1, ALPHA)
        parts.append(mean + torch.exp(0.5 * logvar) * noise_like(mean, generator))
    return torch.cat(parts)


def _trained(model: nn.Module, seconds: float) -> Trained:
    return Trained(model.eval(), sum(p.numel() for p in model.parameters()), seconds)
