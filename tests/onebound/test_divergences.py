import pytest
import torch
from torch import distributions as td

from onebound.distributions import kl_normal_standard
from onebound.divergences import kl_normal


@pytest.fixture
def parameters():
    """Means and log-variances of 4 pairs of Gaussians in 5 dimensions."""
    g = torch.Generator().manual_seed(1)
    return [torch.randn(4, 5, dtype=torch.float64, generator=g) for _ in range(4)]


def test_agrees_with_torch(parameters):
    mu_q, logvar_q, mu_p, logvar_p = parameters
    q, p = td.Normal(mu_q, torch.exp(logvar_q / 2)), td.Normal(mu_p, torch.exp(logvar_p / 2))
    torch.testing.assert_close(kl_normal(*parameters), td.kl_divergence(q, p).sum(1))


def test_the_standard_normal_is_a_special_case(parameters):
    mu, logvar, *_ = parameters
    zero = torch.zeros_like(mu)
    torch.testing.assert_close(kl_normal(mu, logvar, zero, zero), kl_normal_standard(mu, logvar))


def test_is_zero_for_equal_gaussians_and_keeps_its_digits_beside_them(parameters):
    mu, logvar, *_ = (p.float() for p in parameters)
    assert (kl_normal(mu, logvar, mu, logvar) == 0).all()
    # difference^2 / 4 a dimension, to first order.
    shifted = kl_normal(mu * 0, mu * 0 + 1e-3, mu * 0, mu * 0)
    torch.testing.assert_close(shifted, torch.full((4,), 5e-6 / 4), rtol=1e-3, atol=0)


def test_gradients(parameters):
    assert torch.autograd.gradcheck(kl_normal, [p.requires_grad_() for p in parameters])
