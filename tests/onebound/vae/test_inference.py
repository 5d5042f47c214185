"""A decoder whose posterior is correlated, and known: both gaps of the bound in closed form."""

import pytest
import torch
from torch import nn

from onebound.distributions import log_prob_normal
from onebound.evaluation.estimates import estimate
from onebound.vae.inference import fit_posterior
from onebound.vae.model import VAE

NOISE = 0.05


class LinearDecoder(nn.Module):
    """x = 1/2 + W z + noise, with columns of W that are not orthogonal."""

    latent_size = 2

    def __init__(self):
        super().__init__()
        g = torch.Generator().manual_seed(2)
        basis = torch.linalg.qr(torch.randn(784, 2, dtype=torch.float64, generator=g)).Q
        self.W = basis @ torch.tensor([[0.3, 0.2], [0.0, 0.3]], dtype=torch.float64)

    def forward(self, z):
        return (0.5 + z @ self.W.T).reshape(-1, 1, 28, 28)


class PoorEncoder(nn.Module):
    """Off by several deviations of the posterior, and too wide."""

    def forward(self, x):
        mean, precision = posterior(DECODER.W, x)
        return mean + 0.4, 0.8 - precision.diagonal().log().expand_as(mean)


def posterior(W, x):
    precision = torch.eye(2, dtype=torch.float64) + W.T @ W / NOISE**2
    return torch.linalg.solve(precision, W.T @ (x.flatten(1) - 0.5).T / NOISE**2).T, precision


DECODER = LinearDecoder()


@pytest.fixture
def linear():
    """The model, images, and mean, precision and log p(x) of the posterior of each."""
    decoder = LinearDecoder()
    W = decoder.W
    g = torch.Generator().manual_seed(3)
    z = torch.randn(4, 2, dtype=torch.float64, generator=g)
    x = decoder(z)
    x = x + NOISE * torch.randn(x.shape, dtype=torch.float64, generator=g)
    x = x.clamp(0, 1)
    mean, precision = posterior(W, x)
    cov = W @ W.T + NOISE**2 * torch.eye(784, dtype=torch.float64)
    marginal = torch.distributions.MultivariateNormal(torch.full((784,), 0.5).double(), cov)

    def log_prob(x, mean):
        return log_prob_normal(x, mean, torch.full_like(x, NOISE).log() * 2)

    vae = VAE(PoorEncoder(), decoder, log_prob)
    return vae, x, mean, precision, marginal.log_prob(x.flatten(1))


@pytest.mark.equation("eq-inference-gaps")
def test_the_search_ends_at_the_best_gaussian_with_independent_dimensions(linear):
    vae, x, mean, precision, log_p = linear
    noise = torch.Generator().manual_seed(0)
    mu, logvar = fit_posterior(vae, x, steps=300, generator=noise)
    # Of all such Gaussians the one with the mean of the posterior and the inverses of the diagonal
    # of its precision is nearest to it, at half the log of their product over the determinant.
    torch.testing.assert_close(mu, mean, atol=0.05, rtol=0)
    best = -precision.diagonal().log().expand_as(logvar)
    torch.testing.assert_close(logvar, best, atol=0.2, rtol=0)
    gap = 0.5 * (precision.diagonal().log().sum() - torch.logdet(precision))
    bound = vae.log_weights(x, 2000, noise, (mean, best))
    for image in range(len(x)):
        found = estimate(bound[image])
        assert abs(found.mean - (log_p[image] - gap)) < 4 * found.stderr
        assert found.stderr < 0.1 * gap
    assert gap > 0.1


@pytest.mark.equation("eq-vae-weights")
def test_weights_of_any_gaussian_average_to_p(linear):
    vae, x, mean, precision, log_p = linear
    wide = (2 / precision.diagonal()).log().expand_as(mean)
    log_w = vae.log_weights(x, 5000, torch.Generator().manual_seed(1), (mean, wide))
    for image in range(len(x)):
        weight = estimate(torch.exp(log_w[image] - log_p[image]))
        assert abs(weight.mean - 1) < 4 * weight.stderr
        assert weight.stderr < 0.05


def test_the_encoders_gaussian_gives_the_weights_of_the_model(linear):
    vae, x, *_ = linear
    ours = vae.log_weights(x, 5, torch.Generator().manual_seed(4), vae.encode(x))
    torch.testing.assert_close(ours, vae.log_weights(x, 5, torch.Generator().manual_seed(4)))


def test_the_search_leaves_the_model_as_it_is(linear):
    vae, x, *_ = linear
    vae.decoder.W.requires_grad_()
    mu, logvar = fit_posterior(vae, x, steps=2)
    assert vae.decoder.W.grad is None
    assert not mu.requires_grad
    assert not logvar.requires_grad


def test_no_draws_are_refused(linear):
    vae, x, mean, *_ = linear
    with pytest.raises(ValueError, match="k"):
        vae.log_weights(x, 0, q=(mean, torch.zeros_like(mean)))
