"""Gaussian data, on which diffusion can be solved: the exact denoiser and the exact bound.

Mean and covariance are float64, and the denoiser answers in the type of what it is asked.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.distributions import MultivariateNormal

from onebound.diffusion.bound import Bound, kl_coefficients, kl_prior
from onebound.diffusion.denoisers import Denoiser
from onebound.diffusion.schedules import Schedule, Table, at, like

Points = Float64[Tensor, "B D"]


@dataclass(frozen=True, eq=False)
class GaussianData:
    """Data x_0 from N(mean, covariance): every quantity of diffusion is known.

    Along each principal axis of the covariance, with variance lambda, x_t is normal, and E[x_0|x_t]
    is linear in it; so is E[x_s|x_t], and x_s has the variance `[eq-gaussian-reverse]` around it.
    """

    mean: Float64[Tensor, "D"]
    covariance: Float64[Tensor, "D D"]

    def __post_init__(self) -> None:
        vector, matrix = tuple(self.mean.shape), tuple(self.covariance.shape)
        if len(vector) != 1 or matrix != 2 * vector:
            raise ValueError(f"expected mean (D,) and covariance (D, D), got {vector} and {matrix}")

    @cached_property
    def axes(self) -> tuple[Tensor, Tensor]:
        """Variances lambda of the principal axes, shape (D,), and the axes as columns, (D, D)."""
        return torch.linalg.eigh(self.covariance)

    def marginal(self, alpha_bar: Float64[Tensor, ""]) -> MultivariateNormal:
        """Return q(x_t) for the number alpha_bar; for alpha_bar = 1 that is p(x_0)."""
        noise = (1 - alpha_bar) * torch.eye(len(self.mean), dtype=self.mean.dtype)
        return MultivariateNormal(alpha_bar.sqrt() * self.mean, alpha_bar * self.covariance + noise)

    def denoiser(self, schedule: Schedule) -> Denoiser:
        """Return the exact E[x_0|x_t] of points (B, D) (`[eq-gaussian-denoiser]`)."""
        gain = self._gain(schedule)

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            mean, columns = like(self.mean, x_t), like(self.axes[1], x_t)
            moved = (x_t - at(schedule.amplitudes[0], t, x_t) * mean) @ columns
            return mean + (like(gain, x_t)[t] * moved) @ columns.T

        return denoise

    def squared_error(self, schedule: Schedule, x_0: Points) -> Float64[Tensor, "B steps"]:
        """E[||x_0 - E[x_0|x_t]||^2] over the noise, at each step (`[eq-gaussian-error]`)."""
        gain = self._gain(schedule)
        alpha_bar = schedule.alpha_bar[:, None]
        offset = ((x_0 - self.mean) @ self.axes[1]) ** 2
        # Along an axis the error is the offset, less gain times what x_t shows of it and of eps.
        bias = (1 - gain * alpha_bar.sqrt()) ** 2
        return offset @ bias.T + (gain**2 * (1 - alpha_bar)).sum(1)

    def bound(self, schedule: Schedule, variance: Table, x_0: Points) -> Bound:
        """Mean over the noise of `onebound.diffusion.bound` with the exact denoiser, nats.

        The decoder at t = 1 is a normal density. The mean over the data, below that of log p by
        `[eq-gaussian-gap]`, is that of mean + r and mean - r, r one standard deviation along each
        axis, as all terms are quadratic.
        """
        D = len(self.mean)
        error = self.squared_error(schedule, x_0)
        weight, excess = kl_coefficients(schedule, variance)
        kl_steps = weight * error + D * excess
        kl_steps[:, :2] = 0
        decoder = weight[1] * error[:, 1] + 0.5 * D * torch.log(2 * math.pi * variance[1])
        return Bound(-decoder, kl_steps, kl_prior(schedule, x_0))

    def _gain(self, schedule: Schedule) -> Float64[Tensor, "steps D"]:
        """How much x_t moves E[x_0|x_t] along each axis."""
        alpha_bar = schedule.alpha_bar[:, None]
        variances = self.axes[0]
        return alpha_bar.sqrt() * variances / (alpha_bar * variances + 1 - alpha_bar)
