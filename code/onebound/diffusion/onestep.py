"""A variational autoencoder without an encoder: one fixed step of noise takes its place.

The latent is x_1 = sqrt(alpha) x_0 + sqrt(1 - alpha) eps, as large as the image, and `alpha`, in
[0, 1), the share of its variance that is signal. The only network is the decoder, a denoiser. It is
diffusion with T = 1, and `one_step` gives its schedule. ValueError if `alpha` is outside [0, 1).
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from onebound.checks import check_positive, need
from onebound.diffusion.bound import LogProb
from onebound.diffusion.denoisers import Network
from onebound.diffusion.process import Data, x_0_from_v
from onebound.diffusion.schedules import Schedule
from onebound.distributions import kl_normal_standard, noise_like, sample_normal
from onebound.likelihoods import log_prob_discretised_normal
from onebound.networks import inputs
from onebound.networks.conv import Residual
from onebound.networks.inputs import SHAPE, Images, Shape, Steps
from onebound.vae.model import Bound

Decoder = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # (x_1, t) to mean and log-variance

ALPHA = 0.1  # where a function is not told another


def one_step(alpha: float) -> Schedule:
    """Return the schedule with T = 1 and alpha_bar_1 = alpha (`[eq-one-step-encoder]`)."""
    return Schedule(torch.tensor([1.0, alpha], dtype=torch.float64))


def bound(
    decode: Decoder,
    x_0: Data,
    alpha: float = ALPHA,
    log_prob: LogProb = log_prob_discretised_normal,
    generator: Generator | None = None,
) -> Bound:
    """One-sample estimate of the bound with z = x_1, q(z|x_0) fixed and p(z) = N(0, I), nats.

    The bound is `[eq-one-step-elbo]`, and its divergence `[eq-one-step-kl]`, which depends on no
    parameter. If all pixels share one variance, the best for a normal likelihood is the mean
    squared error. The default likelihood takes images 2 k / 255 - 1.
    """
    need(0 <= alpha < 1, f"alpha, which is alpha_bar at t = 1, must be in [0, 1), got {alpha!r}")
    mu, variance = math.sqrt(alpha) * x_0, x_0.new_full((), 1 - alpha)
    x_1 = mu + variance.sqrt() * noise_like(x_0, generator)
    t = torch.ones(len(x_0), dtype=torch.int64, device=x_0.device)
    # log1p: for small alpha the log of 1 - alpha has lost its digits.
    kl = kl_normal_standard(mu, torch.full_like(x_0, math.log1p(-alpha)))
    return Bound(log_prob(x_0, *decode(x_1, t)), kl)


def decoder(network: Network, alpha: float = ALPHA) -> Decoder:
    """Read p(x_0|x_1) off two images a network puts out: v_hat, and one for the log-variance.

    Sigma lies between a third of a bin and half the range (`[eq-one-step-decoder]`).
    """
    schedule = one_step(alpha)

    def decode(x_1: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        v_hat, raw = network(x_1, t).to(x_1.dtype).chunk(2, dim=1)
        return x_0_from_v(schedule, x_1, v_hat, t), 6 * torch.tanh(raw + 1) - 6

    return decode


@torch.no_grad()
def sample_one_step(network: Network, n: int, generator: Generator, shape: Shape = SHAPE) -> Images:
    """Draw x_1 from the prior and x_0 from p(x_0|x_1): images in [-1, 1] up to an overshoot."""
    check_positive(n=n)
    decode, t = decoder(network), torch.ones(n, dtype=torch.int64)
    parts = torch.randn(n, *shape, generator=generator).split(500)  # what bounds the memory
    return torch.cat([sample_normal(*decode(x_1, t[: len(x_1)]), generator) for x_1 in parts])


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

    def forward(self, x_t: Images, t: Steps | None = None) -> Float[Tensor, "B images H W"]:
        """Return the images, one after the other on the axis of the channels."""
        inputs.check_shape(x_t, self.shape)
        fine = self.enter(inputs.own_type(x_t, self))
        return self.leave(fine + self.inner(fine)).to(x_t.dtype)
