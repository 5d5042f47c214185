"""A network that puts out what a pixel's own value does not tell.

Most pixels of a digit are background, at exactly -1. Seen alone, a noisy pixel is a draw from a
mixture: background with the probability that its place has, or ink from a normal distribution.
Mean and standard deviation of x_0 follow in closed form, and the network only has to say by how
many standard deviations the mean is wrong.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from onebound.checks import check_images, check_same_shape
from onebound.data.images import to_signed
from onebound.diffusion.schedules import Schedule, at


@dataclass(frozen=True, eq=False)
class Background:
    """Each pixel is -1 with a probability of its own, or else from N(mean, variance).

    Attributes
    ----------
    share
        Probability of the background, in (0, 1), shape (1, 28, 28).
    mean, variance
        Of all other pixels, in [-1, 1].
    """

    share: Tensor
    mean: float
    variance: float

    def moments(self, schedule: Schedule, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each pixel of x_0 given the same pixel of x_t.

        See `[eq-background-share]` and `[eq-background-moments]`.

        Parameters
        ----------
        schedule
            T steps.
        x_t
            Shape (B, 1, 28, 28).
        t
            Steps, shape (B,).

        Returns
        -------
        tuple of Tensor
            Two of the shape of `x_t`.
        """
        signal = at(schedule.alpha_bar.sqrt(), t, x_t)
        noise = at(1 - schedule.alpha_bar, t, x_t)
        spread = signal**2 * self.variance + noise  # of a pixel of ink in x_t
        from_ink = x_t - signal * self.mean
        share = self.share.to(x_t)
        # log N(x_t; -signal, noise) - log N(x_t; signal mean, spread), without what cancels
        ratio = (from_ink**2 / spread + torch.log(spread)) / 2
        ratio = ratio - ((x_t + signal) ** 2 / noise + torch.log(noise)) / 2
        background = torch.sigmoid(torch.logit(share) + ratio)
        ink = self.mean + signal * self.variance / spread * from_ink
        mean = (1 - background) * ink - background
        variance = background * (1 - background) * (ink + 1) ** 2
        variance = variance + (1 - background) * self.variance * noise / spread
        return mean, variance.sqrt()

    def x_0_from_residual(
        self, schedule: Schedule, x_t: Tensor, residual: Tensor, t: Tensor
    ) -> Tensor:
        """Return mean + standard deviation * residual; for `onebound.diffusion.denoisers.denoiser`.

        Raises
        ------
        ValueError
            If the shapes of `x_t` and `residual` differ.
        """
        check_same_shape(x_t=x_t, residual=residual)
        mean, deviation = self.moments(schedule, x_t, t)
        return mean + deviation * residual


def fit_background(images: Tensor) -> Background:
    """Count how often each pixel is 0, and fit a normal distribution to what is not.

    One image of each kind is added to the count, so that no pixel is certain.

    Parameters
    ----------
    images
        Levels, uint8 of shape (N, 1, 28, 28).

    Raises
    ------
    ValueError
        If `images` has another type or shape.
    """
    check_images(to_signed(images[:1]), -1, 1)
    share = ((images == 0).sum(0) + 1) / (len(images) + 2)
    ink = torch.arange(1, 256) / 127.5 - 1
    counts = torch.bincount(images.flatten(), minlength=256)[1:].double()
    mean = (counts @ ink.double() / counts.sum()).item()
    variance = (counts @ (ink.double() - mean) ** 2 / counts.sum()).item()
    return Background(share, mean, variance)
