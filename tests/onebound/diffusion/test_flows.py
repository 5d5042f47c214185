from itertools import permutations

import numpy as np
import pytest
import torch
from test_samplers import guess, normal, seeded

from common import SCHEDULES
from onebound.diffusion.denoisers import denoiser
from onebound.diffusion.flows import (
    assignment,
    curvature,
    flow,
    flow_matching_loss,
    optimal_pairing,
    straight_scale,
    straight_schedule,
    straight_times,
    velocity_from_x_0,
    velocity_of,
    x_0_from_velocity,
)
from onebound.diffusion.loss import denoising_loss
from onebound.diffusion.process import sample_xt
from onebound.diffusion.samplers import ddim, last
from onebound.diffusion.schedules import cosine_schedule, linear_schedule
from onebound.diffusion.scores import score_from_x_0, x_0_from_score
from onebound.exact.mixture import mixture_2d

MAPS = {
    "velocity": (velocity_from_x_0, x_0_from_velocity),
    "score": (score_from_x_0, x_0_from_score),
}
each_map = pytest.mark.parametrize(("there", "back"), MAPS.values(), ids=MAPS.keys())


@pytest.mark.equation("eq-straight-path")
def test_the_straight_schedule_is_straight():
    schedule = straight_schedule(10)
    torch.testing.assert_close(straight_times(schedule), torch.arange(11).double() / 10)
    x_0, eps = normal(10, 3, seed=1), normal(10, 3, seed=2)
    t = torch.arange(1, 11)
    tau = (t.double() / 10)[:, None]
    x_t = sample_xt(schedule, x_0, eps, t) / straight_scale(schedule)[t][:, None]
    torch.testing.assert_close(x_t, (1 - tau) * x_0 + tau * eps)
    assert schedule.alpha_bar[-1] == 0


@pytest.mark.equation("eq-velocity-maps", "eq-score-maps")
@pytest.mark.parametrize("make", [*SCHEDULES, straight_schedule])
@each_map
def test_each_map_undoes_the_other(make, there, back):
    schedule = make(8)
    t = torch.arange(1, 8)  # at T the straight path has no signal
    x_t, x_0 = normal(7, 3, seed=1), normal(7, 3, seed=2)
    torch.testing.assert_close(back(schedule, x_t, there(schedule, x_t, x_0, t), t), x_0)
    torch.testing.assert_close(there(schedule, x_t, back(schedule, x_t, x_0, t), t), x_0)


@pytest.mark.equation("eq-velocity-maps", "eq-score-maps")
@pytest.mark.parametrize("make", [*SCHEDULES, straight_schedule])
def test_the_maps_find_what_x_t_was_made_of(make):
    schedule, t = make(8), torch.arange(1, 9)
    x_0, eps = normal(8, 3, seed=1), normal(8, 3, seed=2)
    x_t = sample_xt(schedule, x_0, eps, t)
    torch.testing.assert_close(velocity_from_x_0(schedule, x_t, x_0, t), eps - x_0)
    torch.testing.assert_close(x_0_from_velocity(schedule, x_t, eps - x_0, t), x_0)
    noise = schedule.amplitudes[1][t][:, None]
    torch.testing.assert_close(score_from_x_0(schedule, x_t, x_0, t), -eps / noise)


@pytest.mark.equation("eq-score-maps")
def test_the_score_of_the_best_guess_is_that_of_a_mixture():
    mixture, schedule = mixture_2d(), straight_schedule(9)
    x_t, t = normal(8, 2, seed=1), torch.arange(1, 9)
    a, sigma = (table[t] for table in schedule.amplitudes)
    found = score_from_x_0(schedule, x_t, mixture.x_0_mean(x_t, a, sigma), t)
    torch.testing.assert_close(found, mixture.score(x_t, a, sigma))


@pytest.mark.equation("eq-flow-velocity", "eq-flow-continuity")
def test_the_mean_velocity_moves_a_density_as_the_equation_says():
    # On the straight path of a mixture: the derivative in tau of the density at fixed points,
    # against the divergence of density times velocity, both by central differences.
    mixture, h = mixture_2d(), 1e-4
    x = 0.7 * normal(50, 2, seed=1)

    def density(x, tau):
        return mixture.log_prob(x, 1 - tau, tau).exp()

    def current(x, tau):
        x_0 = mixture.x_0_mean(x, 1 - tau, tau)
        return density(x, tau)[:, None] * ((x - (1 - tau) * x_0) / tau - x_0)

    for tau in (0.2, 0.5, 0.8):
        change = (density(x, tau + h) - density(x, tau - h)) / (2 * h)
        out = torch.zeros(50).double()
        for i in range(2):
            step = h * torch.eye(2).double()[i]
            out += (current(x + step, tau) - current(x - step, tau))[:, i] / (2 * h)
        torch.testing.assert_close(change, -out, rtol=1e-5, atol=1e-6)
        assert change.abs().max() > 0.01


@pytest.mark.equation("eq-flow-euler")
@pytest.mark.parametrize("make", [*SCHEDULES, straight_schedule])
def test_eulers_steps_along_the_velocity_are_those_of_ddim(make):
    schedule, x_T = make(7), normal(4, 3, seed=1)
    one = flow(schedule, velocity_of(schedule, guess), x_T)
    for a, b in zip(one, ddim(schedule, guess, x_T, 0.0), strict=True):
        assert a.t == b.t
        torch.testing.assert_close(a.x_s, b.x_s)
        torch.testing.assert_close(a.x_0_hat, b.x_0_hat)


@pytest.mark.equation("eq-flow-matching", "eq-flow-weight")
@pytest.mark.parametrize("make", [*SCHEDULES, straight_schedule])
def test_flow_matching_is_a_weighted_error_of_the_guess(make):
    schedule, t = make(8), torch.arange(1, 9)
    x_0, eps = normal(8, 3, seed=1), normal(8, 3, seed=2)
    network = lambda x_t, t: torch.sin(x_t)  # noqa: E731
    loss = flow_matching_loss(schedule, network, x_0, eps, t)
    weight = 1 / straight_times(schedule) ** 2
    guess = denoiser(schedule, network, x_0_from_velocity)
    torch.testing.assert_close(loss, denoising_loss(schedule, guess, x_0, eps, t, weight))
    root = schedule.snr[t].sqrt()
    torch.testing.assert_close(weight[t], (1 + root) ** 2)


@pytest.mark.equation("eq-curvature")
def test_curvature_is_none_on_straight_paths_and_the_variance_of_speed_on_others():
    schedule, x_T = straight_schedule(50), normal(6, 2, seed=1)
    still = curvature(schedule, lambda x, t: torch.ones_like(x), x_T)
    assert still == pytest.approx(0, abs=1e-12)
    # u = (1, t) has the mean d = (1, 25.5) and around it the variance of 1 to 50.
    speeds = lambda x, t: torch.stack([torch.ones(len(x)), t], 1).to(x)  # noqa: E731
    found = curvature(schedule, speeds, x_T)
    variance = torch.arange(1, 51).double().var(correction=0)
    assert found == pytest.approx(variance.item() / (1 + 25.5**2))


@pytest.mark.equation("eq-curvature")
def test_curvature_counts_steps_by_their_lengths():
    """A constant velocity has none, on uneven steps that end before all is noise, too."""
    schedule, x_T = linear_schedule(7), normal(6, 2, seed=1)
    lengths = straight_times(schedule).diff()
    assert lengths[-1] > 1.1 * lengths[0]
    assert straight_times(schedule)[-1] < 0.95
    for speed in (1.0, 0.1):
        found = curvature(schedule, lambda x, t, u=speed: torch.full_like(x, u), x_T)
        assert found == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_the_pairing_is_the_best_of_all(n):
    for seed in range(6):
        cost = normal(n, n, seed=seed).numpy()
        found = assignment(cost)
        rows = np.arange(n)
        best = min(cost[rows, list(order)].sum() for order in permutations(range(n)))
        assert sorted(found) == list(rows)
        assert cost[rows, found].sum() == pytest.approx(best)


def test_optimal_pairs_lie_in_one_order_on_a_line():
    x_0, eps = normal(40, 1, seed=1), normal(40, 1, seed=2)
    paired = eps[optimal_pairing(x_0, eps)]
    order = x_0[:, 0].argsort()
    assert (paired[order, 0].diff() > 0).all()


def test_the_same_pairs_are_found_whatever_is_added_and_whoever_comes_first():
    x_0, eps = normal(30, 2, seed=1), normal(30, 2, seed=2)
    assert torch.equal(optimal_pairing(x_0, eps), optimal_pairing(x_0 + 7, eps - 3))
    there, back = optimal_pairing(x_0, eps), optimal_pairing(eps, x_0)
    assert torch.equal(back[there], torch.arange(30))
    assert torch.equal(torch.arange(30), optimal_pairing(x_0, x_0 + 1e-3 * normal(30, 2, seed=3)))


def test_a_flow_of_a_mixture_ends_on_it():
    mixture, n = mixture_2d(), 4000
    schedule = straight_schedule(100)
    velocity = velocity_of(schedule, mixture.denoiser(schedule))
    x_0 = last(flow(schedule, velocity, torch.randn(n, 2, generator=seeded(1)).double()))
    mean, covariance = mixture.moments
    stderr = (covariance.diagonal() / n).sqrt()
    assert ((x_0.mean(0) - mean).abs() < 4 * stderr + 0.01).all()
    torch.testing.assert_close(torch.cov(x_0.T), covariance, atol=0.08, rtol=0)


def test_refusals():
    schedule, x = straight_schedule(3), normal(2, 3, seed=1)
    t = torch.tensor([1, 2])
    with pytest.raises(ValueError, match="expected equal shapes"):
        x_0_from_velocity(schedule, x, x[:1], t)
    with pytest.raises(ValueError, match="expected equal shapes"):
        optimal_pairing(x, x[:1])
    for cost in (np.zeros((2, 3)), np.zeros((3, 2)), np.full((2, 2), np.nan)):
        with pytest.raises(ValueError, match="expected a square matrix of finite costs"):
            assignment(cost)
    with pytest.raises(ValueError, match="T must be"):
        straight_schedule(0)
    for still in (cosine_schedule(5), straight_schedule(5)):
        with pytest.raises(ValueError, match="paths that lead somewhere"):
            curvature(still, lambda x_t, t: torch.zeros_like(x_t), x.float())
    for x_T, u in ((torch.zeros(2, 3), 0.0), (torch.full((1, 100), 10.0), 1e-3)):
        with pytest.raises(ValueError, match="paths that lead somewhere"):
            curvature(straight_schedule(5), lambda x_t, t, u=u: torch.full_like(x_t, u), x_T)
