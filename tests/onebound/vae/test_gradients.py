import pytest
import torch

from onebound.evaluation.estimates import estimate
from onebound.exact.toy import Parabola
from onebound.vae.gradients import reparameterisation_gradient, score_function_gradient

X = torch.tensor([0.1, 1.5], dtype=torch.float64)
MODEL = Parabola(0.4)
MU = torch.tensor([0.5], dtype=torch.float64)
LOGVAR = torch.tensor([-1.0], dtype=torch.float64)


def log_likelihood(z):
    return MODEL.log_likelihood(X, z)


def noise(draws, size=1, seed=1):
    return torch.randn(
        draws, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


@pytest.fixture
def exact():
    mu, logvar = (p[None].clone().requires_grad_() for p in (MU, LOGVAR))
    value = MODEL.expected_log_likelihood(X, mu, logvar).sum()
    return torch.cat(torch.autograd.grad(value, (mu, logvar)), dim=1)[0]


@pytest.mark.equation("eq-score-function")
@pytest.mark.parametrize("baseline", [0.0, -6.0, 40.0])
def test_the_score_function_estimate_is_unbiased_for_any_baseline(exact, baseline):
    draws = score_function_gradient(log_likelihood, MU, LOGVAR, noise(200_000), baseline)
    for values, truth in zip(draws.T, exact.tolist(), strict=True):
        sampled = estimate(values)
        assert sampled.stderr < 0.3
        assert abs(sampled.mean - truth) < 4 * sampled.stderr


@pytest.mark.equation("eq-reparameterisation")
def test_the_reparameterisation_estimate_is_unbiased(exact):
    draws = reparameterisation_gradient(log_likelihood, MU, LOGVAR, noise(200_000))
    for values, truth in zip(draws.T, exact.tolist(), strict=True):
        sampled = estimate(values)
        assert sampled.stderr < 0.05
        assert abs(sampled.mean - truth) < 4 * sampled.stderr


@pytest.mark.equation("eq-score-function", "eq-reparameterisation")
def test_both_by_hand_for_a_linear_function():
    # f(z) = a.z; sigma = 2: z = mu + 2 eps, d/dmu = a, d/dlogvar = a * 2 eps / 2.
    a, eps = torch.tensor([3.0, -1.0]), torch.tensor([[0.5, 1.0], [-1.0, 2.0]])
    mu, logvar = torch.tensor([1.0, 0.0]), torch.full((2,), 4.0).log()
    expected = torch.cat([a.expand(2, 2), a * eps], dim=1)
    found = reparameterisation_gradient(lambda z: z @ a, mu, logvar, eps)
    torch.testing.assert_close(found, expected)
    # The score is eps / sigma in mu and (eps^2 - 1) / 2 in logvar.
    score = torch.cat([eps / 2, (eps**2 - 1) / 2], dim=1)
    f = (mu + 2 * eps) @ a
    found = score_function_gradient(lambda z: z @ a, mu, logvar, eps, baseline=0.25)
    torch.testing.assert_close(found, (f - 0.25)[:, None] * score)


def test_the_score_function_needs_no_derivative_of_f():
    step = score_function_gradient(lambda z: (z[:, 0] > 0).double(), MU, LOGVAR, noise(100_000))
    sigma = torch.exp(LOGVAR / 2)
    truth = torch.distributions.Normal(0.0, 1.0).log_prob(MU / sigma).exp() / sigma  # of Phi(mu/s)
    sampled = estimate(step[:, 0])
    assert sampled.stderr < 0.01
    assert abs(sampled.mean - truth.item()) < 4 * sampled.stderr


def test_parameters_that_ask_for_gradients_are_left_alone():
    mu, logvar = MU.clone().requires_grad_(), LOGVAR.clone().requires_grad_()
    for function in (reparameterisation_gradient, score_function_gradient):
        assert not function(log_likelihood, mu, logvar, noise(3)).requires_grad
    assert mu.grad is None


@pytest.mark.parametrize("function", [reparameterisation_gradient, score_function_gradient])
def test_refusals(function):
    for mu, logvar, eps in [
        (MU, LOGVAR, noise(3)[:, 0]),
        (MU[None], LOGVAR, noise(3)),
        (MU, LOGVAR.expand(2), noise(3)),
    ]:
        with pytest.raises(ValueError, match="expected mu and logvar"):
            function(log_likelihood, mu, logvar, eps)
