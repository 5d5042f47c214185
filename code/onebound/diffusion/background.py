"""A network that puts out what a pixel's own value does not tell.

Seen alone, a noisy pixel is a draw from a mixture: background, exactly -1, with the probability
that its place has, or ink from a normal distribution. Mean and standard deviation of x_0 follow in
closed form, and the network says by how many standard deviations the mean is wrong.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from onebound.checks import check_same_shape
from onebound.data.images import to_signed
from onebound.diffusion.process import Data, Steps
from onebound.diffusion.schedules import Schedule, at, like


@dataclass(frozen=True, eq=False)
class Background:
    """Each pixel is -1 with a probability of its own, or else from N(mean, variance)."""

    share: Float[Tensor, "C H W"]  # probability of the background, in (0, 1)
    mean: float
    variance: float

    def moments(self, schedule: Schedule, x_t: Data, t: Steps) -> tuple[Data, Data]:
        """Mean and standard deviation of each pixel of x_0 given the same pixel of x_t.

        See `[eq-background-share]` and `[eq-background-moments]`.
        """
        signal = at(schedule.amplitudes[0], t, x_t)
        noise = at(schedule.noise_variance, t, x_t)
        spread = signal**2 * self.variance + noise  # of a pixel of ink in x_t
        from_ink = x_t - signal * self.mean
        # log N(x_t; -signal, noise) - log N(x_t; signal mean, spread), without what cancels
        ratio = (from_ink**2 / spread + torch.log(spread)) / 2
        ratio = ratio - ((x_t + signal) ** 2 / noise + torch.log(noise)) / 2
        background = torch.sigmoid(torch.logit(like(self.share, x_t)) + ratio)
        ink = self.mean + signal * self.variance / spread * from_ink
        mean = (1 - background) * ink - background
        variance = background * (1 - background) * (ink + 1) ** 2
        variance = variance + (1 - background) * self.variance * noise / spread
        # Where rounding has made it 0, the root would have no derivative.
        return mean, variance.clamp(min=torch.finfo(variance.dtype).tiny).sqrt()

    def x_0_from_residual(self, schedule: Schedule, x_t: Data, residual: Data, t: Steps) -> Data:
        """Return mean + standard deviation * residual: how `denoiser` reads the network."""
        check_same_shape(x_t=x_t, residual=residual)
        mean, deviation = self.moments(schedule, x_t, t)
        return mean + deviation * residual


def fit_background(images: UInt8[Tensor, "N C H W"]) -> Background:
    """Count how often each pixel is 0, and fit a normal distribution to what is not.

    One image of each kind is added to the count, so that no pixel is certain.
    """
    to_signed(images[:1])  # refuses what are no levels
    zeros = sum((part == 0).sum(0) for part in images.split(1000))  # all at once take 300 MB
    share = (zeros + 1) / (len(images) + 2)
    ink = torch.arange(1, 256) / 127.5 - 1
    counts = torch.bincount(images.flatten(), minlength=256)[1:].double()
    mean = (counts @ ink.double() / counts.sum()).item()
    variance = (counts @ (ink.double() - mean) ** 2 / counts.sum()).item()
    return Background(share, mean, variance)
