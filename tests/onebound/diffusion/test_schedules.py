import math
from dataclasses import FrozenInstanceError

import pytest
import torch

from common import SCHEDULES
from onebound.diffusion.schedules import (
    Schedule,
    at,
    cosine_schedule,
    linear_schedule,
    log_snr_schedule,
    schedule_from_beta,
)

# A new schedule gets a place in `common.SCHEDULES`: every test that takes `make` then holds for it.


def number(value):
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize("make", SCHEDULES)
@pytest.mark.parametrize("T", [1, 2, 50, 1000, 4000])
def test_every_schedule_at_every_length(make, T):
    schedule = make(T)
    assert schedule.T == T
    for name in ("alpha_bar", "alpha_bar_s", "alpha", "beta", "beta_tilde", "snr", "log_snr"):
        values = getattr(schedule, name)
        assert values.shape == (T + 1,), name
        assert values.dtype == torch.float64, name
        assert torch.isfinite(values[1:]).all(), name
    assert schedule.alpha_bar[0] == schedule.alpha[0] == 1
    assert schedule.beta[0] == schedule.beta_tilde[0] == schedule.beta_tilde[1] == 0
    assert schedule.snr[0] == schedule.log_snr[0] == math.inf
    assert ((schedule.beta[1:] > 0) & (schedule.beta[1:] <= 0.999 + 1e-12)).all()
    assert (schedule.snr.diff() < 0).all()
    assert (schedule.beta_tilde[2:] > 0).all()
    assert (schedule.beta_tilde[1:] <= schedule.beta[1:]).all()


@pytest.mark.equation("eq-q-step", "eq-alpha-bar", "eq-snr", "eq-posterior-variance")
@pytest.mark.parametrize("make", SCHEDULES)
def test_what_is_derived_obeys_its_definition(make):
    schedule = make(100)
    torch.testing.assert_close(schedule.alpha + schedule.beta, torch.ones(101).double())
    torch.testing.assert_close(torch.cumprod(schedule.alpha, 0), schedule.alpha_bar)
    assert torch.equal(schedule.alpha_bar_s[1:], schedule.alpha_bar[:-1])
    torch.testing.assert_close(torch.sigmoid(schedule.log_snr), schedule.alpha_bar)
    torch.testing.assert_close(torch.exp(schedule.log_snr), schedule.snr)
    # beta_tilde by adding precisions: of x_s given x_0, and of x_t given x_s.
    s_given_0, t_given_s = 1 / (1 - schedule.alpha_bar[1:-1]), (schedule.alpha / schedule.beta)[2:]
    torch.testing.assert_close(schedule.beta_tilde[2:], 1 / (s_given_0 + t_given_s))


@pytest.mark.equation("eq-alpha-bar", "eq-linear-schedule")
def test_the_schedule_of_ho_jain_and_abbeel():
    schedule = linear_schedule(1000)
    assert schedule.alpha_bar[1000].item() == pytest.approx(4.0358e-5, rel=1e-5)
    assert schedule.beta[1].item() == pytest.approx(1e-4, rel=1e-9)
    assert schedule.beta[1000].item() == pytest.approx(0.02, rel=1e-9)
    assert schedule.beta_tilde[488].item() == pytest.approx(0.0097916, rel=1e-5)
    assert schedule.beta_tilde[1000].item() == pytest.approx(0.01999998, rel=2e-7)


def test_a_linear_schedule_made_for_1000_steps_leaves_signal_after_200():
    assert linear_schedule(200).alpha_bar[200].item() == pytest.approx(0.13, abs=0.005)


@pytest.mark.equation("eq-cosine-schedule")
def test_the_cosine_schedule_is_the_squared_cosine_until_it_is_clipped():
    T, offset = 50, 0.008
    schedule = cosine_schedule(T)
    t = torch.arange(T)  # the last step is the clipped one
    phase = torch.pi / 2 * (t / T + offset) / (1 + offset)
    expected = (phase.double().cos() / math.cos(math.pi / 2 * offset / (1 + offset))) ** 2
    torch.testing.assert_close(schedule.alpha_bar[:T], expected, rtol=1e-5, atol=0)
    assert schedule.beta[T].item() == pytest.approx(0.999, rel=1e-12)
    assert schedule.alpha_bar[T] / schedule.alpha_bar[T - 1] == pytest.approx(0.001, rel=1e-9)
    wide = cosine_schedule(T, offset=0.1)
    assert wide.beta[1] > schedule.beta[1]


@pytest.mark.equation("eq-log-snr-schedule")
def test_the_log_snr_schedule_is_a_straight_line_between_fixed_ends():
    for T in (3, 301):
        schedule = log_snr_schedule(T, first=7.0, last=-3.0)
        expected = torch.linspace(7, -3, T, dtype=torch.float64)
        torch.testing.assert_close(schedule.log_snr[1:], expected)
    assert log_snr_schedule(10).log_snr[1].item() == pytest.approx(13.3, rel=1e-9)
    assert log_snr_schedule(10).log_snr[10].item() == pytest.approx(-5, rel=1e-9)


@pytest.mark.parametrize("step", [1e-12, 1e-9, 1e-4])
def test_small_steps_keep_their_digits(step):
    schedule = Schedule(number([1.0, 1 - step, (1 - step) - step]))
    taken = -schedule.alpha_bar.diff()  # what is left of `step` in float64
    torch.testing.assert_close(schedule.beta[1], taken[0], rtol=1e-15, atol=0)
    torch.testing.assert_close(
        schedule.log_snr[1], (schedule.alpha_bar[1] / taken[0]).log(), rtol=1e-15, atol=0
    )
    beta_1, beta_2 = schedule.beta[1:].tolist()
    together = taken.sum().item()  # 1 - alpha_bar_2
    assert schedule.beta_tilde[2].item() == pytest.approx(
        beta_1 / together * beta_2, rel=1e-15, abs=0
    )


def test_a_schedule_cannot_be_changed_and_is_equal_to_itself_only():
    schedule = linear_schedule(3)
    with pytest.raises(FrozenInstanceError):
        schedule.alpha_bar = schedule.beta
    assert schedule != linear_schedule(3)  # and no comparison of tensors, which has no truth value


def test_all_signal_may_be_gone_at_the_end():
    schedule = Schedule(number([1.0, 0.5, 0.0]))
    assert schedule.beta[2] == 1
    assert schedule.snr[2] == 0
    assert schedule.beta_tilde[2] == 0.5


def test_at_gives_each_example_its_number_in_the_type_of_the_data():
    values, t = number([0.0, 0.1, 0.2, 0.3]), torch.tensor([3, 1])
    looked_up = at(values, t, torch.zeros(2, 1, 5, 5))
    assert looked_up.dtype == torch.float32
    assert torch.equal(looked_up, torch.tensor([0.3, 0.1]).reshape(2, 1, 1, 1))
    assert at(values, t, torch.zeros(2, 7).double()).shape == (2, 1)


X = torch.zeros(2, 1, 28, 28)


@pytest.mark.parametrize(
    ("t", "x", "message"),
    [
        (torch.tensor([0, 1]), X, "from 1 to 3, got 0 to 1"),
        (torch.tensor([2, 4]), X, "from 1 to 3, got 2 to 4"),
        (torch.tensor([-1, 2]), X, "from 1 to 3, got -1 to 2"),
        (torch.tensor([1.0, 2.0]), X, "torch.int64, got torch.float32"),
        (torch.tensor([1, 2], dtype=torch.int32), X, "torch.int64, got torch.int32"),
        (torch.tensor([1, 2, 3]), X, r"each of 2 examples, got shape \(3,\)"),
        (torch.tensor(1), X, r"each of 2 examples, got shape \(\)"),
        (torch.tensor([[1], [2]]), X, r"each of 2 examples, got shape \(2, 1\)"),
        (torch.tensor([1, 2]), X.byte(), "torch.uint8.*onebound.data.images.to_signed"),
        (torch.zeros(0, dtype=torch.int64), X[:0], "each of 0 examples"),
    ],
)
def test_steps_that_are_none_are_refused_and_named(t, x, message):
    with pytest.raises(ValueError, match=message):
        at(number([1.0, 0.9, 0.5, 0.1]), t, x)


@pytest.mark.parametrize(
    ("alpha_bar", "message"),
    [
        (number([1.0, 0.5, 0.6]), "fall at every step, got 0.5 at t = 1 and 0.6 at t = 2"),
        (number([1.0, 1.0]), "fall at every step, got 1 at t = 0 and 1 at t = 1"),
        (number([0.9, 0.5]), "must be 1 at t = 0, got 0.9"),
        (number([1.1, 0.5]), "must be 1 at t = 0, got 1.1"),
        (number([1.0, 0.5, -0.1]), r"in \[0, 1\], got -0.1"),
        (number([1.0, 0.5, math.nan]), "NaN at t = 2"),
        (number([math.nan, 0.5]), "NaN at t = 0"),
        (number([1.0]), r"with T >= 1, got torch.float64 of shape \(1,\)"),
        (number(1.0), r"got torch.float64 of shape \(\)"),
        (torch.tensor([1.0, 0.5]), "torch.float64 of shape .*got torch.float32"),
    ],
)
def test_alpha_bar_that_is_no_schedule_is_refused_and_named(alpha_bar, message):
    with pytest.raises(ValueError, match=message):
        Schedule(alpha_bar)


@pytest.mark.parametrize(
    ("beta", "message"), [(0.0, "fall"), (-0.1, "fall"), (1.1, r"\[0, 1\]"), (math.nan, "NaN")]
)
def test_betas_that_are_none_are_refused(beta, message):
    with pytest.raises(ValueError, match=message):
        schedule_from_beta(number([0.1, beta]))


@pytest.mark.parametrize("make", SCHEDULES)
@pytest.mark.parametrize("T", [0, -1, 2.0])
def test_a_number_of_steps_that_is_none_is_refused(make, T):
    with pytest.raises(ValueError, match="T must be a whole number of at least 1"):
        make(T)


@pytest.mark.equation("eq-relative-weight", "eq-v-relative-weight")
def test_relative_to_the_bound_the_loss_of_v_weighs_by_the_root_of_the_inverse_snr():
    schedule = cosine_schedule(100_000, offset=0)
    middle = slice(1000, 99_000)  # the end is clipped
    snr = schedule.snr[1:].mul(schedule.snr[:-1]).sqrt()[middle]  # in the middle of each step
    slope = 1 / (-schedule.log_snr.diff() * schedule.T)[middle]
    torch.testing.assert_close(
        (snr + 1) / snr * slope, torch.exp(-0.5 * snr.log()) / math.pi, rtol=1e-6, atol=0
    )
