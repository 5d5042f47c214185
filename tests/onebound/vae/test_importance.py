import math
from itertools import pairwise

import pytest
import torch

from common import Watch
from onebound.checks import trusting
from onebound.evaluation.estimates import estimate
from onebound.exact import toy
from onebound.networks.mlp import MLPDecoder, MLPEncoder
from onebound.vae.importance import (
    effective_sample_size,
    importance_weighted_bound,
    log_mean_exp,
    log_mean_exp_of_groups,
    relative_variance,
)
from onebound.vae.model import VAE


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def identity_model(d, sigma):
    """f(z) = z, of which everything is known, and an observation."""
    x = torch.tensor([1.2, -0.3, 0.5], dtype=torch.float64)[:d]
    return toy.LinearGaussian(sigma, torch.eye(d).double(), torch.zeros(d).double()), x


@pytest.mark.equation("eq-relative-variance", "eq-effective-sample-size")
def test_three_weights_by_hand():
    log_w = torch.tensor([1.0, 2.0, 6.0]).log()
    assert log_mean_exp(log_w).item() == pytest.approx(math.log(3))
    assert relative_variance(log_w).item() == pytest.approx(7 / 9)  # s^2 = (4 + 1 + 9) / 2
    assert effective_sample_size(log_w).item() == pytest.approx(81 / 41)


def test_weights_beyond_the_range_of_floats():
    for shift in (-2000.0, 2000.0):
        log_w = torch.tensor([1.0, 2.0, 6.0]).log() + shift
        assert log_mean_exp(log_w).item() == pytest.approx(math.log(3) + shift)
        assert relative_variance(log_w).item() == pytest.approx(7 / 9, rel=1e-3)
        assert effective_sample_size(log_w).item() == pytest.approx(81 / 41, rel=1e-3)


def test_the_last_axis_holds_the_draws():
    log_w = torch.randn(4, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for function in (log_mean_exp, relative_variance, effective_sample_size):
        rows = torch.stack([function(row) for row in log_w.reshape(20, 6)])
        torch.testing.assert_close(function(log_w), rows.reshape(4, 5))


@pytest.mark.equation("eq-effective-sample-size")
def test_effective_sample_size_counts_equal_weights():
    log_w = torch.full((10,), -torch.inf)
    log_w[:4] = 3.0
    assert effective_sample_size(log_w).item() == pytest.approx(4)


@pytest.mark.equation("eq-monte-carlo", "eq-relative-variance", "eq-curse")
def test_likelihoods_of_prior_draws_average_to_p_with_a_variance_that_grows_with_dimensions():
    d, sigma, n = 3, 0.6, 200_000
    model, x = identity_model(d, sigma)
    log_w = model.log_likelihood(x, torch.randn(n, d, dtype=torch.float64, generator=seeded(5)))
    factor = (1 + sigma**2) / (sigma * (2 + sigma**2) ** 0.5)
    factors = factor * torch.exp(x**2 / ((1 + sigma**2) * (2 + sigma**2)))
    rho2 = factors.prod().item() - 1
    stderr = (rho2 / n) ** 0.5
    assert stderr < 0.01
    log_p = model.marginal().log_prob(x).item()
    assert log_mean_exp(log_w).item() == pytest.approx(log_p, abs=4 * stderr)
    assert relative_variance(log_w).item() == pytest.approx(rho2, rel=0.05)


@pytest.mark.equation("eq-importance-weights", "eq-proposal-variance")
def test_weights_of_any_proposal_average_to_p_and_vary_as_their_integral_says():
    d, n = 2, 200_000
    model, x = identity_model(d, sigma=0.6)
    posterior, q = model.posterior(x), torch.distributions.Normal(0.4, 0.8)
    square = toy.log_integral(lambda z: 2 * posterior.log_prob(z) - q.log_prob(z).sum(1), 129, d)
    rho2 = math.expm1(square.item())
    z = 0.4 + 0.8 * torch.randn(n, d, dtype=torch.float64, generator=seeded(6))
    log_w = model.log_joint(x, z) - q.log_prob(z).sum(1)
    stderr = (rho2 / n) ** 0.5
    assert stderr < 0.01
    log_p = model.marginal().log_prob(x).item()
    assert log_mean_exp(log_w).item() == pytest.approx(log_p, abs=4 * stderr)
    assert relative_variance(log_w).item() == pytest.approx(rho2, rel=0.05)


@pytest.mark.equation("eq-log-mean-exp-bias")
def test_the_log_of_the_average_has_the_bias_and_the_error_of_the_delta_method():
    # Log-normal weights: E[w] = 1 and relative variance exp(s^2) - 1, known exactly.
    s, k, runs = 0.5, 50, 100_000
    noise = torch.randn(runs, k, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    log_mean = log_mean_exp(s * noise - s**2 / 2)
    rho2 = math.expm1(s**2)
    stderr = log_mean.std().item() / runs**0.5
    assert stderr < 0.1 * rho2 / (2 * k)
    assert log_mean.mean().item() == pytest.approx(-rho2 / (2 * k), abs=4 * stderr + 5e-5)
    assert log_mean.std().item() == pytest.approx((rho2 / k) ** 0.5, rel=0.02)


@pytest.mark.equation("eq-groups")
def test_groups_by_hand():
    log_w = torch.tensor([[1.0, 3.0, 2.0, 6.0, 50.0]], dtype=torch.float64).log()
    pairs = log_mean_exp_of_groups(log_w, 2).item()
    assert pairs == pytest.approx((math.log(2) + math.log(4)) / 2)  # the fifth fills no pair
    assert log_mean_exp_of_groups(log_w, 1).item() == pytest.approx(log_w.mean().item())
    assert log_mean_exp_of_groups(log_w, 5).item() == pytest.approx(log_mean_exp(log_w).item())


@pytest.mark.equation("eq-iwae-monotone")
def test_groups_are_taken_on_the_last_axis():
    log_w = torch.randn(2, 3, 7, dtype=torch.float64, generator=seeded(9))
    rows = torch.stack([log_mean_exp_of_groups(row, 2) for row in log_w.flatten(0, 1)])
    torch.testing.assert_close(log_mean_exp_of_groups(log_w, 2), rows.unflatten(0, (2, 3)))


def test_groups_of_groups_never_fall():
    log_w = 3 * torch.randn(50, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    bounds = torch.stack([log_mean_exp_of_groups(log_w, k) for k in (1, 2, 8, 64)])
    assert (bounds.diff(dim=0) > 0).all()


@pytest.mark.equation("eq-groups")
def test_groups_have_the_mean_of_a_single_group():
    # Weights 1 and 3 with equal chance, in pairs: log of 1, 2, 2 or 3.
    draws = torch.randint(2, (4000, 10), generator=torch.Generator().manual_seed(4))
    found = log_mean_exp_of_groups((1 + 2 * draws.double()).log(), 2)
    stderr = found.std().item() / 4000**0.5
    assert stderr < 0.01
    assert found.mean().item() == pytest.approx(math.log(2 * 2 * 3) / 4, abs=4 * stderr)


def test_refusals():
    with pytest.raises(ValueError, match="at least 1"):
        log_mean_exp(torch.zeros(3, 0))
    with pytest.raises(ValueError, match="at least 1"):
        effective_sample_size(torch.tensor(0.0))
    with pytest.raises(ValueError, match="at least 2"):
        relative_variance(torch.zeros(3, 1))
    with pytest.raises(ValueError, match="at least 4"):
        log_mean_exp_of_groups(torch.zeros(3), 4)
    with pytest.raises(ValueError, match="k must be a whole number of at least 1, got 0"):
        log_mean_exp_of_groups(torch.zeros(3), 0)
    with pytest.raises(ValueError, match="1 of 2 log-weights are NaN"):
        log_mean_exp(torch.tensor([0.0, torch.nan]))


@pytest.fixture
def vae():
    torch.manual_seed(0)
    return VAE(MLPEncoder(2, hidden_size=8), MLPDecoder(2, hidden_size=8)).double()


@pytest.fixture
def binary():
    return torch.rand(5, 1, 28, 28, dtype=torch.float64, generator=seeded(4)).round()


@pytest.mark.equation("eq-iwae")
def test_the_weighted_bound_is_the_log_of_the_mean_weight(vae, binary):
    bound = importance_weighted_bound(vae, binary, 40, seeded(5), at_once=5 * 40)
    expected = log_mean_exp(vae.log_weights(binary, 40, seeded(5)))
    torch.testing.assert_close(bound, expected)


@pytest.mark.parametrize("at_once", [1, 7, 64, 1000])
def test_in_parts_every_draw_counts_once(vae, binary, at_once, monkeypatch):
    counted = []

    def constant(x, k, generator):
        counted.append((len(x), k))
        return torch.full((len(x), k), -3.0)

    monkeypatch.setattr(vae, "log_weights", constant)
    bound = importance_weighted_bound(vae, binary, 64, at_once=at_once)
    torch.testing.assert_close(bound, torch.full((5,), -3.0))
    assert sum(images * k for images, k in counted) == 5 * 64
    assert max(images * k for images, k in counted) <= at_once


@pytest.mark.equation("eq-iwae-monotone")
def test_the_weighted_bound_grows_with_k(vae, binary):
    many = binary[:1].expand(2000, 1, 28, 28)
    means = [estimate(importance_weighted_bound(vae, many, k, seeded(k))) for k in (1, 4, 16)]
    for lower, higher in pairwise(means):
        assert higher.mean - lower.mean > 4 * (higher.stderr**2 + lower.stderr**2) ** 0.5


@pytest.mark.parametrize("options", [{"k": 0}, {"k": 2, "at_once": 0}])
def test_sizes_below_one_are_refused(vae, binary, options):
    with pytest.raises(ValueError, match="must be a whole number of at least 1, got 0"):
        importance_weighted_bound(vae, binary, **options)


def test_the_weighted_bound_keeps_no_graph(vae, binary):
    assert not importance_weighted_bound(vae, binary, 2).requires_grad


def test_no_float64_and_no_read_once_the_first_batch_is_checked(vae, binary):
    vae, binary = vae.float(), binary.float()
    with trusting(), Watch() as watch:
        importance_weighted_bound(vae, binary, 5, at_once=5)
    watch.nothing()


def test_the_first_images_are_looked_at(vae, binary):
    binary[0, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="expected finite images"):
        importance_weighted_bound(vae, binary, 2, seeded(5), at_once=4)  # two images at a time
