"""A variational autoencoder without an encoder: one fixed step of noise takes its place.

The latent is x_1 = sqrt(alpha) x_0 + sqrt(1 - alpha) eps, as large as the image. The only network
is the decoder, a denoiser. It is diffusion with T = 1, and `one_step` gives its schedule. The
denoiser that no network can beat is here too, for any number of steps.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from onebound.diffusion.denoisers import Denoiser
from onebound.diffusion.schedules import Schedule
from onebound.distributions import kl_normal_standard, sample_normal
from onebound.likelihoods import log_prob_discretised_normal
from onebound.vae.model import Bound


def one_step(alpha: float) -> Schedule:
    """Return the schedule with T = 1 and alpha_bar_1 = alpha (`[eq-one-step-encoder]`).

    Parameters
    ----------
    alpha
        Share of the variance of x_1 that is signal, in [0, 1).

    Raises
    ------
    ValueError
        If `alpha` is not in [0, 1).
    """
    return Schedule(torch.tensor([1.0, alpha], dtype=torch.float64))


def bound(
    denoise: Denoiser,
    x_0: Tensor,
    alpha: float,
    logvar: Tensor,
    log_prob: Callable[[Tensor, Tensor, Tensor], Tensor] = log_prob_discretised_normal,
    generator: Generator | None = None,
) -> Bound:
    """One-sample estimate of the bound with z = x_1, q(z|x_0) fixed and p(z) = N(0, I).

    The bound is `[eq-one-step-elbo]`, its divergence `[eq-one-step-kl]`.

    Parameters
    ----------
    denoise
        Maps (x_1, t) with t = 1 to x_0_hat, the mean of p(x_0|x_1).
    x_0
        Data, shape (B, ...); images 2 k / 255 - 1 for the default likelihood.
    alpha
        Share of signal in x_1, in [0, 1).
    logvar
        Log-variance of p(x_0|x_1), broadcastable to the shape of `x_0`. The best single number
        for a normal likelihood is the log of the mean squared error.
    log_prob
        Maps x_0, mean and log-variance to nats, shape (B,).
    generator
        Source of the noise; None takes torch's global one.

    Returns
    -------
    Bound
        Both terms, nats per example. The divergence depends on no parameter.

    Raises
    ------
    ValueError
        If `alpha` is not in [0, 1), and as the likelihood.
    """
    kept = one_step(alpha).alpha_bar[1].to(x_0)
    mu, logvar_q = kept.sqrt() * x_0, torch.log1p(-kept).expand_as(x_0)
    x_1 = sample_normal(mu, logvar_q, generator)
    t = torch.ones(len(x_0), dtype=torch.int64, device=x_0.device)
    return Bound(log_prob(x_0, denoise(x_1, t), logvar), kl_normal_standard(mu, logvar_q))
