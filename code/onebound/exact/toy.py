"""Latent-variable models small enough to solve: what the large ones are checked against.

An observation x has shape (D,), latents z (S, d), one row for each draw or grid point, for which
log-densities are in nats. Work in float64: the errors that remain are then those of the method.
ValueError if a shape is another or latents are not finite.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.distributions import MultivariateNormal

from onebound.checks import check_latents, check_positive, need
from onebound.distributions import kl_normal_standard, log_prob_normal, noise_like

Observation = Float[Tensor, "D"]
Latents = Float[Tensor, "S d"]
Means = Float[Tensor, "S D"]
Rows = Float[Tensor, "S"]
InPlane = Float[Tensor, "*B 2"]
OnLine = Float[Tensor, "S 1"]


@dataclass(frozen=True, eq=False)
class LatentModel(ABC):
    """p(z) = N(0, I) and p(x|z) = N(f(z), sigma^2 I), sigma above 0 (`[eq-gaussian-decoder]`)."""

    sigma: float

    def __post_init__(self) -> None:
        need(0 < self.sigma < math.inf, f"sigma must be positive and finite, got {self.sigma!r}")

    @property
    @abstractmethod
    def sizes(self) -> tuple[int, int]:
        """Dimensions of x and of z: D, d."""

    @abstractmethod
    def decode(self, z: Latents) -> Means:
        """Return f(z), the mean of p(x|z)."""

    def log_prior(self, z: Latents) -> Rows:
        """Return log p(z)."""
        check_latents(z, self.sizes[1])
        zero = z.new_zeros(())
        return log_prob_normal(z, zero, zero)

    def log_likelihood(self, x: Observation, z: Latents) -> Rows:
        """Return log p(x|z) of one x under each z."""
        _check_observation(x, self.sizes[0])
        check_latents(z, self.sizes[1])
        return log_prob_normal(x, self.decode(z), z.new_tensor(2 * math.log(self.sigma)))

    def log_joint(self, x: Observation, z: Latents) -> Rows:
        """Return log p(x, z) = log p(x|z) + log p(z)."""
        return self.log_likelihood(x, z) + self.log_prior(z)

    def sample(self, n: int, generator: Generator | None = None) -> tuple[Latents, Means]:
        """Draw n pairs z ~ p(z), x ~ p(x|z)."""
        check_positive(n=n)
        z = torch.randn(n, self.sizes[1], dtype=torch.float64, generator=generator)
        mean = self.decode(z)
        return z, mean + self.sigma * noise_like(mean, generator)


class Parabola(LatentModel):
    """One latent number bends into the plane: f(z) = (z, z^2) (`[eq-parabola]`)."""

    sizes = 2, 1  # of x and of z

    def decode(self, z: Latents) -> Float[Tensor, "S 2"]:
        """Return (z, z^2)."""
        return torch.cat([z, z**2], dim=1)

    def expected_log_likelihood(self, x: InPlane, mu: OnLine, logvar: OnLine) -> Rows:
        """E_q[log p(x|z)] under each q = N(mu, exp(logvar)), exactly (`[eq-parabola-elbo]`).

        For one observation, or for one to each q.
        """
        for parameter in (mu, logvar):
            check_latents(parameter, 1)
        if tuple(x.shape) != (len(mu), 2):
            _check_observation(x, 2)
        mean, variance = mu[:, 0], torch.exp(logvar[:, 0])
        first = (x[..., 0] - mean) ** 2 + variance
        second = (x[..., 1] - mean**2 - variance) ** 2 + 4 * mean**2 * variance + 2 * variance**2
        return -(first + second) / (2 * self.sigma**2) - math.log(2 * math.pi * self.sigma**2)

    def elbo(self, x: InPlane, mu: OnLine, logvar: OnLine) -> Rows:
        """Evidence lower bound of x under each q, exactly (`[eq-elbo-two-terms]`)."""
        return self.expected_log_likelihood(x, mu, logvar) - kl_normal_standard(mu, logvar)


@dataclass(frozen=True, eq=False)
class LinearGaussian(LatentModel):
    """f(z) = W z + b: the one decoder with a Gaussian marginal and posterior for every W.

    Tipping and Bishop (1999), who call it probabilistic principal component analysis.
    """

    weight: Float[Tensor, "D d"]
    bias: Float[Tensor, "D"]

    def __post_init__(self) -> None:
        super().__post_init__()
        weight, bias = tuple(self.weight.shape), tuple(self.bias.shape)
        got = f"expected weight (D, d) and bias (D,), got {weight} and {bias}"
        need(len(weight) == 2 and bias == weight[:1], got)

    @property
    def sizes(self) -> tuple[int, int]:
        """D, d: the shape of the weight."""
        return self.weight.shape[0], self.weight.shape[1]

    def decode(self, z: Latents) -> Means:
        """Return W z + b for each row of z."""
        return z @ self.weight.T + self.bias

    def marginal(self) -> MultivariateNormal:
        """Return p(x) = N(b, W W^T + sigma^2 I) (`[eq-linear-gaussian]`)."""
        noise = self.sigma**2 * torch.eye(self.sizes[0], dtype=self.weight.dtype)
        return MultivariateNormal(self.bias, self.weight @ self.weight.T + noise)

    def posterior(self, x: Observation) -> MultivariateNormal:
        """Return p(z|x), Gaussian with precision I + W^T W / sigma^2 (`[eq-linear-gaussian]`)."""
        _check_observation(x, self.sizes[0])
        scaled = self.weight.T / self.sigma**2
        precision = torch.eye(self.sizes[1], dtype=self.weight.dtype) + scaled @ self.weight
        mean = torch.linalg.solve(precision, scaled @ (x - self.bias))
        return MultivariateNormal(mean, precision_matrix=precision)


def grid(points: int, latent_size: int = 1, reach: float = 8.0) -> tuple[Latents, float]:
    """Points of a square lattice that covers the prior, and the log-volume of its cell.

    There are `points`, at least 2, along each of `latent_size` axes from -reach to reach.
    """
    check_positive(2, points=points)
    check_positive(latent_size=latent_size)
    axis = torch.linspace(-reach, reach, points, dtype=torch.float64)
    lattice = torch.cartesian_prod(*[axis] * latent_size).reshape(-1, latent_size)
    return lattice, latent_size * math.log(2 * reach / (points - 1))


def log_integral(
    log_f: Callable[[Tensor], Tensor], points: int, latent_size: int = 1, reach: float = 8.0
) -> Float[Tensor, ""]:
    """Log of the integral of exp(log_f(z)) over z by the trapezoidal rule (`[eq-quadrature]`).

    On the lattice of `grid`. The end points count in full: the integrand must have died away there.
    """
    z, log_cell = grid(points, latent_size, reach)
    return torch.logsumexp(log_f(z), 0) + log_cell


def _check_observation(x: Tensor, size: int) -> None:
    need(x.shape == (size,), f"expected one observation of shape ({size},), got {tuple(x.shape)}")
