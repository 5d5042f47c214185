"""Images whose pixels are independent: a model of real digits on which diffusion can be solved.

The log-probability of an image is a sum over pixels, and E[x_0|x_t] a mean over 256 levels. Images
are levels, uint8; ValueError if they are none.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from onebound.checks import need
from onebound.data.images import to_signed
from onebound.diffusion.denoisers import Denoiser
from onebound.diffusion.schedules import Schedule, at, like

LEVELS = 256

Images = UInt8[Tensor, "B C H W"]


@dataclass(frozen=True, eq=False)
class IndependentPixels:
    """Pixel i takes the level k with probability p_i(k), whatever the others do.

    See `[eq-pixel-histogram]`. `probability` is p_i(k): each row is positive, with sum 1.
    """

    probability: Float64[Tensor, "D 256"]

    def __post_init__(self) -> None:
        shape = tuple(self.probability.shape)
        need(shape[1:] == (LEVELS,), f"expected probabilities of shape (D, {LEVELS}), got {shape}")
        low, sums = self.probability.min(), self.probability.sum(1)
        got = f"got a smallest of {low:g} and sums from {sums.min():g} to {sums.max():g}"
        good = low > 0 and ((sums - 1).abs() < 1e-6).all()
        need(good, f"expected positive probabilities with sum 1 in each row, {got}")

    def log_prob(self, images: Images) -> Float64[Tensor, "B"]:
        """Log-probability of images, nats (`[eq-pixel-histogram]`)."""
        to_signed(images[:1])  # refuses what are no levels
        self._check_size(images)
        pixels = torch.arange(len(self.probability))
        return self.probability.log()[pixels, images.flatten(1).long()].sum(1)

    def denoiser(self, schedule: Schedule) -> Denoiser:
        """Return the exact E[x_0|x_t] for images 2 k / 255 - 1 (`[eq-pixel-denoiser]`).

        It works in the floating-point type of x_t, and needs 1 kB for a pixel in float32.
        """
        levels = 2 * torch.arange(LEVELS, dtype=torch.float64) / 255 - 1
        log_probability, signal = self.probability.log(), schedule.amplitudes[0]
        twice = 2 * schedule.noise_variance

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            self._check_size(x_t)
            pixels = x_t.flatten(1)[:, :, None]
            distance = pixels - at(signal, t, pixels) * like(levels, x_t)
            logits = like(log_probability, x_t) - distance**2 / at(twice, t, pixels)
            return (logits.softmax(2) @ like(levels, x_t)).reshape(x_t.shape)

        return denoise

    def _check_size(self, images: Tensor) -> None:
        expected, got = len(self.probability), images[0].numel()
        need(got == expected, f"expected images of {expected} pixels, got {got}")


def fit_independent_pixels(images: Images, weight: float = 100.0) -> IndependentPixels:
    """Count the levels of each pixel, and mix in the histogram h of all pixels together.

    p_i(k) = (n_i(k) + weight h(k)) / (N + weight) with counts n_i over N images: no level has the
    probability 0 (`[eq-pixel-histogram]`), and h counts as `weight` images, a positive number.
    """
    to_signed(images[:1])  # refuses what are no levels
    need(weight > 0, f"weight must be positive, got {weight!r}")
    pixels = images[0].numel()
    counts = torch.zeros(pixels * LEVELS, dtype=torch.float64)
    for part in images.split(1000):  # as int64 all training images would be 300 MB
        places = part.flatten(1).long() + LEVELS * torch.arange(pixels)
        counts += torch.bincount(places.flatten(), minlength=len(counts))
    counts = counts.reshape(pixels, LEVELS)
    # One image more of every level over all pixels: a level that no pixel has is possible too.
    together = (counts.sum(0) + 1) / (counts.sum() + LEVELS)
    return IndependentPixels((counts + weight * together) / (len(images) + weight))
