import math

import pytest
import torch

from common import SCHEDULES, one_normal
from onebound.diffusion.bound import kl_coefficients, reverse_variance
from onebound.diffusion.continuous import (
    axes_like,
    diffused,
    divergence,
    flow_log_likelihood,
    flow_velocity,
    level_weights,
    loss_integral,
    reverse_sde,
    signs_like,
)
from onebound.diffusion.flows import straight_schedule
from onebound.diffusion.samplers import last
from onebound.diffusion.schedules import cosine_schedule, linear_schedule, log_snr_schedule
from onebound.exact.mixture import mixture_1d, mixture_2d
from onebound.exact.toy import grid
from onebound.zoo._unets import COSINE, tilted


def generator(seed):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=generator(seed))


def amplitudes_at(schedule, t):
    return [float(part[t]) for part in schedule.amplitudes]


@pytest.mark.equation("eq-sde-rate")
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_what_is_diffused_adds_up_to_minus_the_log_of_alpha_bar(schedule):
    schedule = schedule(20)
    total = diffused(schedule).cumsum(0)
    torch.testing.assert_close(total, -schedule.alpha_bar.log(), rtol=1e-9, atol=1e-12)
    assert diffused(schedule) is diffused(schedule)  # computed once


@pytest.mark.equation("eq-sde-family", "eq-sde-reverse")
@pytest.mark.parametrize("churn", [0.0, 0.6, 1.0, 1.5])
def test_every_member_of_the_family_ends_at_the_data(churn):
    """On a normal density the variance after Euler-Maruyama steps follows a recursion."""
    data, gaps = one_normal([[0.3]]), []
    for T in (100, 200, 400):
        schedule = log_snr_schedule(T, first=9.0, last=-9.0)
        variance = torch.ones(()).double()
        for t in range(T, 0, -1):
            b, kept = diffused(schedule)[t], schedule.alpha_bar[t]
            at_t = kept * 0.3 + 1 - kept
            factor = 1 + b / 2 - b * (1 + churn**2) / 2 / at_t
            variance = factor**2 * variance + churn**2 * b
        gaps.append(abs(float(variance) - 0.3))
        if T == 100:
            x_T = normal(20_000, 1, seed=0)
            steps = reverse_sde(schedule, data.denoiser(schedule), x_T, churn, generator(1))
            squares = last(steps)[:, 0] ** 2
            stderr = squares.std() / 20_000**0.5
            assert abs(squares.mean() - variance) < 4 * stderr
    assert gaps[2] < 0.01
    assert gaps[0] > 1.5 * gaps[1] > 2.25 * gaps[2]


@pytest.mark.equation("eq-sde-family")
def test_a_step_of_the_reverse_sde_is_as_it_says():
    schedule, x, churn = log_snr_schedule(5), normal(4, 2, seed=0), 0.6
    step = next(reverse_sde(schedule, lambda x, t: x**2, x, churn, generator(5)))
    signal, noise = amplitudes_at(schedule, 5)
    score, b = (signal * x**2 - x) / noise**2, diffused(schedule)[5]
    mean = x + b / 2 * x + (1 + churn**2) / 2 * b * score
    torch.testing.assert_close(step.x_s, mean + churn * b.sqrt() * normal(4, 2, seed=5))


@pytest.mark.equation("eq-sde-reverse")
def test_the_reverse_sde_is_the_member_of_churn_1_goes_to_step_1_and_keeps_no_gradient():
    schedule, x_T, root = cosine_schedule(4), normal(3, 2, seed=2), torch.ones(()).requires_grad_()

    def damped(x, t):
        return root * 0.5 * x

    steps = list(reverse_sde(schedule, damped, x_T, generator=generator(3)))
    assert [step.t for step in steps] == [4, 3, 2, 1]
    assert steps[-1].x_s.equal(last(reverse_sde(schedule, damped, x_T, 1.0, generator(3))))
    assert not steps[-1].x_s.requires_grad


@pytest.mark.equation("eq-sde-flow")
@pytest.mark.parametrize("example", [mixture_1d, mixture_2d])
def test_the_velocity_carries_the_density_along(example):
    """The continuity equation in lambda, d q / d lambda = -div(q v), at some points."""
    mixture, h = example(), 1e-5
    fine = log_snr_schedule(3, first=0.5 + h, last=0.5 - h)  # its middle is step 2
    x = mixture.sample(6, generator(0))
    t = torch.full((6,), 2)
    later, now, earlier = (mixture.noised(*amplitudes_at(fine, i)) for i in (1, 2, 3))
    change = (later.log_prob(x).exp() - earlier.log_prob(x).exp()) / (2 * h)

    def flux(x):
        velocity = flow_velocity(fine, x, mixture.denoiser(fine)(x, t), t)
        return velocity * now.log_prob(x).exp()[:, None]

    _, terms = divergence(flux, x, axes_like(x))
    torch.testing.assert_close(change, -terms.mean(0), rtol=1e-5, atol=1e-8)


@pytest.mark.equation("eq-sde-hutchinson", "eq-sde-hutchinson-variance")
def test_the_estimate_of_the_divergence_has_the_trace_as_mean_and_the_variances_of_the_text():
    jacobian = normal(4, 4, seed=0)
    field, x, n = (lambda y: y @ jacobian.T), normal(2, 4, seed=1), 200_000
    signs = signs_like(x[:1], n, generator(2))[:, 0]
    assert (signs.abs() == 1).all()
    gauss = normal(n, 4, seed=3)
    symmetric = (jacobian + jacobian.T) / 2
    off = 2 * (symmetric**2).sum() - 2 * (symmetric.diagonal() ** 2).sum()
    for probes, expected in ((signs, off), (gauss, 2 * (symmetric**2).sum())):
        terms = ((probes @ jacobian) * probes).sum(1)  # what `divergence` does for each
        _, few = divergence(field, x, probes[:5, None].expand(5, 2, 4))
        torch.testing.assert_close(few, terms[:5, None].expand(5, 2))
        assert abs(terms.mean() - jacobian.trace()) < 4 * terms.std() / n**0.5
        squares = (terms - jacobian.trace()) ** 2
        assert abs(squares.mean() - expected) < 4 * squares.std() / n**0.5
    value, exact = divergence(field, x, axes_like(x))
    torch.testing.assert_close(exact.mean(0), jacobian.trace().expand(2))
    torch.testing.assert_close(value, x @ jacobian.T)


def test_half_of_the_values_of_a_uniform_number_give_the_sign_1(monkeypatch):
    # They are the multiples of a power of 2 from 0 to below 1, so 1/2 is in the upper half.
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.arange(8).reshape(shape) / 8)
    assert signs_like(torch.zeros(4), 2).sum() == 0


@pytest.mark.equation("eq-sde-likelihood")
@pytest.mark.parametrize("example", [mixture_1d, mixture_2d])
def test_the_likelihood_along_the_flow_is_that_of_the_mixture(example):
    mixture = example()
    size = mixture.means.shape[1]
    errors = []
    for T in (50, 100):
        schedule = log_snr_schedule(T, first=6.0, last=-12.0)
        noisy = mixture.noised(*amplitudes_at(schedule, 1))
        x = noisy.sample(8, generator(0))
        found = flow_log_likelihood(schedule, mixture.denoiser(schedule), x, axes_like(x))
        assert found.log_prob.shape == (size, 8)
        errors.append((found.log_prob.mean(0) - noisy.log_prob(x)).abs().mean())
    assert errors[1] < 2e-3
    assert errors[0] / errors[1] > 3  # of second order


@pytest.mark.equation("eq-sde-bound")
def test_the_integral_is_the_information_whatever_the_schedule():
    """Half of SNR times the best error, integrated, is what x_1 knows of x_0 beyond x_T."""
    variance, found = 0.4, []
    # For normal data the information of the channel is log(1 + SNR variance) / 2.
    expected = (math.log1p(math.exp(6.0) * variance) - math.log1p(math.exp(-5.0) * variance)) / 2
    for grid_of in (linear_schedule, cosine_schedule, log_snr_schedule):
        log_snr = grid_of(4000).log_snr[1:]
        inside = log_snr[(log_snr < 6.0) & (log_snr > -5.0)]
        ends = torch.tensor([6.0, -5.0]).double()
        log_snr = torch.cat([ends[:1], inside, ends[1:]])
        error = variance / (1 + log_snr.exp() * variance)
        found.append(float(loss_integral(log_snr, error)))
    assert found == pytest.approx([expected] * 3, rel=1e-3)


@pytest.mark.equation("eq-sde-levels")
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_weighted_loss_is_a_sum_of_bounds_of_noised_data(schedule):
    schedule = schedule(12)
    weight, error = torch.rand(13, generator=generator(0)), normal(13, seed=1).abs()
    lost, _ = kl_coefficients(schedule, reverse_variance(schedule))
    terms = (lost * error)[2:]
    from_step = terms.flip(0).cumsum(0).flip(0)  # entry t: the terms from t on
    total = (level_weights(schedule, weight)[2:] * from_step).sum()
    torch.testing.assert_close(total, (weight * error)[2:].sum())
    assert (level_weights(schedule, weight)[:2] == 0).all()


@pytest.mark.equation("eq-sde-levels")
def test_which_losses_of_the_book_are_means_of_bounds():
    schedule = COSINE
    assert (level_weights(schedule, schedule.snr + 1)[2:] > 0).all()
    assert (level_weights(schedule, tilted(schedule, 2.0))[2:] > 0).all()
    simple = level_weights(schedule, schedule.snr)[2:]
    assert (simple[:400] > 0).all()
    assert (simple[600:] < 0).all()


def test_what_does_not_fit_is_refused():
    schedule, x = cosine_schedule(4), normal(2, 2, seed=0)
    for churn in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"churn must be finite and not negative, got {churn}"):
            next(reverse_sde(schedule, mixture_2d().denoiser(schedule), x, churn))
    with pytest.raises(ValueError, match="expected equal shapes"):
        divergence(torch.neg, x, torch.ones(1, 2, 3).double())
    with pytest.raises(ValueError, match="weight needs one entry"):
        level_weights(schedule, torch.ones(4))
    no_signal = straight_schedule(4)
    with pytest.raises(ValueError, match="leaves some signal"):
        next(reverse_sde(no_signal, mixture_2d().denoiser(schedule), x))
    with pytest.raises(ValueError, match="leaves some signal"):
        flow_log_likelihood(no_signal, mixture_2d().denoiser(schedule), x, axes_like(x))
    with pytest.raises(ValueError, match="probes must be"):
        flow_log_likelihood(schedule, mixture_2d().denoiser(schedule), x, axes_like(x)[:0])
    with pytest.raises(ValueError, match="expected equal shapes"):
        loss_integral(torch.zeros(3), torch.zeros(4))
    for log_snr in ([0.0, 1.0], [1.0, 1.0], [1.0, math.nan]):
        with pytest.raises(ValueError, match="expected a log-SNR that falls, got"):
            loss_integral(torch.tensor(log_snr), torch.ones(2))


def test_the_last_point_of_the_flow_is_noise():
    mixture, schedule = mixture_1d(), log_snr_schedule(60, first=6.0, last=-10.0)
    x, _ = grid(9, 1, 1.0)
    found = flow_log_likelihood(schedule, mixture.denoiser(schedule), x, axes_like(x))
    # In one dimension the flow keeps the order of points, and so each its quantile.
    noisy = mixture.noised(*amplitudes_at(schedule, 1))
    line, _ = grid(40_001, 1, 8.0)
    mass = noisy.log_prob(line).softmax(0)
    below = [(mass[line[:, 0] < point].sum()).item() for point in x[:, 0]]
    end = torch.special.ndtr(found.x_T[:, 0])
    assert (end - torch.tensor(below)).abs().max() < 3e-3
