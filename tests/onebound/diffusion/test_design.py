"""The three numbers of a denoiser, and the chances and weights of its steps."""

import math

import pytest
import torch
from torch.distributions import Normal

from common import SCHEDULES
from onebound.diffusion.denoisers import denoiser
from onebound.diffusion.design import (
    Coefficients,
    best_chances,
    coefficients,
    karras_preconditioning,
    log_ratio_chances,
    preconditioned,
    preconditioning,
    second_moment,
    target,
    target_variance,
    weight_for,
)
from onebound.diffusion.flows import straight_schedule, straight_times, x_0_from_velocity
from onebound.diffusion.process import sample_xt, x_0_from_eps, x_0_from_v, x_0_from_x_0
from onebound.diffusion.schedules import cosine_schedule
from onebound.diffusion.solvers import schedule_of
from onebound.exact.gaussian import GaussianData

T = 12
STEPS = torch.arange(1, T + 1)
VARIANCES = [0.27, 1.0, 3.0]
each_schedule = pytest.mark.parametrize("make", SCHEDULES)
each_variance = pytest.mark.parametrize("variance", VARIANCES)


def normal(*shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def network(x, t):
    return torch.tanh(x) + 0.1 * t.to(x)[:, None]


@pytest.mark.equation("eq-design-form")
@each_schedule
@pytest.mark.parametrize(
    ("name", "x_0_from", "sign"),
    [
        ("eps", x_0_from_eps, -1),
        ("x_0", x_0_from_x_0, 1),
        ("v", x_0_from_v, -1),
        ("velocity", x_0_from_velocity, -1),
    ],
)
def test_every_output_is_a_choice_of_the_numbers(make, name, x_0_from, sign):
    schedule, x_t = make(T), normal(T, 3, seed=1)
    other = denoiser(schedule, lambda x, t: sign * network(x, t), x_0_from)
    found = preconditioned(schedule, network, coefficients(schedule)[name])(x_t, STEPS)
    torch.testing.assert_close(found, other(x_t, STEPS))


@pytest.mark.equation("eq-design-form")
def test_the_network_sees_the_scaled_image():
    schedule, x_t, seen = cosine_schedule(T), normal(T, 3, seed=1), []
    numbers = preconditioning(schedule, 0.27)

    def spy(x, t):
        seen.append((x, t))
        return x

    found = preconditioned(schedule, spy, numbers)(x_t, STEPS)
    ((x, t),) = seen
    skip, out, into = (table[1:, None] for table in numbers)
    torch.testing.assert_close(x, into * x_t)
    assert torch.equal(t, STEPS)
    torch.testing.assert_close(found, skip * x_t + out * into * x_t)


@pytest.mark.equation("eq-design-target")
@each_schedule
@each_variance
def test_a_network_that_says_the_target_finds_the_image(make, variance):
    schedule, x_0, eps = make(T), normal(T, 3, seed=1), normal(T, 3, seed=2)
    x_t = sample_xt(schedule, x_0, eps, STEPS)
    for numbers in [preconditioning(schedule, variance), *coefficients(schedule).values()]:
        said = target(numbers, x_t, x_0, STEPS)
        guess = preconditioned(schedule, lambda x, t, said=said: said, numbers)
        torch.testing.assert_close(guess(x_t, STEPS), x_0)
    # An error of the network is one of the guess, times c_out.
    numbers = preconditioning(schedule, variance)
    wrong = target(numbers, x_t, x_0, STEPS) + 1
    guess = preconditioned(schedule, lambda x, t: wrong, numbers)(x_t, STEPS)
    torch.testing.assert_close(guess - x_0, numbers.out[1:, None].expand(T, 3))


@pytest.mark.equation("eq-design-target")
def test_the_targets_have_their_names():
    schedule, x_0, eps = cosine_schedule(T), normal(T, 3, seed=1), normal(T, 3, seed=2)
    x_t = sample_xt(schedule, x_0, eps, STEPS)
    a, sigma = (table[1:, None] for table in schedule.amplitudes)
    wanted = {"eps": -eps, "x_0": x_0, "v": sigma * x_0 - a * eps, "velocity": x_0 - eps}
    for name, numbers in coefficients(schedule).items():
        torch.testing.assert_close(target(numbers, x_t, x_0, STEPS), wanted[name])


@pytest.mark.equation("eq-design-residual", "eq-design-edm", "eq-design-unit")
@each_schedule
@each_variance
def test_what_goes_in_and_out_has_unit_variance(make, variance):
    schedule, n = make(T), 40_000
    x_0 = math.sqrt(variance) * normal(n, 1, seed=3)
    numbers = preconditioning(schedule, variance)
    torch.testing.assert_close(
        target_variance(schedule, numbers, variance)[1:], torch.ones(T).double()
    )
    for step in (1, T // 2, T):
        t = torch.full((n,), step)
        x_t = sample_xt(schedule, x_0, normal(n, 1, seed=4), t)
        for squares in (
            (numbers.into[step] * x_t).square(),
            target(numbers, x_t, x_0, t).square(),
        ):
            assert abs(squares.mean().item() - 1) < 4 * math.sqrt(2 / n)


@pytest.mark.equation("eq-design-residual")
@each_schedule
@each_variance
def test_the_variance_of_a_target_is_that_of_examples(make, variance):
    schedule, n = make(T), 40_000
    x_0 = math.sqrt(variance) * normal(n, 1, seed=3)
    t = torch.full((n,), T // 2)
    x_t = sample_xt(schedule, x_0, normal(n, 1, seed=4), t)
    for numbers in coefficients(schedule).values():
        squares = target(numbers, x_t, x_0, t).square()
        known = target_variance(schedule, numbers, variance)[T // 2].item()
        assert abs(squares.mean().item() / known - 1) < 4 * math.sqrt(2 / n)


@pytest.mark.equation("eq-design-edm")
@each_schedule
@each_variance
def test_no_other_skip_leaves_a_network_less_to_do(make, variance):
    schedule = make(T)
    numbers = preconditioning(schedule, variance)

    def left(skip):
        ones = Coefficients(skip, torch.ones_like(skip), numbers.into)
        return target_variance(schedule, ones, variance)[1:]

    torch.testing.assert_close(left(numbers.skip), numbers.out[1:] ** 2)
    for change in (-0.01, 0.01):
        assert (left(numbers.skip + change) > left(numbers.skip)).all()


@pytest.mark.equation("eq-design-edm")
@each_schedule
@each_variance
def test_the_skip_alone_is_the_best_guess_of_normal_data(make, variance):
    schedule, x_t = make(T), normal(T, 1, seed=1)
    data = GaussianData(torch.zeros(1).double(), torch.full((1, 1), variance).double())
    numbers = preconditioning(schedule, variance)
    silent = preconditioned(schedule, lambda x, t: torch.zeros_like(x), numbers)
    torch.testing.assert_close(silent(x_t, STEPS), data.denoiser(schedule)(x_t, STEPS))


@pytest.mark.equation("eq-design-precision", "eq-design-v")
@each_schedule
@each_variance
def test_precisions_add_up_and_v_is_the_case_of_unit_variance(make, variance):
    schedule = make(T)
    out = preconditioning(schedule, variance).out[1:]
    torch.testing.assert_close(1 / out**2, 1 / variance + schedule.snr[1:])
    one, v = preconditioning(schedule), coefficients(schedule)["v"]
    torch.testing.assert_close(one.skip, v.skip)
    torch.testing.assert_close(one.out, v.out)
    torch.testing.assert_close(one.into, torch.ones(T + 1).double())


@pytest.mark.equation("eq-design-karras")
@each_variance
def test_the_image_that_is_not_scaled_down_has_the_same_guess(variance):
    ratios = torch.linspace(0.05, 20, T).double()
    schedule = schedule_of(ratios)
    signal = schedule.amplitudes[0][1:]
    skip, out, into = karras_preconditioning(ratios, variance)
    numbers = preconditioning(schedule, variance)
    torch.testing.assert_close(skip, signal * numbers.skip[1:])  # it multiplies x_t / signal
    torch.testing.assert_close(out, numbers.out[1:])
    torch.testing.assert_close(into, signal * numbers.into[1:])


def test_the_numbers_of_karras_table():
    """A value that anyone can work out by hand: the ratio 1 and a variance of a quarter."""
    found = karras_preconditioning(torch.ones(1).double(), 0.25)
    wanted = [0.2, math.sqrt(0.2), math.sqrt(0.8)]
    assert [part.item() for part in found] == pytest.approx(wanted)


@pytest.mark.equation("eq-design-log-normal", "eq-design-logit")
@pytest.mark.parametrize(("mean", "deviation"), [(-1.2, 1.2), (0.0, 1.0)])
def test_chances_are_those_of_the_nearest_step(mean, deviation):
    schedule = cosine_schedule(20)
    chances = log_ratio_chances(schedule, mean, deviation)
    assert chances[0] == 0
    assert chances.sum().item() == pytest.approx(1)
    n = 200_000
    drawn = -2 * (mean + deviation * normal(n, seed=1))  # log-SNR
    nearest = (drawn[:, None] - schedule.log_snr[1:]).abs().argmin(1)
    shares = nearest.bincount(minlength=20) / n
    assert ((shares - chances[1:]).abs() < 4 * (chances[1:] / n).sqrt() + 4 / n).all()
    # The same is logit-normal in tau.
    tau = straight_times(schedule)[1:]
    torch.testing.assert_close(torch.logit(tau), -schedule.log_snr[1:] / 2)


def test_chances_tend_to_a_density():
    schedule = straight_schedule(2001)
    fine = log_ratio_chances(schedule, -1.2, 1.2)[1000:1500]
    log_ratio = -schedule.log_snr[1000:1500] / 2
    width = (log_ratio[2:] - log_ratio[:-2]) / 2
    density = Normal(-1.2, 1.2).log_prob(log_ratio[1:-1]).exp()
    torch.testing.assert_close(fine[1:-1], density * width, rtol=1e-5, atol=0)


@pytest.mark.equation("eq-design-even")
def test_even_steps_of_the_cosine_schedule_have_a_bell_in_log_snr():
    schedule = cosine_schedule(4000, offset=0.0)
    log_snr = schedule.log_snr[1:-1]
    found = 1 / (4000 * (log_snr[:-2] - log_snr[2:]) / 2)
    known = 1 / (2 * math.pi * torch.cosh(log_snr[1:-1] / 2))
    torch.testing.assert_close(found[10:-10], known[10:-10], rtol=1e-2, atol=0)
    u = torch.arange(1, 4000).double() / 4000
    torch.testing.assert_close(log_snr, -2 * torch.log(torch.tan(math.pi * u / 2)))


EFFECTIVE = torch.tensor([0.0, 0.5, 1.0, 2.0, 0.0]).double()
CHANCES = torch.tensor([0.0, 0.1, 0.2, 0.7, 0.0]).double()
SQUARES = torch.tensor([0.0, 4.0, 1.0, 0.25, 9.0]).double()


@pytest.mark.equation("eq-design-effective", "eq-design-variance")
def test_chances_change_the_scatter_and_not_the_mean():
    """Against draws: an estimate at a random step is normal with the step's number as its mean."""
    weight = weight_for(EFFECTIVE, CHANCES)
    torch.testing.assert_close(weight * CHANCES, EFFECTIVE)
    n = 400_000
    t = torch.multinomial(CHANCES, n, True, generator=torch.Generator().manual_seed(1))
    means = torch.arange(5).double() / 3
    single = means[t] + (SQUARES - means**2).clamp(min=0).sqrt()[t] * normal(n, seed=2)
    squares = torch.maximum(SQUARES, means**2)
    values = weight[t] * single
    error = values.std().item() / math.sqrt(n)
    assert abs(values.mean().item() - (EFFECTIVE * means).sum().item()) < 4 * error
    found = values.square()
    known = second_moment(EFFECTIVE, CHANCES, squares).item()
    assert abs(found.mean().item() - known) < 4 * found.std().item() / math.sqrt(n)


@pytest.mark.equation("eq-design-best-chances")
def test_no_other_chances_scatter_less():
    best = best_chances(EFFECTIVE, SQUARES)
    assert best.sum().item() == pytest.approx(1)
    least = second_moment(EFFECTIVE, best, SQUARES)
    torch.testing.assert_close(least, (EFFECTIVE * SQUARES.sqrt()).sum() ** 2)
    for seed in range(20):
        other = best * torch.exp(normal(5, seed=seed) / 10)
        assert second_moment(EFFECTIVE, other / other.sum(), SQUARES) >= least


def test_what_makes_no_sense_is_refused():
    schedule = cosine_schedule(T)
    for wrong in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="variance must be finite and above 0"):
            preconditioning(schedule, wrong)
        with pytest.raises(ValueError, match="variance must be finite and above 0"):
            karras_preconditioning(torch.ones(1).double(), wrong)
        with pytest.raises(ValueError, match="deviation must be finite and above 0"):
            log_ratio_chances(schedule, 0.0, wrong)
    with pytest.raises(ValueError, match="has no chance"):
        weight_for(EFFECTIVE, torch.tensor([0.0, 0.0, 0.2, 0.8, 0.0]).double())
    for least in (0.0, -0.1):
        chances = torch.tensor([0.0, least, 0.2, 0.8, 0.0]).double()
        for value in (1.0, -1.0):
            with pytest.raises(ValueError, match="has no chance"):
                weight_for(torch.tensor([0.0, value, 1.0, 1.0, 0.0]).double(), chances)
    with pytest.raises(ValueError, match="effective"):
        weight_for(EFFECTIVE[1:], CHANCES)


def test_data_have_unit_variance_if_nothing_is_said():
    schedule, ratios = cosine_schedule(T), torch.linspace(0.05, 20, T).double()
    for found, wanted in (
        (preconditioning(schedule), preconditioning(schedule, 1.0)),
        (karras_preconditioning(ratios), karras_preconditioning(ratios, 1.0)),
    ):
        assert all(torch.equal(*pair) for pair in zip(found, wanted, strict=True))
    numbers = coefficients(schedule)["v"]
    found, wanted = (target_variance(schedule, numbers, *one)[1:] for one in ((), (1.0,)))
    assert torch.equal(found, wanted)


def test_what_does_not_count_has_no_weight():
    chances = torch.tensor([0.0, 0.0, 0.5, 0.5]).double()
    wanted = torch.tensor([0.0, 0.0, 0.0, 2.0]).double()
    assert torch.equal(weight_for(torch.tensor([0.0, 0.0, 0.0, 1.0]).double(), chances), wanted)
