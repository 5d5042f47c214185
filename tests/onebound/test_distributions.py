import math

import pytest
import torch
from torch import distributions as td

from onebound.distributions import (
    kl_normal,
    kl_normal_standard,
    log_prob_normal,
    noise_like,
    sample_normal,
)


@pytest.fixture
def gaussian():
    """Mean and log-variance of 4 Gaussians in 5 dimensions, far from the standard one."""
    g = torch.Generator().manual_seed(1)
    mu = torch.randn(4, 5, dtype=torch.float64, generator=g)
    logvar = 1.5 * torch.randn(4, 5, dtype=torch.float64, generator=g)
    return mu, logvar


@pytest.mark.equation("eq-normal-density")
def test_log_density_agrees_with_torch(gaussian):
    mu, logvar = gaussian
    x = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = td.Normal(mu, torch.exp(logvar / 2)).log_prob(x).sum(1)
    torch.testing.assert_close(log_prob_normal(x, mu, logvar), expected)


def test_log_density_of_the_standard_normal_at_zero_counts_the_constant_once_a_dimension():
    zero = torch.zeros(1, 7, dtype=torch.float64)
    assert log_prob_normal(zero, zero, zero).item() == pytest.approx(-3.5 * math.log(2 * math.pi))


def test_a_draw_is_the_mean_and_sigma_times_the_noise(gaussian):
    mu, logvar = gaussian
    z = sample_normal(mu, logvar, torch.Generator().manual_seed(3))
    eps = noise_like(mu, torch.Generator().manual_seed(3))
    torch.testing.assert_close(z, mu + logvar.exp().sqrt() * eps)


@pytest.mark.equation("eq-kl-standard")
def test_kl_agrees_with_torch(gaussian):
    mu, logvar = gaussian
    q = td.Normal(mu, torch.exp(logvar / 2))
    expected = td.kl_divergence(q, td.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl_normal_standard(mu, logvar), expected)


@pytest.mark.equation("eq-kl-standard")
def test_kl_is_the_mean_log_ratio_under_q(gaussian):
    mu, logvar = (p[:1].expand(100_000, -1) for p in gaussian)
    z = sample_normal(mu, logvar, torch.Generator().manual_seed(3))
    ratio = log_prob_normal(z, mu, logvar) - log_prob_normal(z, torch.zeros(5), torch.zeros(5))
    stderr = ratio.std().item() / len(ratio) ** 0.5
    assert stderr < 0.03
    assert abs(ratio.mean() - kl_normal_standard(mu[:1], logvar[:1])).item() < 4 * stderr


def test_kl_is_zero_at_the_prior_and_positive_next_to_it():
    zero = torch.zeros(1, 3)
    assert kl_normal_standard(zero, zero).item() == 0
    assert kl_normal_standard(zero + 1e-4, zero).item() > 0
    # logvar^2 / 4 a dimension, to first order: exp(logvar) - 1 - logvar loses it in float32.
    close = kl_normal_standard(zero, zero + 1e-3).item()
    assert close == pytest.approx(3 * 1e-6 / 4, rel=1e-3)


@pytest.mark.parametrize(
    "function", [kl_normal_standard, lambda m, v: log_prob_normal(m * 0, m, v)]
)
def test_gradients(function, gaussian):
    inputs = [p.requires_grad_() for p in gaussian]
    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.equation("eq-reparameterisation")
def test_samples_have_the_moments_asked_for():
    n = 200_000
    mu, logvar = torch.tensor([[-1.0, 2.0]]), torch.tensor([[-2.0, 1.0]])
    z = sample_normal(mu.expand(n, 2), logvar.expand(n, 2), torch.Generator().manual_seed(4))
    sigma = torch.exp(logvar / 2)[0]
    assert ((z.mean(0) - mu[0]).abs() < 4 * sigma / n**0.5).all()
    assert ((z.var(0) / sigma**2 - 1).abs() < 4 * (2 / n) ** 0.5).all()
    correlation = torch.corrcoef(z.T)[0, 1]
    assert abs(correlation) < 4 / n**0.5


@pytest.mark.equation("eq-reparameterisation")
def test_the_sample_carries_the_gradient_of_mu_plus_sigma_eps(gaussian):
    mu, logvar = (p.requires_grad_() for p in gaussian)
    z = sample_normal(mu, logvar, torch.Generator().manual_seed(5))
    grad_mu, grad_logvar = torch.autograd.grad(z.sum(), [mu, logvar])
    torch.testing.assert_close(grad_mu, torch.ones_like(mu))
    torch.testing.assert_close(grad_logvar, (z - mu) / 2)


def test_one_seed_one_sample(gaussian):
    first, second, third = (
        sample_normal(*gaussian, torch.Generator().manual_seed(seed)) for seed in (6, 6, 7)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


@pytest.fixture
def pair():
    """Means and log-variances of 4 pairs of Gaussians in 5 dimensions."""
    g = torch.Generator().manual_seed(1)
    return [torch.randn(4, 5, dtype=torch.float64, generator=g) for _ in range(4)]


@pytest.mark.equation("eq-kl-normal")
def test_kl_of_two_gaussians_agrees_with_torch(pair):
    mu_q, logvar_q, mu_p, logvar_p = pair
    q, p = td.Normal(mu_q, torch.exp(logvar_q / 2)), td.Normal(mu_p, torch.exp(logvar_p / 2))
    torch.testing.assert_close(kl_normal(*pair), td.kl_divergence(q, p).sum(1))


@pytest.mark.equation("eq-kl-normal")
def test_kl_to_the_standard_normal_is_a_special_case(pair):
    mu, logvar, *_ = pair
    zero = torch.zeros_like(mu)
    torch.testing.assert_close(kl_normal(mu, logvar, zero, zero), kl_normal_standard(mu, logvar))


def test_kl_is_zero_for_equal_gaussians_and_keeps_its_digits_beside_them(pair):
    mu, logvar, *_ = (p.float() for p in pair)
    assert (kl_normal(mu, logvar, mu, logvar) == 0).all()
    # difference^2 / 4 a dimension, to first order.
    shifted = kl_normal(mu * 0, mu * 0 + 1e-3, mu * 0, mu * 0)
    torch.testing.assert_close(shifted, torch.full((4,), 5e-6 / 4), rtol=1e-3, atol=0)


def test_gradients_of_the_kl_of_two(pair):
    assert torch.autograd.gradcheck(kl_normal, [p.requires_grad_() for p in pair])
