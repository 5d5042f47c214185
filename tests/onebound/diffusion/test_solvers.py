import itertools
import math

import pytest
import torch
from test_samplers import guess, normal, seeded

from common import SCHEDULES, one_normal
from onebound.diffusion.denoisers import even_steps, respaced
from onebound.diffusion.samplers import ancestral, ddim, last
from onebound.diffusion.schedules import cosine_schedule, log_snr_schedule
from onebound.diffusion.solvers import (
    extrapolation,
    heun,
    karras_ratios,
    log_snr_ratios,
    multistep,
    nearest_steps,
    schedule_of,
)
from onebound.exact.gaussian import GaussianData
from onebound.exact.mixture import mixture_1d, mixture_2d
from onebound.exact.transport import carried, share_below
from onebound.studies import solvers as study

LOW, HIGH = 0.05, 20.0


def euler(schedule, denoise, x_T):
    return ddim(schedule, denoise, x_T, 0.0)


def ends(schedule):
    """Amplitudes of the last step and of the first."""
    return tuple(tuple(table[t].item() for table in schedule.amplitudes) for t in (-1, 1))


def at_first_step(steps):
    """x_1, before the step to x_0, which no method makes with more than one slope."""
    return next(step.x_s for step in steps if step.t == 2)


def slope(x, y):
    x, y = (torch.tensor(values).double().log() for values in (x, y))
    return (((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()).item()


@pytest.mark.equation("eq-heun", "eq-multistep", "eq-line-flow")
@pytest.mark.parametrize(
    ("solver", "order"), [(euler, 1), (heun, 2), (multistep, 2)], ids=lambda v: str(v)[:20]
)
@pytest.mark.parametrize("grid", [karras_ratios, log_snr_ratios])
def test_each_solver_has_its_order_on_a_mixture(solver, order, grid):
    mixture, errors, numbers = mixture_1d(), [], (100, 200, 400)
    for K in numbers:
        schedule = schedule_of(grid(K, LOW, HIGH))
        x_T = torch.special.ndtri(torch.linspace(0.02, 0.98, 25).double())[:, None]
        found = at_first_step(solver(schedule, mixture.denoiser(schedule), x_T))
        errors.append((found - carried(mixture, x_T, *ends(schedule))).square().mean().sqrt())
    assert slope(numbers, errors) == pytest.approx(-order, abs=0.1)
    assert errors[-1] < (1e-2 if order == 1 else 2e-4)


@pytest.mark.equation("eq-line-flow")
def test_a_path_of_normal_data_keeps_its_place_in_standard_deviations():
    one = one_normal([[0.3]], mean=0.7)
    x = normal(9, 1, seed=2)
    found = carried(one, x, (0.1, 0.9), (0.8, 0.4))
    before, after = (one.noised(0.1, 0.9).axes[0].sqrt(), one.noised(0.8, 0.4).axes[0].sqrt())
    expected = 0.8 * one.means + (x - 0.1 * one.means) / before * after
    torch.testing.assert_close(found, expected)
    assert share_below(one, 0.8 * one.means, 0.8, 0.4).item() == pytest.approx(0.5)


@pytest.mark.equation("eq-exponential-form", "eq-multistep")
def test_a_constant_guess_is_no_error_for_any_solver():
    # The path leads straight to the guess: after every step the noise is the one that was there.
    point, x_T = normal(1, 3, seed=1), normal(4, 3, seed=2)
    schedule = log_snr_schedule(5)
    eps = (x_T - schedule.amplitudes[0][5] * point) / schedule.amplitudes[1][5]
    for solver in (euler, heun, multistep):
        for step in solver(schedule, lambda x_t, t: point.expand_as(x_t), x_T):
            signal, noise = (table[step.t - 1] for table in schedule.amplitudes)
            torch.testing.assert_close(step.x_s, signal * point + noise * eps)


@pytest.mark.equation("eq-churn", "eq-multistep")
@pytest.mark.parametrize("make", SCHEDULES)
@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_with_a_constant_guess_the_multistep_method_is_ddim_noise_and_all(make, eta):
    point, x_T = normal(1, 3, seed=1), normal(4, 3, seed=2)
    denoise = lambda x_t, t: point.expand_as(x_t)  # noqa: E731
    one = multistep(make(7), denoise, x_T, eta, seeded(3))
    other = ddim(make(7), denoise, x_T, eta, seeded(3))
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a.x_s, b.x_s)


@pytest.mark.equation("eq-churn")
@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_a_step_with_fresh_noise_goes_too_far_and_adds_noise(eta):
    schedule, x_T = cosine_schedule(9), normal(20, 3, seed=1)
    rho = (schedule.noise_variance / schedule.alpha_bar).sqrt()
    x_t = x_T
    for step in ddim(schedule, guess, x_T, eta, seeded(2)):
        if step.t == 1:
            break
        signal_t, signal_s = (schedule.amplitudes[0][i] for i in (step.t, step.t - 1))
        down = rho[step.t - 1] * (1 - eta**2 * (1 - (rho[step.t - 1] / rho[step.t]) ** 2)).sqrt()
        slope = (x_t / signal_t - step.x_0_hat) / rho[step.t]
        landed = x_t / signal_t + (down - rho[step.t]) * slope
        added = step.x_s / signal_s - landed
        assert added.std().item() == pytest.approx(
            (rho[step.t - 1] ** 2 - down**2).sqrt().item(), rel=0.35
        )
        if eta == 1:
            assert down == pytest.approx((rho[step.t - 1] ** 2 / rho[step.t]).item())
        x_t = step.x_s


def test_two_steps_with_all_noise_fresh_are_ancestral():
    # With two steps the multistep method never has two guesses that it may use.
    schedule, x_T = cosine_schedule(2), normal(4, 3, seed=1)
    torch.testing.assert_close(
        last(multistep(schedule, guess, x_T, 1.0, seeded(2))),
        last(ancestral(schedule, guess, x_T, seeded(2))),
    )


@pytest.mark.equation("eq-multistep")
def test_the_multistep_method_extrapolates_to_the_middle_of_the_step():
    schedule = schedule_of(karras_ratios(6, LOW, HIGH))
    half = -0.5 * (schedule.noise_variance / schedule.alpha_bar).log()
    x_T = normal(4, 2, seed=1)
    steps = list(multistep(schedule, guess, x_T))
    for before, now in itertools.pairwise(steps[:-1]):
        t = now.t
        change = (now.x_0_hat - before.x_0_hat) / (half[t] - half[t + 1])
        middle = now.x_0_hat + change * (half[t - 1] - half[t]) / 2
        shrunk = (half[t] - half[t - 1]).exp()
        signal_t, signal_s = (schedule.amplitudes[0][i] for i in (t, t - 1))
        expected = shrunk * now.x_t / signal_t + (1 - shrunk) * middle
        torch.testing.assert_close(now.x_s, signal_s * expected)
    ahead = extrapolation(schedule)
    assert ahead[0] == ahead[1] == ahead[-1] == 0
    assert (ahead[2:-1] > 0).all()


@pytest.mark.equation("eq-heun")
def test_heun_takes_the_mean_of_two_slopes():
    schedule, x_T = schedule_of(karras_ratios(4, LOW, HIGH)), normal(5, 2, seed=1)
    rho = (schedule.noise_variance / schedule.alpha_bar).sqrt()
    for step in heun(schedule, guess, x_T):
        t, signal = step.t, schedule.amplitudes[0]
        scaled = step.x_t / signal[t]
        first = (scaled - guess(step.x_t, torch.full((5,), t))) / rho[t]
        there = scaled + (rho[t - 1] - rho[t]) * first
        if t > 1:
            second = guess(signal[t - 1] * there, torch.full((5,), t - 1))
            there = scaled + (rho[t - 1] - rho[t]) * (first + (there - second) / rho[t - 1]) / 2
        torch.testing.assert_close(step.x_s, signal[t - 1] * there)


@pytest.mark.parametrize("K", [1, 2, 5])
def test_evaluations_are_counted(K):
    calls = []

    def counted(x_t, t):
        calls.append(t[0].item())
        return guess(x_t, t)

    last(heun(log_snr_schedule(K), counted, normal(1, 1, seed=1)))
    assert len(calls) == 2 * K - 1
    calls.clear()
    last(multistep(log_snr_schedule(K), counted, normal(1, 1, seed=1)))
    assert calls == list(range(K, 0, -1))


def test_all_fresh_noise_gives_the_variance_of_normal_data():
    data = GaussianData(torch.zeros(1).double(), torch.full((1, 1), 0.3).double())
    n, schedule = 40_000, schedule_of(karras_ratios(60, 0.02, 50.0))
    x_0 = last(multistep(schedule, data.denoiser(schedule), normal(n, 1, seed=1), 1.0, seeded(2)))
    assert x_0.var().item() == pytest.approx(0.3, abs=4 * 0.3 * (2 / n) ** 0.5 + 0.003)


@pytest.mark.equation("eq-karras-grid")
def test_grids_rise_evenly_between_their_ends():
    for power in (1.0, 3.0, 7.0):
        ratios = karras_ratios(9, LOW, HIGH, power)
        torch.testing.assert_close(ratios[[0, -1]], torch.tensor([LOW, HIGH]).double())
        gaps = (ratios ** (1 / power)).diff()
        torch.testing.assert_close(gaps, gaps.mean().expand(8))
    log = log_snr_ratios(9, LOW, HIGH)
    torch.testing.assert_close(
        log.log().diff(), torch.full((8,), math.log(HIGH / LOW) / 8).double()
    )
    torch.testing.assert_close(karras_ratios(9, LOW, HIGH, 1e7), log, rtol=1e-4, atol=0)
    schedule = schedule_of(log)
    torch.testing.assert_close(schedule.snr[1:], log**-2)


def test_the_nearest_steps_are_near_and_different():
    schedule = cosine_schedule(1000)
    rho = (schedule.noise_variance / schedule.alpha_bar).sqrt()
    steps = nearest_steps(schedule, rho[[3, 90, 600, 1000]])
    assert steps.tolist() == [3, 90, 600, 1000]
    crowded = nearest_steps(schedule, karras_ratios(60, 0.006, 0.02))
    assert (crowded.diff() > 0).all()
    beyond = nearest_steps(schedule, log_snr_ratios(5, 1e5, 2e5))
    assert beyond.tolist() == [996, 997, 998, 999, 1000]
    for K in (5, 6):  # all steps but one, and all
        assert nearest_steps(log_snr_schedule(6), log_snr_ratios(K, 1e5, 2e5))[-1] == 6


def test_refusals():
    for eta in (1.5, -0.5):
        with pytest.raises(ValueError, match=r"eta must be in \[0, 1\], got"):
            last(multistep(cosine_schedule(3), guess, normal(1, 1, seed=1), eta))
    for low, high in ((0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (1.0, 1.0), (1.0, math.inf)):
        for grid in (karras_ratios, log_snr_ratios):
            with pytest.raises(ValueError, match="expected 0 < low < high"):
                grid(3, low, high)
    for power in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="power must be positive and finite, got"):
            karras_ratios(3, 1.0, 2.0, power)


def test_the_power_of_the_grid_is_that_of_the_paper_if_nothing_is_said():
    assert torch.equal(karras_ratios(5, LOW, HIGH), karras_ratios(5, LOW, HIGH, 7.0))


def test_the_multistep_method_starts_from_noise_alone():
    schedule = schedule_of(karras_ratios(6, LOW, HIGH))
    none = type(schedule)(torch.cat([schedule.alpha_bar, torch.zeros(1).double()]))
    x_T = normal(4, 2, seed=1)
    assert torch.isfinite(last(multistep(none, guess, x_T))).all()
    with pytest.raises(ValueError, match="Heun's method needs a ratio"):
        last(heun(none, guess, x_T))


def test_the_grids_of_the_study_are_of_its_size():
    for grid in ("roots", "log-SNR", "t"):
        for K in (5, 50):
            steps = study.kept_steps(grid, K)
            assert len(steps) == K
            assert (steps.diff() > 0).all()
    assert study.kept_steps("t", 10).tolist() == even_steps(1000, 10).tolist()
    assert respaced(cosine_schedule(1000), guess, study.kept_steps("roots", 10))[0].T == 10


@pytest.mark.parametrize(
    "ratios", [[2.0, 1.0], [0.0, 1.0], [-1.0, 1.0], [1.0] * 3, [1.0, 2.0, 3.0, 4.0]]
)
def test_ratios_that_do_not_rise_or_are_too_many_are_refused(ratios):
    with pytest.raises(ValueError, match=r"rise|ratios for"):
        nearest_steps(cosine_schedule(3), torch.tensor(ratios).double())


def test_paths_are_carried_on_a_line_and_within_reach():
    far = torch.tensor([[1e3]]).double()
    torch.testing.assert_close(carried(one_normal([[1e6]]), far, (1, 0), (1, 0)), far)
    # A place is looked for up to 1,000: those beyond end there.
    ends_at = carried(one_normal([[1.0]]), torch.tensor([[-1.0], [1.0]]).double(), (1, 0), (1e4, 0))
    torch.testing.assert_close(ends_at, torch.cat([-far, far]))
    with pytest.raises(ValueError, match="a mixture on a line, got 2 dimensions"):
        carried(mixture_2d(), torch.zeros(1, 2).double(), (1, 1), (1, 0))
    with pytest.raises(ValueError, match=r"within 1,000 of 0, got 1000\.5"):
        carried(mixture_1d(), torch.full((1, 1), 1000.5).double(), (1, 1), (1, 0))
