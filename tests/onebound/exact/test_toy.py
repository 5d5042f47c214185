import itertools
import math

import pytest
import torch
from torch import distributions as td

from onebound.evaluation.estimates import estimate
from onebound.exact.toy import LinearGaussian, Parabola, grid, log_integral

X = torch.tensor([0.1, 1.5], dtype=torch.float64)


def linear(size=3, latent_size=2, sigma=0.6):
    g = torch.Generator().manual_seed(1)
    weight = torch.randn(size, latent_size, dtype=torch.float64, generator=g)
    bias = torch.randn(size, dtype=torch.float64, generator=g)
    return LinearGaussian(sigma, weight, bias)


def log_normal(z, mu, logvar):
    return td.Normal(mu, torch.exp(logvar / 2)).log_prob(z)[:, 0]


@pytest.mark.equation("eq-parabola")
def test_the_parabola_bends_upwards():
    z = torch.tensor([[-2.0], [0.5]], dtype=torch.float64)
    expected = torch.tensor([[-2.0, 4.0], [0.5, 0.25]], dtype=torch.float64)
    assert torch.equal(Parabola(0.4).decode(z), expected)


@pytest.mark.equation("eq-gaussian-decoder")
@pytest.mark.parametrize("model", [Parabola(0.4), linear(2, 1)], ids=["parabola", "linear"])
def test_densities_agree_with_torch(model):
    z = torch.linspace(-2, 2, 7, dtype=torch.float64)[:, None]
    prior = td.Normal(0.0, 1.0).log_prob(z).sum(1)
    likelihood = td.Normal(model.decode(z), model.sigma).log_prob(X).sum(1)
    torch.testing.assert_close(model.log_prior(z), prior)
    torch.testing.assert_close(model.log_likelihood(X, z), likelihood)
    torch.testing.assert_close(model.log_joint(X, z), prior + likelihood)


def test_samples_have_the_moments_of_the_parabola():
    n = 100_000
    sigma = 0.4
    z, x = Parabola(sigma).sample(n, torch.Generator().manual_seed(3))
    assert z.shape == (n, 1)
    assert x.shape == (n, 2)
    # E[x] = (0, E z^2); Var[x] = (1 + sigma^2, Var z^2 + sigma^2), and Var z^2 = 3 - 1.
    for values, mean in [
        (x[:, 0], 0),
        (x[:, 1], 1),
        (x[:, 0] ** 2, 1 + sigma**2),
        ((x[:, 1] - 1) ** 2, 2 + sigma**2),
        (x[:, 0] * z[:, 0], 1),
    ]:
        sampled = estimate(values)
        assert sampled.stderr < 0.06
        assert abs(sampled.mean - mean) < 4 * sampled.stderr


@pytest.mark.equation("eq-marginal", "eq-quadrature", "eq-linear-gaussian")
@pytest.mark.parametrize("latent_size", [1, 2])
def test_quadrature_finds_the_exact_marginal_of_a_linear_model(latent_size):
    model = linear(3, latent_size)
    x = torch.tensor([0.3, -1.0, 0.8], dtype=torch.float64)
    found = log_integral(lambda z: model.log_joint(x, z), 161, latent_size)
    assert found.item() == pytest.approx(model.marginal().log_prob(x).item(), abs=1e-10)


def test_quadrature_of_the_prior_is_one():
    model = linear(3, 3)
    assert log_integral(model.log_prior, 41, 3).item() == pytest.approx(0, abs=1e-12)


def test_halving_the_grid_gains_digits_fast():
    model = Parabola(0.4)
    values = [
        log_integral(lambda z: model.log_joint(X, z), n + 1).item() for n in (40, 80, 160, 320)
    ]
    steps = [abs(a - b) for a, b in itertools.pairwise(values)]
    assert steps[0] > 1e-3
    assert steps[1] < 1e-3 * steps[0]
    assert steps[2] < 1e-12


def test_the_lattice_covers_the_square():
    z, log_cell = grid(3, 2, reach=1.0)
    assert z.shape == (9, 2)
    assert len(set(map(tuple, z.tolist()))) == 9
    assert z.min() == -1
    assert z.max() == 1
    assert log_cell == pytest.approx(0)  # spacing 1


@pytest.mark.equation("eq-parabola-elbo")
def test_expected_log_likelihood_is_the_integral_against_q():
    model = Parabola(0.4)
    for mean, logvar in [(0.9, -3.0), (-0.4, 0.3)]:
        mu, lv = (torch.tensor([[v]], dtype=torch.float64) for v in (mean, logvar))
        z, log_cell = grid(4001, reach=20.0)  # log p(x|z) grows like z^4 into the tail of q
        q = log_normal(z, mu, lv).exp() * math.exp(log_cell)
        integral = (q * model.log_likelihood(X, z)).sum().item()
        exact = model.expected_log_likelihood(X, mu, lv).item()
        assert exact == pytest.approx(integral, abs=1e-9)


@pytest.mark.equation("eq-elbo-gap", "eq-elbo-two-terms")
def test_the_gap_of_the_bound_is_the_divergence_to_the_posterior():
    model = Parabola(0.4)
    z, log_cell = grid(4001, reach=20.0)
    log_marginal = log_integral(lambda z: model.log_joint(X, z), 4001)
    log_posterior = model.log_joint(X, z) - log_marginal
    for mean, logvar in [(0.9, -3.0), (-0.4, 0.3), (0.0, 0.0)]:
        mu, lv = (torch.tensor([[v]], dtype=torch.float64) for v in (mean, logvar))
        log_q = log_normal(z, mu, lv)
        kl = (log_q.exp() * (log_q - log_posterior)).sum() * math.exp(log_cell)
        gap = log_marginal - model.elbo(X, mu, lv)[0]
        assert kl > 0
        assert gap.item() == pytest.approx(kl.item(), abs=1e-8)


@pytest.mark.equation("eq-posterior", "eq-linear-gaussian")
def test_the_posterior_of_a_linear_model_is_bayes_rule_at_every_point():
    model = linear()
    x = torch.tensor([0.3, -1.0, 0.8], dtype=torch.float64)
    z = 3 * torch.randn(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    ratio = model.log_joint(x, z) - model.posterior(x).log_prob(z)
    expected = model.marginal().log_prob(x).expand(50)
    torch.testing.assert_close(ratio, expected, rtol=0, atol=1e-10)


def test_samples_of_a_linear_model_have_its_covariance():
    model = linear()
    n = 100_000
    _, x = model.sample(n, torch.Generator().manual_seed(4))
    centred = x - model.bias
    exact = model.marginal().covariance_matrix
    for i in range(3):
        for j in range(i + 1):
            sampled = estimate(centred[:, i] * centred[:, j])
            assert sampled.stderr < 0.02 * exact.diagonal().max()
            assert abs(sampled.mean - exact[i, j].item()) < 4 * sampled.stderr


def test_each_q_may_have_an_observation_of_its_own():
    model = Parabola(0.4)
    _, x = model.sample(4, torch.Generator().manual_seed(5))
    mu, logvar = x[:, :1], -x[:, 1:].abs()
    one_by_one = [model.elbo(x[i], mu[i : i + 1], logvar[i : i + 1]) for i in range(4)]
    torch.testing.assert_close(model.elbo(x, mu, logvar), torch.cat(one_by_one))


def test_gradients_of_the_exact_bound():
    mu = torch.tensor([[0.9], [-0.4]], dtype=torch.float64, requires_grad=True)
    logvar = torch.tensor([[-3.0], [0.3]], dtype=torch.float64, requires_grad=True)
    model = Parabola(0.4)
    assert torch.autograd.gradcheck(lambda m, v: model.elbo(X, m, v), (mu, logvar))


@pytest.mark.parametrize("sigma", [0, -1.0, math.inf, math.nan])
def test_a_model_refuses_such_a_sigma(sigma):
    with pytest.raises(ValueError, match="sigma"):
        Parabola(sigma)


def test_what_else_is_refused():
    model = Parabola(0.4)
    z = torch.zeros(3, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match="one observation"):
        model.log_likelihood(torch.zeros(3, 2), z)
    with pytest.raises(ValueError, match="latents"):
        model.log_joint(X, torch.zeros(3, 2))
    with pytest.raises(ValueError, match="latents"):
        model.log_prior(torch.zeros(3))
    with pytest.raises(ValueError, match="latents"):
        model.elbo(X, torch.zeros(3), torch.zeros(3))
    with pytest.raises(ValueError, match="one observation"):
        model.elbo(torch.zeros(3), z, z)
    with pytest.raises(ValueError, match="one observation"):
        model.elbo(torch.zeros(2, 2), z, z)
    with pytest.raises(ValueError, match="bias"):
        LinearGaussian(1.0, torch.zeros(3, 2), torch.zeros(2))
    with pytest.raises(ValueError, match="one observation"):
        linear().posterior(X)
    for points, latent_size in [(1, 1), (2, 0)]:
        with pytest.raises(ValueError, match="whole number"):
            grid(points, latent_size)
    with pytest.raises(ValueError, match="whole number"):
        model.sample(0)
