"""A variational autoencoder without an encoder: one fixed step of noise takes its place.

The latent is x_1 = sqrt(alpha) x_0 + sqrt(1 - alpha) eps, as large as the image, and `alpha`, in
[0, 1), the share of its variance that is signal. The only network is the decoder, a denoiser. It is
diffusion with T = 1, and `one_step` gives its schedule. ValueError if `alpha` is outside [0, 1).
"""

import torch
from torch import Generator

from onebound.diffusion.bound import LogProb
from onebound.diffusion.denoisers import Denoiser
from onebound.diffusion.process import Data
from onebound.diffusion.schedules import Schedule
from onebound.distributions import Broadcast, kl_normal_standard, sample_normal
from onebound.likelihoods import log_prob_discretised_normal
from onebound.vae.model import Bound


def one_step(alpha: float) -> Schedule:
    """Return the schedule with T = 1 and alpha_bar_1 = alpha (`[eq-one-step-encoder]`)."""
    return Schedule(torch.tensor([1.0, alpha], dtype=torch.float64))


def bound(
    denoise: Denoiser,
    x_0: Data,
    alpha: float,
    logvar: Broadcast,
    log_prob: LogProb = log_prob_discretised_normal,
    generator: Generator | None = None,
) -> Bound:
    """One-sample estimate of the bound with z = x_1, q(z|x_0) fixed and p(z) = N(0, I), nats.

    The bound is `[eq-one-step-elbo]`, and its divergence `[eq-one-step-kl]`, which depends on no
    parameter. `denoise` gives the mean of p(x_0|x_1), and `logvar`, broadcastable to `x_0`, its
    log-variance: the best single number for a normal likelihood is the log of the mean squared
    error. The default likelihood takes images 2 k / 255 - 1.
    """
    if not 0 <= alpha < 1:
        raise ValueError(f"alpha, which is alpha_bar at t = 1, must be in [0, 1), got {alpha!r}")
    kept = x_0.new_full((), alpha)
    mu, logvar_q = kept.sqrt() * x_0, torch.log1p(-kept).expand_as(x_0)
    x_1 = sample_normal(mu, logvar_q, generator)
    t = torch.ones(len(x_0), dtype=torch.int64, device=x_0.device)
    return Bound(log_prob(x_0, denoise(x_1, t), logvar), kl_normal_standard(mu, logvar_q))
