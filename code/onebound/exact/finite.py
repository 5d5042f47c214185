"""A finite data set, solved exactly: which image a noisy one comes from, and the best denoiser."""

from collections.abc import Iterator

import torch
from torch import Tensor

from onebound.checks import check_same_shape, check_times
from onebound.diffusion.denoisers import Denoiser
from onebound.diffusion.schedules import Schedule


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
