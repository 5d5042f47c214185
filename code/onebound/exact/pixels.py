"""Images whose pixels are independent: a model of real digits on which diffusion can be solved.

What chapters hold the bound on MNIST against. Every pixel has a histogram of grey levels of its
own, so the log-probability of an image is a sum, and E[x_0|x_t] a mean over 256 levels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from onebound.checks import check_images, check_times
from onebound.data.images import to_signed
from onebound.diffusion.denoisers import Denoiser
from onebound.diffusion.schedules import Schedule, at

LEVELS = 256


@dataclass(frozen=True, eq=False)
class IndependentPixels:
    """Pixel i takes the level k with probability p_i(k), whatever the others do.

    See `[eq-pixel-histogram]`.

    Attributes
    ----------
    probability
        p_i(k), shape (784, 256), float64; each row positive, with sum 1.

    Raises
    ------
    ValueError
        If `probability` is not such a table.
    """

    probability: Tensor

    def __post_init__(self) -> None:
        if self.probability.shape != (784, LEVELS):
            raise ValueError(
                f"expected probabilities of shape (784, {LEVELS}), "
                f"got {tuple(self.probability.shape)}"
            )
        sums = self.probability.sum(1)
        if not ((self.probability > 0).all() and ((sums - 1).abs() < 1e-6).all()):
            raise ValueError(
                "expected positive probabilities with sum 1 in each row, got a smallest of "
                f"{self.probability.min():g} and sums from {sums.min():g} to {sums.max():g}"
            )

    def log_prob(self, images: Tensor) -> Tensor:
        """Log-probability of images (`[eq-pixel-histogram]`).

        Parameters
        ----------
        images
            Levels 0 to 255, uint8 of shape (B, 1, 28, 28).

        Returns
        -------
        Tensor
            Nats, shape (B,), float64.

        Raises
        ------
        ValueError
            If `images` has another type or shape.
        """
        check_images(to_signed(images[:1]), -1, 1)
        log_probability = self.probability.log()
        return log_probability[torch.arange(784), images.flatten(1).long()].sum(1)

    def denoiser(self, schedule: Schedule) -> Denoiser:
        """Return the exact E[x_0|x_t] for images 2 k / 255 - 1 (`[eq-pixel-denoiser]`).

        It works in the floating-point type of x_t, and needs 800 kB for an image in float32.
        """
        levels = 2 * torch.arange(LEVELS, dtype=torch.float64) / 255 - 1
        log_probability = self.probability.log()

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            check_times(t, schedule.T, x_t)
            pixels = x_t.flatten(1)[:, :, None]
            distance = pixels - at(schedule.alpha_bar.sqrt(), t, pixels) * levels.to(x_t)
            logits = log_probability.to(x_t) - distance**2 / at(
                2 * (1 - schedule.alpha_bar), t, pixels
            )
            return (logits.softmax(2) @ levels.to(x_t)).reshape(x_t.shape)

        return denoise


def fit_independent_pixels(images: Tensor, weight: float = 100.0) -> IndependentPixels:
    """Count the levels of each pixel, and mix in the histogram of all pixels together.

    p_i(k) = (n_i(k) + weight h(k)) / (N + weight): n_i counts pixel i over the N images, and h is
    the histogram over all pixels, so that no level has the probability 0 (`[eq-pixel-histogram]`).

    Parameters
    ----------
    images
        Levels 0 to 255, uint8 of shape (N, 1, 28, 28).
    weight
        How many images h counts as; positive.

    Raises
    ------
    ValueError
        If `images` has another type or shape, or `weight` is not positive.
    """
    check_images(to_signed(images[:1]), -1, 1)
    if not weight > 0:
        raise ValueError(f"weight must be positive, got {weight!r}")
    counts = torch.zeros(784 * LEVELS, dtype=torch.float64)
    for part in images.split(5000):  # as int64 all training images would be 300 MB
        places = part.flatten(1).long() + LEVELS * torch.arange(784)
        counts += torch.bincount(places.flatten(), minlength=len(counts))
    counts = counts.reshape(784, LEVELS)
    # One image more of every level over all pixels: a level that no pixel has is possible too.
    together = (counts.sum(0) + 1) / (counts.sum() + LEVELS)
    return IndependentPixels((counts + weight * together) / (len(images) + weight))
