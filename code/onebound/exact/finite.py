"""A finite data set, solved exactly: which image a noisy one comes from, and the best denoiser.

Both work in float64 and take `chunk` images at a time, which are converted.
"""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from onebound.checks import check_same_shape, check_times
from onebound.diffusion.denoisers import Denoiser
from onebound.diffusion.process import Data, Steps
from onebound.diffusion.schedules import Schedule


def posterior_weights(
    schedule: Schedule, images: Float[Tensor, "N ..."], x_t: Data, t: Steps, chunk: int = 4096
) -> Float64[Tensor, "B N"]:
    """Probability that x_t came from each image, if each was equally likely at first.

    See `[eq-posterior-weights]` and `[eq-image-posterior]`.
    """
    check_times(t, schedule.T, x_t)
    check_same_shape(image=images[0], x_t=x_t[0])
    alpha_bar = schedule.alpha_bar.to(x_t.device)[t][:, None]
    seen = x_t.flatten(1).double() * alpha_bar.sqrt()
    # ||x_t||^2 is the same for every image and drops out. What remains is divided by 1 - alpha_bar,
    # down to 1e-4: the differences of such numbers need the digits of float64.
    parts = (part.flatten(1).double() for part in images.split(chunk))
    logits = [seen @ part.T - 0.5 * alpha_bar * (part**2).sum(1) for part in parts]
    return (torch.cat(logits, dim=1) / (1 - alpha_bar)).softmax(1)


def optimal_denoiser(schedule: Schedule, images: Data, chunk: int = 4096) -> Denoiser:
    """Return the exact E[x_0|x_t] if x_0 is one of `images`, each equally likely.

    It is the mean of the images under `posterior_weights` (`[eq-optimal-denoiser]`), which need
    8 B N bytes, and has the smallest mean squared error on these images (`[eq-conditional-mean]`).
    """

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        weights = posterior_weights(schedule, images, x_t, t, chunk)
        x_0_hat = torch.zeros_like(x_t.flatten(1), dtype=torch.float64)
        parts = (part.flatten(1).double() for part in images.split(chunk))
        for weight, part in zip(weights.split(chunk, dim=1), parts, strict=True):
            x_0_hat += weight @ part
        return x_0_hat.reshape(x_t.shape).to(x_t)

    return denoise
