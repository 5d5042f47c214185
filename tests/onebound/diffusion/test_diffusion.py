import math

import pytest
import torch
from torch import distributions as td
from torch.autograd import gradcheck

from common import SCHEDULES, by_a_random_step
from onebound.diffusion.bound import (
    Bound,
    bound,
    kl_coefficients,
    kl_prior,
    kl_step,
    log_likelihood,
    optimal_variance,
    reverse_variance,
)
from onebound.diffusion.denoisers import clipped, denoiser, even_steps, guided, respaced
from onebound.diffusion.loss import denoising_loss, stratified_t
from onebound.diffusion.process import (
    eps_from_x_0,
    q_xs_xt_x0,
    q_xt_x0,
    q_xt_xs,
    sample_xt,
    v_from_x_0,
    x_0_from_eps,
    x_0_from_v,
    x_0_from_x_0,
)
from onebound.diffusion.schedules import Schedule, cosine_schedule, linear_schedule
from onebound.distributions import kl_normal, log_prob_normal
from onebound.exact.finite import optimal_denoiser
from onebound.likelihoods import log_prob_discretised_normal

T = 40
STEPS = torch.arange(1, T + 1)  # one example for each step
LATER = STEPS[1:]


def normal(*shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def digits(n, seed, dtype=torch.float64):
    """Images of noise on the 256 levels, both ends among them."""
    g = torch.Generator().manual_seed(seed)
    levels = torch.randint(-30, 286, (n, 1, 28, 28), generator=g).clamp(0, 255)
    return 2 * levels.to(dtype) / 255 - 1


def guess(x_t, t):
    """A denoiser that is far from any good one, and depends on both arguments."""
    return torch.tanh(x_t) + 0.01 * t.to(x_t).reshape(-1, *[1] * (x_t.ndim - 1))


@pytest.fixture(params=SCHEDULES)
def schedule(request):
    return request.param(T)


# ---- the process that adds noise


@pytest.mark.equation("eq-chain-marginal", "eq-q-step", "eq-q-marginal")
def test_the_product_of_one_step_kernels_is_q_xt_x0(schedule):
    x_0 = normal(1, 3, seed=1)
    mean, variance = x_0, torch.zeros(1, 1).double()
    for step in range(1, T + 1):
        t = torch.tensor([step])
        mean, added = q_xt_xs(schedule, mean, t)
        kept, _ = q_xt_xs(schedule, torch.ones(1, 1).double(), t)
        variance = kept**2 * variance + added
        direct_mean, direct_variance = q_xt_x0(schedule, x_0, t)
        torch.testing.assert_close(mean, direct_mean, rtol=1e-10, atol=0)
        torch.testing.assert_close(variance, direct_variance, rtol=1e-9, atol=0)


@pytest.mark.equation(
    "eq-bayes-step", "eq-posterior-variance", "eq-posterior-mean", "eq-posterior-step"
)
def test_bayes_rule_holds_at_every_point(schedule):
    x_0, x_s, x_t = (normal(T - 1, 3, seed=seed) for seed in (1, 2, 3))

    def log_prob(x, mean, variance):
        return td.Normal(mean, variance.sqrt()).log_prob(x).sum(1)

    posterior = log_prob(x_s, *q_xs_xt_x0(schedule, x_t, x_0, LATER))
    step = log_prob(x_t, *q_xt_xs(schedule, x_s, LATER))
    prior = log_prob(x_s, *q_xt_x0(schedule, x_0, LATER - 1))
    marginal = log_prob(x_t, *q_xt_x0(schedule, x_0, LATER))
    torch.testing.assert_close(posterior, step + prior - marginal, rtol=1e-8, atol=1e-6)


def test_the_step_back_to_x_0_is_x_0_without_noise(schedule):
    x_0, x_t = normal(1, 3, seed=1), normal(1, 3, seed=2)
    mu_tilde, beta_tilde = q_xs_xt_x0(schedule, x_t, x_0, torch.tensor([1]))
    assert torch.equal(mu_tilde, x_0)
    assert torch.equal(beta_tilde, torch.zeros(1, 1).double())


def test_x_t_keeps_unit_variance(schedule):
    one, zero = torch.ones(T, 1).double(), torch.zeros(T, 1).double()
    signal = sample_xt(schedule, one, zero, STEPS)
    noise = sample_xt(schedule, zero, one, STEPS)
    torch.testing.assert_close(signal[:, 0] ** 2, schedule.alpha_bar[1:])
    torch.testing.assert_close(signal**2 + noise**2, one)


@pytest.mark.equation("eq-q-marginal")
def test_draws_of_x_t_have_the_moments_of_q():
    n, t = 40_000, torch.tensor([500])
    schedule, x_0 = linear_schedule(1000), torch.tensor([[0.8]]).double()
    x_t = sample_xt(schedule, x_0.expand(n, 1), normal(n, 1, seed=1), t.expand(n))
    mean, variance = q_xt_x0(schedule, x_0, t)
    assert abs(x_t.mean() - mean).item() < 4 * (variance / n) ** 0.5
    assert abs(x_t.var() / variance - 1).item() < 4 * (2 / n) ** 0.5


def test_stratified_steps_visit_each_equally_often():
    for n, T in [(30, 10), (7, 1)]:
        t = stratified_t(n, T, torch.Generator().manual_seed(n))
        assert t.dtype == torch.int64
        steps, counts = t.unique(return_counts=True)
        assert steps.tolist() == list(range(1, T + 1))
        assert (counts == n // T).all()
    assert stratified_t(50, 50, torch.Generator().manual_seed(1)).unique().tolist() == [
        *range(1, 51)
    ]


def test_stratified_steps_rise_but_for_the_way_round_the_circle():
    t = stratified_t(64, 1000, torch.Generator().manual_seed(2))
    assert (t.diff() < 0).sum() <= 1


def test_stratified_steps_follow_one_uniform_number_of_float64():
    for seed in range(20):
        start = torch.rand((), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        u = (start.float() + torch.arange(16) / 16) % 1
        t = stratified_t(16, 1000, torch.Generator().manual_seed(seed))
        assert torch.equal(t, 1 + (1000 * u).long())


def test_each_stratified_step_is_uniform_and_their_mean_hardly_varies():
    runs, n, T = 4000, 16, 50
    g = torch.Generator().manual_seed(1)
    t = torch.stack([stratified_t(n, T, g) for _ in range(runs)]).double()
    variance = (T**2 - 1) / 12
    # Of each place in the batch: the mean and the second moment of a uniform number.
    assert ((t.mean(0) - (T + 1) / 2).abs() < 4 * (variance / runs) ** 0.5).all()
    expected = (T + 1) * (2 * T + 1) / 6
    assert (((t**2).mean(0) - expected).abs() < 4 * (t**2).std(0) / runs**0.5).all()
    # n independent steps would have the variance of one over n.
    assert t.mean(1).var() < variance / n / 10


@pytest.mark.equation("eq-stratified")
def test_spreading_leaves_the_variance_within_the_steps_and_takes_that_between_them():
    runs, n, T = 4000, 16, 50
    every = torch.arange(1, T + 1)

    def at_step(t):
        """Mean and standard deviation of an example's loss; the mean has the variance 1."""
        return 2**0.5 * torch.sin(2 * math.pi * t / T), 0.5 + t / T

    within, between = (at_step(every)[1] ** 2).mean().item(), 1.0
    g = torch.Generator().manual_seed(3)
    spread = torch.stack([stratified_t(n, T, g) for _ in range(runs)])
    independent = torch.randint(1, T + 1, (runs, n), generator=g)
    for t, expected in ((independent, within + between), (spread, within)):
        mean, deviation = at_step(t)
        losses = mean + deviation * torch.randn(runs, n, generator=g)
        error = 4 * (2 / runs) ** 0.5
        assert losses.mean(1).var().item() == pytest.approx(expected / n, rel=error)


# ---- parameterisations

# Each row: what a network puts out if it is right, and how it is read. Add one for another.
PARAMETERISATIONS = {
    "eps": (lambda schedule, x_t, x_0, eps, t: eps, x_0_from_eps),
    "x_0": (lambda schedule, x_t, x_0, eps, t: x_0, x_0_from_x_0),
    "v": (
        lambda schedule, x_t, x_0, eps, t: (
            schedule.alpha_bar[t].sqrt()[:, None] * eps
            - (1 - schedule.alpha_bar[t]).sqrt()[:, None] * x_0
        ),
        x_0_from_v,
    ),
}


@pytest.mark.equation("eq-one-step-targets", "eq-x0-eps", "eq-v", "eq-x0-v")
@pytest.mark.parametrize("name", PARAMETERISATIONS)
def test_a_network_that_is_right_gives_x_0(name, schedule):
    target, x_0_from = PARAMETERISATIONS[name]
    x_0, eps = normal(T, 3, seed=1), normal(T, 3, seed=2)
    x_t = sample_xt(schedule, x_0, eps, STEPS)
    denoise = denoiser(schedule, lambda x, t: target(schedule, x, x_0, eps, t), x_0_from=x_0_from)
    torch.testing.assert_close(denoise(x_t, STEPS), x_0, rtol=1e-9, atol=1e-9)


@pytest.mark.equation("eq-x0-eps", "eq-x0-v")
@pytest.mark.parametrize(
    ("there", "back"), [(x_0_from_eps, eps_from_x_0), (x_0_from_v, v_from_x_0)]
)
def test_round_trips(there, back, schedule):
    x_t, out = normal(T, 3, seed=1), normal(T, 3, seed=2)
    x_0 = there(schedule, x_t, out, STEPS)
    torch.testing.assert_close(back(schedule, x_t, x_0, STEPS), out, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        there(schedule, x_t, back(schedule, x_t, out, STEPS), STEPS), out, rtol=1e-6, atol=1e-6
    )


@pytest.mark.equation("eq-v", "eq-rotation")
def test_eps_and_v_are_one_point_in_two_frames(schedule):
    x_0, eps = normal(T, 3, seed=1), normal(T, 3, seed=2)
    x_t = sample_xt(schedule, x_0, eps, STEPS)
    v = PARAMETERISATIONS["v"][0](schedule, x_t, x_0, eps, STEPS)
    torch.testing.assert_close(eps_from_x_0(schedule, x_t, x_0, STEPS), eps, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(v_from_x_0(schedule, x_t, x_0, STEPS), v, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(x_t**2 + v**2, x_0**2 + eps**2)


def test_float32_keeps_its_digits_at_both_ends():
    schedule = linear_schedule(1000)
    t = torch.tensor([1, 1000])
    x_0, eps = normal(2, 784, seed=1).clamp(-1, 1), normal(2, 784, seed=2)
    x_t = sample_xt(schedule, x_0.float(), eps.float(), t)
    # Rounding x_t by 6e-8 is amplified by 1 / sqrt(1 - alpha_bar) or by 1 / sqrt(alpha_bar).
    for single, double, amplified in [
        (eps_from_x_0(schedule, x_t, x_0.float(), t), eps, 100),
        (x_0_from_eps(schedule, x_t, eps.float(), t), x_0, 160),
    ]:
        assert (single - double).abs().max() < 10 * 6e-8 * amplified


def test_a_network_may_answer_in_another_type():
    denoise = denoiser(cosine_schedule(T), lambda x_t, t: x_t.bfloat16(), x_0_from_v)
    assert denoise(torch.zeros(T, 3), STEPS).dtype == torch.float32


def test_clipping():
    denoise = clipped(lambda x_t, t: 3 * x_t)
    x_t = torch.tensor([[-2.0], [-0.1], [0.2], [0.5]])
    expected = torch.tensor([[-1.0], [-0.3], [0.6], [1.0]])
    torch.testing.assert_close(denoise(x_t, torch.ones(4).long()), expected)


# ---- respacing


def test_leaving_steps_out_keeps_those_that_stay():
    schedule, steps = linear_schedule(T), torch.tensor([3, 10, T])
    coarse, denoise = respaced(schedule, lambda x_t, t: x_t + t[:, None], steps)
    assert coarse.T == 3
    assert torch.equal(coarse.alpha_bar, schedule.alpha_bar[[0, 3, 10, T]])
    k = torch.tensor([2, 1, 3])
    assert torch.equal(denoise(torch.zeros(3, 1), k)[:, 0], torch.tensor([10.0, 3.0, T]))
    x_0 = normal(3, 2, seed=1)
    for coarse_moment, moment in zip(
        q_xt_x0(coarse, x_0, k), q_xt_x0(schedule, x_0, steps[k - 1]), strict=True
    ):
        assert torch.equal(coarse_moment, moment)


def test_all_steps_or_a_single_one_may_be_kept():
    schedule = linear_schedule(T)
    whole, denoise = respaced(schedule, guess, STEPS)
    assert torch.equal(whole.alpha_bar, schedule.alpha_bar)
    x_t = normal(T, 3, seed=1)
    assert torch.equal(denoise(x_t, STEPS), guess(x_t, STEPS))
    assert respaced(schedule, guess, torch.tensor([T]))[0].T == 1


def test_even_steps():
    assert even_steps(10, 10).tolist() == list(range(1, 11))
    assert even_steps(10, 1).tolist() == [10]
    assert even_steps(10, 4).tolist() == [2, 5, 7, 10]
    steps = even_steps(1000, 50)
    assert steps.diff().unique().tolist() == [20]
    for K in range(1, 18):
        assert even_steps(17, K).diff().min() >= 1 if K > 1 else True


# ---- losses


@pytest.mark.equation("eq-one-step-errors", "eq-errors", "eq-weighted-loss")
def test_weights_turn_the_error_of_x_0_into_those_of_eps_and_v(schedule):
    x_0, eps = digits(T, seed=1), normal(T, 1, 28, 28, seed=2)
    x_t = sample_xt(schedule, x_0, eps, STEPS)
    x_0_hat = guess(x_t, STEPS)
    for to, weight in [
        (x_0_from_x_0, torch.ones(T + 1).double()),
        (eps_from_x_0, schedule.snr),
        (v_from_x_0, schedule.snr + 1),
    ]:
        error = to(schedule, x_t, x_0, STEPS) - to(schedule, x_t, x_0_hat, STEPS)
        loss = denoising_loss(schedule, guess, x_0, eps, STEPS, weight)
        assert loss.shape == (T,)
        torch.testing.assert_close(loss, (error**2).sum((1, 2, 3)), rtol=1e-6, atol=1e-9)


@pytest.mark.equation("eq-simple-loss")
def test_the_simplified_loss_is_zero_for_the_truth_and_its_gradient_reaches_the_network():
    schedule = cosine_schedule(T)
    x_0, eps = digits(T, seed=1, dtype=torch.float32), normal(T, 1, 28, 28, seed=2).float()
    scale = torch.tensor(1.0, requires_grad=True)
    denoise = denoiser(schedule, lambda x_t, t: scale * eps, x_0_from_eps)
    loss = denoising_loss(schedule, denoise, x_0, eps, STEPS, schedule.snr)
    assert loss.max() < 1e-6
    for factor in (0.0, 2.0):
        scale.data.fill_(factor)
        loss = denoising_loss(schedule, denoise, x_0, eps, STEPS, schedule.snr)
        torch.testing.assert_close(loss, (eps**2).sum((1, 2, 3)), rtol=1e-4, atol=0)
        (slope,) = torch.autograd.grad(loss.sum(), scale)
        expected = 2 * (factor - 1) * (eps**2).sum()
        torch.testing.assert_close(slope, expected, rtol=1e-4, atol=0)


# ---- the bound, term by term


@pytest.mark.equation("eq-kl-weight", "eq-step-snr", "eq-step-three")
def test_the_divergence_of_a_step_is_half_the_snr_difference_times_the_squared_error(schedule):
    x_0, eps = normal(T - 1, 3, seed=1), normal(T - 1, 3, seed=2)
    x_t = sample_xt(schedule, x_0, eps, LATER)
    x_0_hat = guess(x_t, LATER)
    mu_q, variance = q_xs_xt_x0(schedule, x_t, x_0, LATER)
    mu_p, _ = q_xs_xt_x0(schedule, x_t, x_0_hat, LATER)
    direct = td.kl_divergence(
        td.Normal(mu_q, variance.sqrt()), td.Normal(mu_p, variance.sqrt())
    ).sum(1)
    snr_s, snr_t = schedule.snr[LATER - 1], schedule.snr[LATER]
    by_x_0 = 0.5 * (snr_s - snr_t) * ((x_0 - x_0_hat) ** 2).sum(1)
    eps_hat = eps_from_x_0(schedule, x_t, x_0_hat, LATER)
    log_ratio = schedule.log_snr[LATER - 1] - schedule.log_snr[LATER]
    by_eps = 0.5 * torch.expm1(log_ratio) * ((eps - eps_hat) ** 2).sum(1)
    v, v_hat = (v_from_x_0(schedule, x_t, image, LATER) for image in (x_0, x_0_hat))
    by_v = 0.5 * (snr_s - snr_t) / (snr_t + 1) * ((v - v_hat) ** 2).sum(1)
    ours = kl_step(schedule, guess, x_0, eps, LATER, reverse_variance(schedule))
    for other in (direct, by_x_0, by_eps, by_v):
        torch.testing.assert_close(ours, other, rtol=1e-6, atol=1e-9)


@pytest.mark.equation("eq-reverse-mean", "eq-step-kl", "eq-step-kl-x0")
@pytest.mark.parametrize("factor", [0.3, 1.0, 2.5])
def test_the_divergence_for_any_variance_is_that_of_two_gaussians(factor, schedule):
    variance = factor * (schedule.beta + 0.5 * schedule.beta_tilde)
    x_0, eps = normal(T - 1, 3, seed=1), normal(T - 1, 3, seed=2)
    x_t = sample_xt(schedule, x_0, eps, LATER)
    mu_q, beta_tilde = q_xs_xt_x0(schedule, x_t, x_0, LATER)
    mu_p, _ = q_xs_xt_x0(schedule, x_t, guess(x_t, LATER), LATER)
    direct = kl_normal(mu_q, beta_tilde.log(), mu_p, variance[LATER].log()[:, None])
    ours = kl_step(schedule, guess, x_0, eps, LATER, variance)
    torch.testing.assert_close(ours, direct, rtol=1e-6, atol=1e-9)


def test_the_divergence_from_a_point_is_infinite():
    schedule = cosine_schedule(T)
    x = normal(1, 3, seed=1)
    kl = kl_step(schedule, guess, x, x, torch.tensor([1]), reverse_variance(schedule))
    assert kl.item() == math.inf


def test_the_first_weight_is_that_of_a_normal_decoder(schedule):
    variance = reverse_variance(schedule)
    assert variance[1] == schedule.beta[1]
    x_0, eps = normal(5, 3, seed=1), normal(5, 3, seed=2)
    t = torch.ones(5, dtype=torch.int64)
    squares = ((x_0 - guess(sample_xt(schedule, x_0, eps, t), t)) ** 2).sum(1)
    weight, excess = kl_coefficients(schedule, variance)
    value = log_likelihood(schedule, guess, x_0, eps, variance, log_prob_normal)
    expected = -weight[1] * squares - 1.5 * torch.log(2 * math.pi * variance[1])
    torch.testing.assert_close(value, expected)
    assert weight[0] == excess[0] == 0
    assert (excess[2:] == 0).all()


@pytest.mark.equation("eq-prior-term")
def test_the_prior_term_is_the_divergence_of_q_from_the_prior(schedule):
    x_0 = normal(4, 3, seed=1)
    mean, variance = q_xt_x0(schedule, x_0, torch.full((4,), T))
    q = td.Normal(mean, variance.sqrt().expand_as(mean))
    expected = td.kl_divergence(q, td.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl_prior(schedule, x_0), expected)


def test_the_prior_term_keeps_its_digits_and_vanishes_with_the_signal():
    x_0 = normal(4, 784, seed=1)
    schedule = linear_schedule(1000)
    torch.testing.assert_close(
        kl_prior(schedule, x_0.float()).double(), kl_prior(schedule, x_0), rtol=1e-5, atol=0
    )
    none_left = Schedule(torch.tensor([1.0, 0.5, 0.0]).double())
    assert (kl_prior(none_left, x_0) == 0).all()


@pytest.fixture
def four_images():
    """Four images and the best denoiser for them: a data set with the entropy log 4."""
    images = digits(4, seed=3)
    schedule = cosine_schedule(300)
    variance = reverse_variance(schedule)
    variance[1] = 1e-6  # the bins are 4 standard deviations wide to each side
    return schedule, optimal_denoiser(schedule, images), images, variance


@pytest.mark.equation("eq-diffusion-bound")
def test_the_bound_of_the_best_denoiser_is_the_entropy_of_the_images(four_images):
    schedule, denoise, images, variance = four_images
    x_0 = images.repeat(20, 1, 1, 1)
    terms = bound(schedule, denoise, x_0, variance, generator=torch.Generator().manual_seed(1))
    assert terms.kl_steps.shape == (80, 301)
    assert (terms.kl_steps[:, :2] == 0).all()
    assert (terms.kl_steps >= 0).all()
    # What the bins outside 4 standard deviations keep, on about 4 in 5 pixels.
    cut = 784 * 2 * math.erfc(1 / 255 / 1e-3 / 2**0.5) / 2
    assert (terms.log_likelihood < 0).all()
    assert (terms.log_likelihood > -1.01 * cut).all()
    elbo = terms.elbo
    stderr = (elbo.std() / len(elbo) ** 0.5).item()
    assert stderr < 0.1
    # The sum over steps exceeds the integral, whose value is the entropy.
    assert -1.15 * math.log(4) - 4 * stderr < elbo.mean().item() < -math.log(4) + 4 * stderr


def test_the_estimate_has_the_mean_of_the_bound():
    schedule = cosine_schedule(6)
    variance = schedule.beta * torch.linspace(0.5, 1, 7).double()
    x_0 = digits(1, seed=3).expand(400, -1, -1, -1)
    full, estimate = (
        function(schedule, guess, x_0, variance, generator=torch.Generator().manual_seed(seed))
        for seed, function in enumerate((bound, by_a_random_step))
    )
    assert ((estimate.kl_steps != 0).sum(1) <= 1).all()
    assert torch.equal(full.kl_prior, estimate.kl_prior)
    for name in ("log_likelihood", "elbo"):
        a, b = getattr(full, name), getattr(estimate, name)
        stderr = ((a.var() + b.var()) / 400) ** 0.5
        assert stderr < 0.05 * a.mean().abs()
        assert abs(a.mean() - b.mean()) < 4 * stderr
    stderr = ((full.kl_steps.var(0) + estimate.kl_steps.var(0)) / 400) ** 0.5
    assert ((full.kl_steps.mean(0) - estimate.kl_steps.mean(0)).abs() <= 4 * stderr).all()


def test_the_estimate_is_exact_where_the_noise_does_not_matter():
    # A guess that ignores x_t errs alike whatever the noise; n = 2 (T - 1) visit each step twice.
    schedule = cosine_schedule(6)
    x_0 = digits(1, seed=3).expand(10, -1, -1, -1)
    full, estimate = (
        function(schedule, lambda x_t, t: 0.1 * torch.ones_like(x_t), x_0, 1.5 * schedule.beta)
        for function in (bound, by_a_random_step)
    )
    assert ((estimate.kl_steps > 0).sum(0)[2:] == 2).all()
    torch.testing.assert_close(estimate.kl_steps.mean(0), full.kl_steps[0])
    torch.testing.assert_close(estimate.elbo.mean(), full.elbo.mean())


@pytest.mark.equation("eq-diffusion-bound")
def test_the_groups_add_up():
    terms = Bound(torch.tensor([-1.0]), torch.tensor([[0.0, 0.0, 2.0, 3.0]]), torch.tensor([0.5]))
    assert terms.elbo.item() == -6.5


@pytest.mark.parametrize("function", [bound, by_a_random_step])
@pytest.mark.parametrize(
    ("make", "steps"),
    [*((make, steps) for make in SCHEDULES for steps in (1, 2)), (cosine_schedule, 4000)],
)
def test_no_number_of_steps_gives_nan(function, make, steps):
    schedule = make(steps)
    x_0 = digits(1, seed=1, dtype=torch.float32)
    terms = function(schedule, guess, x_0, reverse_variance(schedule))
    assert all(torch.isfinite(term).all() for term in terms)
    assert terms.kl_steps.shape == (1, steps + 1)
    assert (terms.kl_steps.sum() > 0) == (steps > 1)


def test_the_bound_does_not_depend_on_the_batch():
    schedule = cosine_schedule(T)
    x_0, eps = digits(T, seed=1), normal(T, 1, 28, 28, seed=2)
    variance = reverse_variance(schedule)

    def terms(x_0, eps, t):
        x_t = sample_xt(schedule, x_0, eps, t)
        yield x_t
        yield from q_xs_xt_x0(schedule, x_t, x_0, t)
        yield denoising_loss(schedule, guess, x_0, eps, t, schedule.snr)
        yield kl_step(schedule, guess, x_0, eps, t, variance)
        yield log_likelihood(schedule, guess, x_0, eps, variance)
        yield kl_prior(schedule, x_0)

    together = terms(x_0, eps, STEPS)
    apart = zip(*(terms(*(p[i : i + 1] for p in (x_0, eps, STEPS))) for i in range(T)), strict=True)
    for all_at_once, one_by_one in zip(together, apart, strict=True):
        torch.testing.assert_close(all_at_once, torch.cat(one_by_one))


def test_gradients_of_the_estimate_in_the_variances_and_in_the_network():
    schedule = cosine_schedule(5)
    x_0 = normal(3, 2, seed=1)

    def elbo(logvar, scale):
        g = torch.Generator().manual_seed(1)
        terms = by_a_random_step(
            schedule, lambda x, t: scale * x, x_0, logvar.exp(), log_prob_normal, g
        )
        return terms.elbo

    logvar = reverse_variance(schedule).log().clamp(min=-9) + 0.3
    scale = torch.tensor(0.7).double()
    assert gradcheck(elbo, [logvar.requires_grad_(), scale.requires_grad_()])
    # Entry 0 belongs to no step; the other entries all matter.
    (gradient,) = torch.autograd.grad(elbo(logvar, scale).sum(), logvar)
    assert gradient[0] == 0
    assert (gradient[1] != 0).all()


def test_the_full_bound_keeps_no_graph():
    schedule = cosine_schedule(3)
    scale = torch.tensor(0.5, requires_grad=True)
    x_0 = digits(1, seed=1, dtype=torch.float32)
    terms = bound(schedule, lambda x, t: scale * x, x_0, reverse_variance(schedule))
    assert not terms.elbo.requires_grad


# ---- refusals


def test_a_wrong_step_is_refused_everywhere():
    schedule = cosine_schedule(T)
    x = digits(2, seed=1)
    variance = reverse_variance(schedule)
    for t, message in [
        (torch.tensor([0, 1]), f"from 1 to {T}, got 0 to 1"),
        (torch.tensor([1, T + 1]), f"from 1 to {T}, got 1 to {T + 1}"),
        (torch.tensor([1, 2, 3]), r"each of 2 examples, got shape \(3,\)"),
        (torch.tensor([0.5, 1.0]), "torch.int64, got torch.float32"),
    ]:
        for call in (
            lambda t: q_xt_x0(schedule, x, t),
            lambda t: q_xt_xs(schedule, x, t),
            lambda t: q_xs_xt_x0(schedule, x, x, t),
            lambda t: sample_xt(schedule, x, x, t),
            lambda t: x_0_from_eps(schedule, x, x, t),
            lambda t: x_0_from_v(schedule, x, x, t),
            lambda t: eps_from_x_0(schedule, x, x, t),
            lambda t: v_from_x_0(schedule, x, x, t),
            lambda t: denoising_loss(schedule, guess, x, x, t, schedule.snr),
            lambda t: kl_step(schedule, guess, x, x, t, variance),
        ):
            with pytest.raises(ValueError, match=message):
                call(t)


def test_shapes_that_would_broadcast_are_refused():
    schedule, t = cosine_schedule(T), torch.tensor([1, 2])
    x, row = torch.zeros(2, 1, 28, 28), torch.zeros(2, 1, 28, 1)
    for function in (
        q_xs_xt_x0,
        sample_xt,
        x_0_from_eps,
        x_0_from_v,
        x_0_from_x_0,
        eps_from_x_0,
        v_from_x_0,
    ):
        with pytest.raises(ValueError, match=r"\(2, 1, 28, 28\).*\(2, 1, 28, 1\)"):
            function(schedule, x, row, t)
    with pytest.raises(ValueError, match="expected equal shapes, got x_t"):
        denoiser(schedule, lambda x_t, t: row, x_0_from_eps)(x, t)


def test_training_on_what_is_no_signed_image_is_refused():
    schedule, t = cosine_schedule(T), torch.tensor([1, 2])
    x = digits(2, seed=1, dtype=torch.float32)
    eps = torch.zeros_like(x)
    for bad, message in [
        ((127.5 * (x + 1)).round().byte(), r"\[-1, 1\], got torch.uint8: .*to_signed"),
        (127.5 * (x + 1), r"\[-1, 1\], got values from 0 to 255: .*to_signed"),
        (x * math.nan, "got values from nan"),
        (x[:, 0], r"shape \(2, 28, 28\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            denoising_loss(schedule, guess, bad, eps, t, schedule.snr)
        if bad.ndim == 4 and bad.is_floating_point():
            with pytest.raises(ValueError, match=message):
                bound(schedule, guess, bad, reverse_variance(schedule))


def test_weights_and_variances_of_another_schedule_are_refused():
    schedule, t = cosine_schedule(T), torch.tensor([1, 2])
    x = digits(2, seed=1)
    with pytest.raises(ValueError, match=rf"weight needs .* 0 to {T}, got shape \({T},\)"):
        denoising_loss(schedule, guess, x, x, t, schedule.snr[1:])
    variance = reverse_variance(schedule)
    for bad, message in [
        (variance[1:], rf"variance needs .* 0 to {T}, got shape \({T},\)"),
        (schedule.beta_tilde, r"positive, got 0 at t = 1: .*reverse_variance"),
        (-variance, "positive, got -"),
        (variance.clone().index_fill_(0, torch.tensor([7]), math.nan), "got nan at t = 7"),
    ]:
        for function in (
            lambda v: kl_step(schedule, guess, x, x, t, v),
            lambda v: log_likelihood(schedule, guess, x, x, v),
        ):
            with pytest.raises(ValueError, match=message):
                function(bad)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (torch.tensor([0, 3]), "rising steps from 1 to 40, got"),
        (torch.tensor([3, 41]), "rising steps from 1 to 40, got"),
        (torch.tensor([3, 3]), "rising steps from 1 to 40, got"),
        (torch.tensor([1, 9, 5, 12]), "rising steps from 1 to 40, got"),
        (torch.tensor([1.0, 2.0]), "torch.int64 .* got torch.float32"),
        (torch.tensor([], dtype=torch.int64), r"shape \(0,\)"),
        (torch.tensor(3), r"shape \(\)"),
    ],
)
def test_steps_that_are_no_subset_are_refused(steps, message):
    with pytest.raises(ValueError, match=message):
        respaced(cosine_schedule(40), guess, steps)


def test_numbers_of_steps_that_are_none_are_refused():
    with pytest.raises(ValueError, match="n must be"):
        stratified_t(0, 10)
    with pytest.raises(ValueError, match="T must be"):
        stratified_t(3, 0)
    with pytest.raises(ValueError, match="K must be"):
        even_steps(10, 0)
    with pytest.raises(ValueError, match="K must be at most T"):
        even_steps(10, 11)


def test_the_default_likelihood_asks_for_levels():
    schedule = cosine_schedule(3)
    x_0 = digits(1, seed=1)
    value = log_likelihood(
        schedule, lambda x, t: x_0, x_0, torch.zeros_like(x_0), reverse_variance(schedule)
    )
    expected = log_prob_discretised_normal(x_0, x_0, schedule.beta[1].log())
    torch.testing.assert_close(value, expected)
    with pytest.raises(ValueError, match=r"2 k / 255 - 1 with whole k, got 0\.5"):
        bound(schedule, guess, torch.full((1, 1, 28, 28), 0.5), reverse_variance(schedule))


# ---- guidance and the best variance


@pytest.mark.equation("eq-guidance")
def test_guidance_goes_from_the_worse_guess_through_the_better_one():
    x_t, t = normal(5, 1, 28, 28, seed=1), torch.arange(1, 6)
    worse = lambda x, t: 0.5 * guess(x, t)  # noqa: E731
    for strength in (0.0, 1.0, 2.5):
        found = guided(guess, worse, strength)(x_t, t)
        torch.testing.assert_close(found, (0.5 + 0.5 * strength) * guess(x_t, t))


def test_no_other_variance_has_a_smaller_divergence():
    schedule, dims = linear_schedule(T), 7
    error = torch.linspace(0.1, 3, T + 1, dtype=torch.float64)

    def total(variance):
        weight, excess = kl_coefficients(schedule, variance)
        return (weight * error + dims * excess)[2:]

    best = optimal_variance(schedule, error, dims)
    assert best[0] == 0
    for factor in (0.9, 0.999, 1.001, 1.1):
        assert (total(best) < total(factor * best)).all()
    # `[eq-optimal-variance]`: what is left is half the log of the ratio of the variances.
    left = dims / 2 * torch.log(best / schedule.beta_tilde)[2:]
    torch.testing.assert_close(total(best), left)


def test_the_error_has_to_have_an_entry_a_step():
    with pytest.raises(ValueError, match="error"):
        optimal_variance(linear_schedule(T), torch.ones(T), 1)
