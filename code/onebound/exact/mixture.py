"""A mixture of normals, under any amount of noise: every quantity of diffusion is known.

The running example of Part IV, and what its chapters and tests hold the approximations against.
Points are rows of shape (B, D). Answers have the type of the points, log-densities are in nats.
`a` and `sigma` are the amplitudes of signal and noise in a x_0 + sigma eps, one number for all
points or one for each.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Float64
from torch import Generator, Tensor

from onebound.checks import check_positive, check_times
from onebound.diffusion.denoisers import Denoiser
from onebound.diffusion.schedules import Schedule, at, like
from onebound.distributions import log_prob_normal

Points = Float[Tensor, "B D"]
Amplitude = float | Float[Tensor, "B"]


@dataclass(frozen=True, eq=False)
class Mixture:
    """p(x_0) = sum of weights_k N(means_k, covariances_k) (`[eq-clusters]`).

    ValueError if the shapes do not fit, a number is not finite, a weight is negative, they do not
    add up to 1, or a covariance is not symmetric and positive definite.
    """

    weights: Float64[Tensor, "K"]
    means: Float64[Tensor, "K D"]
    covariances: Float64[Tensor, "K D D"]

    def __post_init__(self) -> None:
        shapes = tuple(self.weights.shape), tuple(self.means.shape), tuple(self.covariances.shape)
        if self.means.ndim != 2 or shapes != (shapes[1][:1], shapes[1], (*shapes[1], shapes[1][1])):
            raise ValueError(
                "expected weights (K,), means (K, D) and covariances (K, D, D), got "
                f"{shapes[0]}, {shapes[1]} and {shapes[2]}"
            )
        if not (self.weights >= 0).all() or abs(float(self.weights.sum()) - 1) > 1e-9:
            raise ValueError(
                f"weights must not be negative and add up to 1, got {self.weights.tolist()}"
            )
        if not (torch.isfinite(self.means).all() and torch.isfinite(self.covariances).all()):
            raise ValueError("means and covariances must be finite")
        symmetric = torch.allclose(self.covariances, self.covariances.mT)
        if not symmetric or not (self.axes[0] > 0).all():
            raise ValueError("covariances must be symmetric and positive definite")

    @cached_property
    def axes(self) -> tuple[Float64[Tensor, "K D"], Float64[Tensor, "K D D"]]:
        """Variances along the principal axes of each cluster, and the axes as columns."""
        variances, columns = torch.linalg.eigh(self.covariances)
        return variances, columns

    @cached_property
    def moments(self) -> tuple[Float64[Tensor, "D"], Float64[Tensor, "D D"]]:
        """Mean and covariance of the whole mixture."""
        mean = self.weights @ self.means
        centred = self.means - mean
        outer = centred[:, :, None] * centred[:, None, :]
        return mean, ((self.covariances + outer) * self.weights[:, None, None]).sum(0)

    def sample(self, n: int, generator: Generator | None = None) -> Float64[Tensor, "n D"]:
        """Draw n points."""
        check_positive(n=n)
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        variances, columns = self.axes
        noise = torch.randn(n, self.means.shape[1], dtype=torch.float64, generator=generator)
        stretched = columns[k] @ (variances[k].sqrt() * noise)[:, :, None]
        return self.means[k] + stretched[:, :, 0]

    def noised(self, a: float, sigma: float) -> "Mixture":
        """Return the mixture of a x_0 + sigma eps (`[eq-clusters-noised]`)."""
        identity = torch.eye(self.means.shape[1], dtype=torch.float64)
        covariances = a**2 * self.covariances + sigma**2 * identity
        return Mixture(self.weights, a * self.means, covariances)

    def log_prob(self, x: Points, a: Amplitude = 1.0, sigma: Amplitude = 0.0) -> Float[Tensor, "B"]:
        """Log-density of a x_0 + sigma eps at x (`[eq-clusters-noised]`)."""
        return self._under_noise(x, a, sigma)[0].logsumexp(1)

    def responsibilities(
        self, x: Points, a: Amplitude = 1.0, sigma: Amplitude = 0.0
    ) -> Float[Tensor, "B K"]:
        """Probability that x = a x_0 + sigma eps came from each cluster."""
        return self._under_noise(x, a, sigma)[0].softmax(1)

    def score(self, x: Points, a: Amplitude = 1.0, sigma: Amplitude = 0.0) -> Points:
        """Gradient of `log_prob` in x (`[eq-clusters-score]`)."""
        log_joint, moved, variance = self._under_noise(x, a, sigma)
        return -self._blend(log_joint, moved / variance, x)

    def x_0_mean(self, x: Points, a: Amplitude, sigma: Amplitude) -> Points:
        """E[x_0 | a x_0 + sigma eps = x], the exact denoiser (`[eq-clusters-denoiser]`)."""
        log_joint, moved, variance = self._under_noise(x, a, sigma)
        gain = _column(a) * like(self.axes[0], x) / variance
        return log_joint.softmax(1) @ like(self.means, x) + self._blend(log_joint, gain * moved, x)

    def denoiser(self, schedule: Schedule) -> Denoiser:
        """Return the exact E[x_0|x_t] of points, as a denoiser of the schedule's steps."""

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            check_times(t, schedule.T, x_t)
            signal, noise = schedule.amplitudes
            return self.x_0_mean(x_t, at(signal, t, x_t)[:, 0], at(noise, t, x_t)[:, 0])

        return denoise

    def posterior(
        self, y: Float64[Tensor, "M"], operator: Float64[Tensor, "M D"], sigma: float
    ) -> "Mixture":
        """Return p(x_0 | operator x_0 + sigma eps = y) for one y (`[eq-clusters-posterior]`).

        ValueError if the shapes do not fit or sigma is not positive.
        """
        if operator.ndim != 2 or operator.shape != (*y.shape, self.means.shape[1]):
            raise ValueError(
                f"expected y (M,) and an operator (M, {self.means.shape[1]}), got "
                f"{tuple(y.shape)} and {tuple(operator.shape)}"
            )
        if not sigma > 0:
            raise ValueError(f"sigma must be positive, got {sigma!r}")
        identity = torch.eye(len(y), dtype=torch.float64)
        seen = operator @ self.covariances @ operator.T + sigma**2 * identity
        gain = torch.linalg.solve(seen, operator @ self.covariances).mT
        surprise = y - self.means @ operator.T
        evidence = Mixture(self.weights, self.means @ operator.T, seen)
        means = self.means + (gain @ surprise[:, :, None])[:, :, 0]
        covariances = self.covariances - gain @ operator @ self.covariances
        covariances = (covariances + covariances.mT) / 2  # symmetric but for rounding
        return Mixture(evidence.responsibilities(y[None])[0], means, covariances)

    def x_0_posterior(self, x: Float64[Tensor, "D"], a: float, sigma: float) -> "Mixture":
        """Return p(x_0 | a x_0 + sigma eps = x) for one x, of mean `x_0_mean`."""
        return self.posterior(x, a * torch.eye(len(x), dtype=torch.float64), sigma)

    def _under_noise(
        self, x: Tensor, a: Amplitude, sigma: Amplitude
    ) -> tuple[Float[Tensor, "B K"], Float[Tensor, "B K D"], Float[Tensor, "B K D"]]:
        """log(weight_k p_k(x)), and along the axes of each cluster x - a mean and the variance."""
        if x.ndim != 2 or x.shape[1] != self.means.shape[1]:
            raise ValueError(
                f"expected points of shape (B, {self.means.shape[1]}), got {tuple(x.shape)}"
            )
        a, sigma = _column(a), _column(sigma)
        variance = a**2 * like(self.axes[0], x) + sigma**2
        moved = x[:, None, :] - a * like(self.means, x)
        moved = (moved[:, :, None, :] @ like(self.axes[1], x))[:, :, 0]
        variance = variance.expand_as(moved)
        flat = moved.flatten(0, 1), torch.zeros_like(moved[0, 0]), variance.flatten(0, 1).log()
        log_density = log_prob_normal(*flat).reshape(moved.shape[:2])
        return like(self.weights, x).log() + log_density, moved, variance

    def _blend(self, log_joint: Tensor, along_axes: Tensor, x: Tensor) -> Tensor:
        """Turn a vector of each cluster out of its axes; mean of them under what x came from."""
        turned = (like(self.axes[1], x) @ along_axes[..., None])[..., 0]
        return (log_joint.softmax(1)[:, :, None] * turned).sum(1)


def _column(amplitude: Amplitude) -> float | Tensor:
    return amplitude[:, None, None] if isinstance(amplitude, Tensor) else amplitude


def mixture_1d() -> Mixture:
    """Three unequal clusters on a line, of mean 0 and a variance near 1."""
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    means = torch.tensor([[-0.9], [0.5], [1.5]], dtype=torch.float64)
    deviations = torch.tensor([0.2, 0.3, 0.1], dtype=torch.float64)
    return Mixture(weights, means, deviations[:, None, None] ** 2)


def mixture_2d() -> Mixture:
    """Five unequal clusters in the plane, round and long, of mean 0 and variances near 1."""
    weights = torch.tensor([0.3, 0.25, 0.2, 0.15, 0.1], dtype=torch.float64)
    means = torch.tensor(
        [[-1.1, -0.6], [1.0, 0.9], [0.8, -1.2], [-0.4, 1.4], [-0.2, -0.15]], dtype=torch.float64
    )
    deviations = torch.tensor(
        [[0.40, 0.12], [0.20, 0.20], [0.35, 0.10], [0.30, 0.12], [0.10, 0.10]], dtype=torch.float64
    )
    angles = torch.tensor([0.9, 0.0, -0.5, 0.2, 0.0], dtype=torch.float64)
    c, s = torch.cos(angles), torch.sin(angles)
    turn = torch.stack([torch.stack([c, -s], 1), torch.stack([s, c], 1)], 1)
    return Mixture(weights, means, turn @ torch.diag_embed(deviations**2) @ turn.mT)
