from itertools import islice

import pytest
import torch

from common import SCHEDULES, one_normal
from onebound.diffusion.bound import kl_coefficients, reverse_variance
from onebound.diffusion.process import q_xt_x0
from onebound.diffusion.schedules import log_snr_schedule
from onebound.diffusion.scores import (
    annealed_langevin,
    fisher_terms,
    fisher_weights,
    langevin,
    score_from_x_0,
    score_of,
)
from onebound.distributions import log_prob_normal
from onebound.exact.mixture import Mixture, mixture_1d, mixture_2d
from onebound.exact.toy import grid


def normal(*shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def step_of(mixture, schedule, t):
    signal, noise = (float(part[t]) for part in schedule.amplitudes)
    return mixture.noised(signal, noise)


@pytest.mark.equation("eq-fisher-conditional")
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_conditional_score_is_the_gradient_of_the_normal_density(schedule):
    schedule = schedule(10)
    x_t, x_0, t = normal(10, 3, seed=0).requires_grad_(), normal(10, 3, seed=1), torch.arange(1, 11)
    mean, variance = q_xt_x0(schedule, x_0, t)
    (expected,) = torch.autograd.grad(log_prob_normal(x_t, mean, variance.log()).sum(), x_t)
    torch.testing.assert_close(score_from_x_0(schedule, x_t.detach(), x_0, t), expected)


@pytest.mark.equation("eq-fisher-tweedie")
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_exact_denoiser_gives_the_gradient_of_the_log_density(schedule):
    mixture, schedule = mixture_2d(), schedule(10)
    for t in (1, 4, 10):
        noisy = step_of(mixture, schedule, t)
        x = noisy.sample(5, torch.Generator().manual_seed(t)).requires_grad_()
        (expected,) = torch.autograd.grad(noisy.log_prob(x).sum(), x)
        found = score_of(schedule, mixture.denoiser(schedule), t)(x.detach())
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.equation("eq-langevin")
def test_small_langevin_steps_keep_the_density_and_the_step_decides_the_error():
    """On a normal density of variance lambda the variance has a closed form."""
    variance, step, n = 0.5, 0.1, 40_000
    alone = one_normal([[variance]])
    x = alone.sample(n, torch.Generator().manual_seed(0))
    noise = torch.Generator().manual_seed(1)
    *_, x = langevin(alone.score, x, step, 60, noise)
    # V = (1 - step / lambda)^2 V + 2 step has the solution lambda / (1 - step / (2 lambda)).
    expected = variance / (1 - step / (2 * variance))
    squares = x[:, 0] ** 2
    stderr = squares.std() / n**0.5
    assert stderr < 0.01 * expected
    assert abs(squares.mean() - expected) < 4 * stderr


@pytest.mark.equation("eq-langevin")
def test_a_langevin_step_is_as_it_says():
    x, step = normal(4, 2, seed=0), 0.3
    moved = next(langevin(lambda y: -(y**3), x, step, 1, torch.Generator().manual_seed(5)))
    eps = normal(4, 2, seed=5)
    torch.testing.assert_close(moved, x - step * x**3 + (2 * step) ** 0.5 * eps)
    assert len(list(langevin(torch.neg, x, step, 3))) == 3


def test_annealed_langevin_finds_the_shares_of_the_clusters_and_one_level_does_not():
    mixture, schedule, n = mixture_1d(), log_snr_schedule(30, first=7.0, last=-7.0), 2000
    noise = torch.Generator().manual_seed(0)
    levels = annealed_langevin(schedule, mixture.denoiser(schedule), normal(n, 1, seed=1), 0.2, 10)
    assert len(list(islice(levels, 2))) == 2
    start = mixture.means[:1].expand(n, 1)
    *_, alone = langevin(mixture.score, start, 0.002, 300, noise)
    *_, annealed = annealed_langevin(
        schedule, mixture.denoiser(schedule), start, 0.2, 10, generator=noise
    )
    error = {}
    for name, x in {"alone": alone, "annealed": annealed}.items():
        shares = mixture.responsibilities(x)
        error[name] = (shares.mean(0) - mixture.weights).abs() / (shares.std(0) / n**0.5)
    assert (error["annealed"] < 4).all()
    assert error["alone"].max() > 20


@pytest.mark.equation("eq-fisher-divergence")
def test_the_fisher_divergence_of_two_normal_densities():
    q, p, n = one_normal([[0.5]], 0.3), one_normal([[0.8]], -0.2), 100_000
    x = q.sample(n, torch.Generator().manual_seed(3))
    terms = fisher_terms(q.score(x), p.score(x))
    # The score of q less that of p is linear: (1/0.8 - 1/0.5) (x - 0.3) + 0.5 / 0.8.
    expected = (1 / 0.8 - 1 / 0.5) ** 2 * 0.5 + (0.5 / 0.8) ** 2
    stderr = terms.std() / n**0.5
    assert stderr < 0.01 * expected
    assert abs(terms.mean() - expected) < 4 * stderr
    with pytest.raises(ValueError, match="expected equal shapes"):
        fisher_terms(x, x[:1])


@pytest.mark.equation("eq-fisher-step")
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_wrong_denoiser_costs_the_fisher_divergence_of_its_score(schedule):
    """At each step: what the bound loses, by quadrature, in both units."""
    right, schedule = mixture_1d(), schedule(8)
    wrong = Mixture(right.weights.flip(0), 0.8 * right.means, right.covariances)
    x, _ = grid(4001, 1, 6.0)
    weight, _ = kl_coefficients(schedule, reverse_variance(schedule))
    for t in (2, 5, 8):
        mass = step_of(right, schedule, t).log_prob(x).softmax(0)
        steps = torch.full((len(x),), t)
        guesses = [mixture.denoiser(schedule)(x, steps) for mixture in (right, wrong)]
        lost = weight[t] * (mass * fisher_terms(*guesses)).sum()
        scores = [score_of(schedule, m.denoiser(schedule), t)(x) for m in (right, wrong)]
        found = fisher_weights(schedule)[t] * (mass * fisher_terms(*scores)).sum()
        torch.testing.assert_close(found, lost)


@pytest.mark.equation("eq-fisher-sum")
def test_the_terms_add_up_to_the_divergence_of_the_data():
    right = mixture_1d()
    wrong = Mixture(right.weights.flip(0), right.means, right.covariances)
    x, _ = grid(4001, 1, 6.0)

    def kl(q, p):
        log_q = q.log_prob(x)
        return (log_q.softmax(0) * (log_q - p.log_prob(x))).sum()

    gaps = []
    for T in (50, 100, 200):
        schedule = log_snr_schedule(T, first=8.0, last=-8.0)
        total = kl(step_of(right, schedule, T), step_of(wrong, schedule, T))
        for t in range(2, T + 1):
            q, p = step_of(right, schedule, t), step_of(wrong, schedule, t)
            terms = fisher_terms(q.score(x), p.score(x))
            total += fisher_weights(schedule)[t] * (q.log_prob(x).softmax(0) * terms).sum()
        gaps.append(
            (total / kl(step_of(right, schedule, 1), step_of(wrong, schedule, 1)) - 1).abs()
        )
    assert gaps[2] < 0.05
    assert 1.7 < gaps[0] / gaps[1] < 2.4
    assert 1.7 < gaps[1] / gaps[2] < 2.4


def test_bad_steps_are_refused():
    x = normal(2, 2, seed=0)
    for step in (0.0, -0.1):
        with pytest.raises(ValueError, match="step must be positive"):
            next(langevin(torch.neg, x, step, 1))
    with pytest.raises(ValueError, match="count must be a whole number"):
        next(langevin(torch.neg, x, 0.1, 0))


def test_a_walk_visits_every_level_and_keeps_no_gradient():
    schedule, x_T = log_snr_schedule(5), normal(3, 2, seed=1).requires_grad_()
    seen = []

    def denoise(x_t, t):
        seen.append(int(t[0]))
        return x_t * 0.9

    *_, x = annealed_langevin(schedule, denoise, x_T, 0.1, 2)
    assert seen == [5, 5, 4, 4, 3, 3, 2, 2, 1, 1]
    assert not x.requires_grad
