"""Gaussian data, on which diffusion can be solved: the exact denoiser and the exact bound.

What chapters and tests hold the sampled quantities against. Work in float64.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from onebound.checks import check_times
from onebound.diffusion.bound import Bound, kl_coefficients, kl_prior
from onebound.diffusion.denoisers import Denoiser
from onebound.diffusion.schedules import Schedule, at


@dataclass(frozen=True, eq=False)
class GaussianData:
    """Data x_0 from N(mean, covariance): every quantity of diffusion is known.

    Along each principal axis of the covariance, with variance lambda, x_t is normal, and E[x_0|x_t]
    is linear in it; so is E[x_s|x_t], and x_s has the variance `[eq-gaussian-reverse]` around it.

    Attributes
    ----------
    mean, covariance
        Shapes (D,) and (D, D), float64.
    """

    mean: Tensor
    covariance: Tensor

    def __post_init__(self) -> None:
        if self.mean.ndim != 1 or self.covariance.shape != (len(self.mean), len(self.mean)):
            raise ValueError(
                "expected mean (D,) and covariance (D, D), got "
                f"{tuple(self.mean.shape)} and {tuple(self.covariance.shape)}"
            )

    @cached_property
    def axes(self) -> tuple[Tensor, Tensor]:
        """Variances lambda of the principal axes, shape (D,), and the axes as columns, (D, D)."""
        variances, columns = torch.linalg.eigh(self.covariance)
        return variances, columns

    def marginal(self, alpha_bar: Tensor) -> MultivariateNormal:
        """Return q(x_t) for the number alpha_bar; for alpha_bar = 1 that is p(x_0)."""
        noise = (1 - alpha_bar) * torch.eye(len(self.mean), dtype=self.mean.dtype)
        return MultivariateNormal(alpha_bar.sqrt() * self.mean, alpha_bar * self.covariance + noise)

    def denoiser(self, schedule: Schedule) -> Denoiser:
        """Return the exact E[x_0|x_t], a function of x_t, shape (B, D), and t, shape (B,).

        See `[eq-gaussian-denoiser]`.
        """

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            check_times(t, schedule.T, x_t)
            columns = self.axes[1]
            moved = (x_t - at(schedule.alpha_bar.sqrt(), t, x_t) * self.mean) @ columns
            return self.mean + (self._gain(schedule)[t] * moved) @ columns.T

        return denoise

    def squared_error(self, schedule: Schedule, x_0: Tensor) -> Tensor:
        """E[||x_0 - E[x_0|x_t]||^2] over the noise, for each x_0, shape (B, D), and each step.

        See `[eq-gaussian-error]`.

        Returns
        -------
        Tensor
            Entry t of a row for step t, shape (B, T + 1).
        """
        gain = self._gain(schedule)
        alpha_bar = schedule.alpha_bar[:, None]
        offset = ((x_0 - self.mean) @ self.axes[1]) ** 2
        # Along an axis the error is the offset, less gain times what x_t shows of it and of eps.
        bias = (1 - gain * alpha_bar.sqrt()) ** 2
        return offset @ bias.T + (gain**2 * (1 - alpha_bar)).sum(1)

    def bound(self, schedule: Schedule, variance: Tensor, x_0: Tensor) -> Bound:
        """Mean over the noise of `onebound.diffusion.bound` with the exact denoiser.

        The decoder at t = 1 is a normal density. Along each axis every term is quadratic in
        x_0 - mean, so the mean over the data is that of the two points mean + r and mean - r, where
        r is one standard deviation along each axis. The mean is below that of log p by
        `[eq-gaussian-gap]`.

        Parameters
        ----------
        schedule, variance
            As in `onebound.diffusion.bound`.
        x_0
            Shape (B, D), float64.

        Returns
        -------
        Bound
            Nats, without any error of sampling.
        """
        D = len(self.mean)
        error = self.squared_error(schedule, x_0)
        weight, excess = kl_coefficients(schedule, variance)
        kl_steps = weight * error + D * excess
        kl_steps[:, :2] = 0
        decoder = weight[1] * error[:, 1] + 0.5 * D * torch.log(2 * math.pi * variance[1])
        return Bound(-decoder, kl_steps, kl_prior(schedule, x_0))

    def _gain(self, schedule: Schedule) -> Tensor:
        """How much x_t moves E[x_0|x_t] along each axis, shape (T + 1, D)."""
        alpha_bar = schedule.alpha_bar[:, None]
        variances = self.axes[0]
        return alpha_bar.sqrt() * variances / (alpha_bar * variances + 1 - alpha_bar)
