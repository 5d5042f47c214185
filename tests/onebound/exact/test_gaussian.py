import math

import pytest
import torch
from torch import distributions as td

from common import by_a_random_step
from onebound.diffusion.bound import bound, reverse_variance
from onebound.diffusion.process import q_xt_x0, sample_xt
from onebound.diffusion.schedules import Schedule, cosine_schedule, log_snr_schedule
from onebound.distributions import log_prob_normal
from onebound.exact.gaussian import GaussianData


def normal(*shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def data():
    root = normal(3, 3, seed=1)
    return GaussianData(normal(3, seed=2), root @ root.T)


@pytest.mark.equation("eq-gaussian-denoiser")
def test_the_denoiser_is_the_mean_of_x_0_given_x_t(data):
    schedule = cosine_schedule(20)
    denoise = data.denoiser(schedule)
    x_t = normal(20, 3, seed=3)
    t = torch.arange(1, 21)
    x_0_hat = denoise(x_t, t)
    for i in range(20):
        # Condition the joint normal density of (x_0, x_t).
        a = schedule.alpha_bar[t[i]].sqrt()
        variance = a**2 * data.covariance + (1 - a**2) * torch.eye(3).double()
        moved = torch.linalg.solve(variance, x_t[i] - a * data.mean)
        expected = data.mean + a * data.covariance @ moved
        torch.testing.assert_close(x_0_hat[i], expected, rtol=1e-9, atol=1e-12)


def test_the_marginal_of_x_t(data):
    n, schedule = 100_000, cosine_schedule(20)
    x_0 = data.mean + normal(n, 3, seed=4) @ torch.linalg.cholesky(data.covariance).T
    t = torch.full((n,), 9)
    x_t = sample_xt(schedule, x_0, normal(n, 3, seed=5), t)
    marginal = data.marginal(schedule.alpha_bar[9])
    assert ((x_t.mean(0) - marginal.mean).abs() < 4 * x_t.std(0) / n**0.5).all()
    products = (x_t - marginal.mean)[:, :, None] * (x_t - marginal.mean)[:, None, :]
    stderr = products.std(0) / n**0.5
    assert (stderr < 0.05).all()
    assert ((products.mean(0) - marginal.covariance_matrix).abs() < 4 * stderr).all()
    clean = data.marginal(torch.tensor(1.0).double())
    torch.testing.assert_close(clean.covariance_matrix, data.covariance)


@pytest.mark.equation("eq-gaussian-error")
def test_the_squared_error_is_that_of_draws_and_its_mean_the_posterior_variance(data):
    n, schedule = 50_000, cosine_schedule(6)
    x_0 = normal(1, 3, seed=6)
    exact = data.squared_error(schedule, x_0)
    assert exact.shape == (1, 7)
    for step in (1, 4, 6):
        t = torch.full((n,), step)
        x_t = sample_xt(schedule, x_0.expand(n, 3), normal(n, 3, seed=step), t)
        squares = ((x_0 - data.denoiser(schedule)(x_t, t)) ** 2).sum(1)
        stderr = squares.std() / n**0.5
        assert stderr < 0.01 * exact[0, step]
        assert abs(squares.mean() - exact[0, step]) < 4 * stderr
    variances, columns = data.axes
    typical = data.mean + columns @ variances.sqrt()
    posterior = (variances / (1 + variances * schedule.snr[1:, None])).sum(1)
    torch.testing.assert_close(data.squared_error(schedule, typical[None])[0, 1:], posterior)


@pytest.mark.equation("eq-diffusion-bound")
@pytest.mark.parametrize("variance", [reverse_variance, lambda schedule: schedule.beta])
@pytest.mark.parametrize("function", [bound, by_a_random_step])
def test_the_sampled_bound_has_the_mean_that_is_computed(data, function, variance):
    n, schedule = 20_000, cosine_schedule(6)
    variance = variance(schedule)
    x_0 = normal(1, 3, seed=7)
    exact = data.bound(schedule, variance, x_0)
    sampled = function(
        schedule,
        data.denoiser(schedule),
        x_0.expand(n, 3),
        variance,
        log_prob_normal,
        torch.Generator().manual_seed(1),
    )
    torch.testing.assert_close(sampled.kl_prior[:1], exact.kl_prior)
    for name in ("log_likelihood", "kl_steps", "elbo"):
        draws, mean = getattr(sampled, name), getattr(exact, name)[0]
        stderr = draws.std(0) / n**0.5
        assert (stderr <= 0.03 * mean.abs()).all()
        assert ((draws.mean(0) - mean).abs() <= 4 * stderr + 1e-12).all()


@pytest.mark.equation("eq-hierarchy-gap", "eq-gaussian-reverse")
@pytest.mark.parametrize("T", [1, 2, 7])
def test_with_the_variance_of_the_exact_step_the_bound_is_tight_at_any_depth(T):
    # Isotropic data of unit variance and mean 0: q(x_T) is the prior, and q(x_s|x_t) is normal with
    # the mean of the model and one variance, 1 - alpha_t: that of x_s, less what x_t tells.
    schedule = Schedule(torch.linspace(1, 0.1, T + 1, dtype=torch.float64))
    data = GaussianData(torch.zeros(3).double(), torch.eye(3).double())
    x_0 = normal(5, 3, seed=1)
    log_p = data.marginal(torch.tensor(1.0).double()).log_prob(x_0)
    terms = data.bound(schedule, schedule.beta, x_0)
    torch.testing.assert_close(terms.elbo, log_p, rtol=1e-9, atol=1e-9)
    if T > 1:  # and beta_tilde is not that variance: at a typical point, so in the mean, it costs
        typical = torch.ones(1, 3).double()
        best, other = (
            data.bound(schedule, variance, typical).elbo.item()
            for variance in (schedule.beta, reverse_variance(schedule))
        )
        assert best > other + 0.1


@pytest.mark.equation("eq-gap-rate-tilde")
def test_the_gap_closes_in_proportion_to_the_depth(data):
    # At the point whose squares are the variances the bound is its mean over the data, and so is
    # log p. What is left is a sum over steps less its integral: of first order in 1 / T.
    variances, columns = data.axes
    typical = (data.mean + columns @ variances.sqrt())[None]
    log_p = data.marginal(torch.tensor(1.0).double()).log_prob(typical)
    depths = torch.tensor([100.0, 200, 400, 800, 1600])
    gaps = []
    for T in depths.long().tolist():
        schedule = log_snr_schedule(T, last=-25.0)
        gaps.append(log_p - data.bound(schedule, reverse_variance(schedule), typical).elbo)
    gaps = torch.cat(gaps)
    assert (gaps > 0).all()
    x, y = depths.log().double(), gaps.log()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    assert slope.item() == pytest.approx(-1, abs=0.06)
    # With steps of h in log-SNR l, an axis has the terms (exp(h) - 1) g / 2 at the later end of a
    # step, for the integral of g / 2, where g = lambda / (lambda + exp(-l)) runs from 0 to 1. The
    # end point costs -h / 4, and exp(h) - 1 - h is worth h / 4 times the integral of g.
    h = (13.3 + 25) / 1599
    expected = h / 4 * (torch.log1p(variances * math.exp(13.3)) - 1).sum().item()
    assert gaps[-1].item() == pytest.approx(expected, rel=0.02)


@pytest.mark.equation("eq-gaussian-reverse", "eq-gaussian-gap")
@pytest.mark.parametrize("T", [1, 2, 7])
@pytest.mark.parametrize("choose", [reverse_variance, lambda schedule: 0.7 * schedule.beta])
def test_the_gap_is_what_the_steps_pay_for_a_wrong_variance(data, T, choose):
    # The other grouping of the bound: the model's step against the exact one, no decoder apart.
    schedule = Schedule(torch.linspace(1, 0.05, T + 1, dtype=torch.float64))
    variance = choose(schedule)
    variances, columns = data.axes
    aside = columns @ variances.sqrt()
    typical = torch.stack([data.mean + aside, data.mean - aside])
    log_p = data.marginal(torch.tensor(1.0).double()).log_prob(typical).mean()
    gap = log_p - data.bound(schedule, variance, typical).elbo.mean()
    spread = schedule.alpha_bar[:, None] * variances + 1 - schedule.alpha_bar[:, None]  # of x_t
    exact = spread[:-1] / spread[1:] * schedule.beta[1:, None]
    r = exact / variance[1:, None]
    x_T = data.marginal(schedule.alpha_bar[T])
    prior = td.MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double())
    steps = 0.5 * (r - 1 - r.log()).sum()
    torch.testing.assert_close(gap, td.kl_divergence(x_T, prior) + steps, rtol=1e-9, atol=1e-9)


@pytest.mark.equation("eq-optimal-variance")
def test_the_best_variance_is_that_of_the_step_back_and_of_the_guess(data):
    # The mean of a step's divergence over the data, as a function of its variance.
    schedule = cosine_schedule(6)
    variances, columns = data.axes
    typical = (data.mean + columns @ variances.sqrt())[None]
    error = data.squared_error(schedule, typical)[0, 2:]
    c = (schedule.alpha_bar_s.sqrt() * schedule.beta / (1 - schedule.alpha_bar))[2:]
    best = schedule.beta_tilde[2:] + c**2 * error / 3

    def divergence(variance):
        chosen = torch.cat([schedule.beta[:2], variance])
        return data.bound(schedule, chosen, typical).kl_steps[0, 2:]

    torch.testing.assert_close(divergence(best), 1.5 * (best / schedule.beta_tilde[2:]).log())
    for factor in (0.95, 1.05):
        assert (divergence(factor * best) > divergence(best) + 1e-4).all()


def test_a_bound_stays_a_bound_for_other_schedules_and_variances(data):
    variances, columns = data.axes
    typical = (data.mean + columns @ variances.sqrt())[None]
    log_p = data.marginal(torch.tensor(1.0).double()).log_prob(typical)
    for T in (1, 3, 30, 1000):
        schedule = cosine_schedule(T)
        for variance in (reverse_variance(schedule), schedule.beta, 2 * schedule.beta):
            assert data.bound(schedule, variance, typical).elbo < log_p


def test_the_prior_term_alone_is_left_if_nothing_is_denoised():
    # One step that destroys everything: the decoder has to give x_0 back from noise.
    data = GaussianData(torch.zeros(2).double(), torch.diag(torch.tensor([4.0, 1.0]).double()))
    schedule = Schedule(torch.tensor([1.0, 0.0]).double())
    x_0, variance = normal(3, 2, seed=1), torch.tensor([0.0, 2.5]).double()
    terms = data.bound(schedule, variance, x_0)
    expected = td.Normal(0.0, math.sqrt(2.5)).log_prob(x_0).sum(1)
    torch.testing.assert_close(terms.elbo, expected)
    assert (terms.kl_prior == 0).all()
    mean, _ = q_xt_x0(schedule, x_0, torch.ones(3).long())
    assert (mean == 0).all()


def test_refusals(data):
    with pytest.raises(ValueError, match=r"mean \(D,\) and covariance \(D, D\), got \(3,\) and"):
        GaussianData(data.mean, data.covariance[:2])
    with pytest.raises(ValueError, match="from 1 to 5, got 0"):
        data.denoiser(cosine_schedule(5))(normal(1, 3, seed=1), torch.tensor([0]))
