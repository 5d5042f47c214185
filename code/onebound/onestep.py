"""A variational autoencoder without an encoder: one fixed step of noise takes its place.

The latent is x_1 = sqrt(alpha) x_0 + sqrt(1 - alpha) eps, as large as the image. The only network
is the decoder, a denoiser. It is diffusion with T = 1, and `one_step` gives its schedule. The
denoiser that no network can beat is here too, for any number of steps.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Generator, Tensor

from onebound.checks import check_same_shape, check_times
from onebound.diffusion import Denoiser
from onebound.distributions import kl_normal_standard, sample_normal
from onebound.likelihoods import log_prob_discretised_normal
from onebound.schedules import Schedule
from onebound.vae import Bound


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


def posterior_weights(
    schedule: Schedule, images: Tensor, x_t: Tensor, t: Tensor, chunk: int = 4096
) -> Tensor:
    """Probability that x_t came from each image, if each was equally likely at first.

    The softmax over i of -||x_t - sqrt(alpha_bar) x_i||^2 / (2 (1 - alpha_bar))
    (`[eq-posterior-weights]`, `[eq-image-posterior]`).

    Parameters
    ----------
    schedule
        T steps.
    images
        x_1 to x_N, shape (N, ...).
    x_t, t
        What was seen, shape (B, ...), and its steps, shape (B,).
    chunk
        Images taken at a time, which are converted to float64.

    Returns
    -------
    Tensor
        Shape (B, N), float64; each row sums to 1.

    Raises
    ------
    ValueError
        If `t` is not from 1 to T, one for each example, or an image has another shape than x_t.
    """
    check_times(t, schedule.T, x_t)
    check_same_shape(image=images[0], x_t=x_t[0])
    alpha_bar = schedule.alpha_bar.to(x_t.device)[t][:, None]
    seen = x_t.flatten(1).double() * alpha_bar.sqrt()
    # ||x_t||^2 is the same for every image and drops out. What remains is divided by 1 - alpha_bar,
    # down to 1e-4: the differences of such numbers need the digits of float64.
    logits = torch.cat(
        [
            seen @ part.T - 0.5 * alpha_bar * (part**2).sum(1)
            for part in _double_chunks(images, chunk)
        ],
        dim=1,
    )
    return (logits / (1 - alpha_bar)).softmax(1)


def optimal_denoiser(schedule: Schedule, images: Tensor, chunk: int = 4096) -> Denoiser:
    """Return the exact E[x_0|x_t] if x_0 is one of `images`, each equally likely.

    It is the mean of the images under `posterior_weights` (`[eq-optimal-denoiser]`). No function of
    (x_t, t) has a smaller mean squared error on these images (`[eq-conditional-mean]`). Sampled
    with, it gives these images back.

    Parameters
    ----------
    schedule
        T steps.
    images
        The data set, shape (N, ...), at least one.
    chunk
        Images taken at a time, which are converted to float64.

    Returns
    -------
    Callable
        The denoiser; for B examples it needs 8 B N bytes for the weights.
    """

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        weights = posterior_weights(schedule, images, x_t, t, chunk)
        x_0_hat = torch.zeros_like(x_t.flatten(1), dtype=torch.float64)
        parts = _double_chunks(images, chunk)
        for weight, part in zip(weights.split(chunk, dim=1), parts, strict=True):
            x_0_hat += weight @ part
        return x_0_hat.reshape(x_t.shape).to(x_t)

    return denoise


def _double_chunks(images: Tensor, chunk: int) -> Iterator[Tensor]:
    return (part.flatten(1).double() for part in images.split(chunk))
