"""Control against exact oracles: mixtures whose posteriors are known."""

import math
import re
from dataclasses import FrozenInstanceError

import pytest
import torch

from common import Watch, one_normal
from onebound.checks import trusted
from onebound.diffusion.control import (
    Observation,
    bayes_reach,
    by_distance,
    guided_and_weighed,
    guided_by_step,
    interval,
    normal_spread,
    replaced,
    steered,
    step_reach,
    through_the_guess,
)
from onebound.diffusion.denoisers import guided
from onebound.diffusion.process import weight_of_x_0
from onebound.diffusion.samplers import ancestral, ddim, last
from onebound.diffusion.schedules import Schedule, cosine_schedule, log_snr_schedule
from onebound.distributions import noise_like
from onebound.exact.mixture import Mixture, mixture_2d

T = 20
SCHEDULE = log_snr_schedule(T)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed):
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


def part(mixture, clusters):
    weights = mixture.weights[clusters]
    return Mixture(weights / weights.sum(), mixture.means[clusters], mixture.covariances[clusters])


def log_class(mixture, schedule, clusters):
    """The exact log q(y|x_t) of the class that is made of some clusters."""
    signal, noise = schedule.amplitudes

    def log_prob(x_t, t, x_0_hat):
        return mixture.responsibilities(x_t, signal[t], noise[t])[:, clusters].sum(1).log()

    return log_prob


@pytest.mark.equation("eq-steered", "eq-label-score")
def test_a_denoiser_steered_by_the_exact_classifier_is_that_of_the_class():
    mixture, clusters = mixture_2d(), [0, 4]
    x_t, t = normal(T, 2, seed=0), torch.arange(1, T + 1)
    log_prob = log_class(mixture, SCHEDULE, clusters)
    found = steered(mixture.denoiser(SCHEDULE), log_prob, bayes_reach(SCHEDULE))(x_t, t)
    torch.testing.assert_close(found, part(mixture, clusters).denoiser(SCHEDULE)(x_t, t))
    assert not found.requires_grad


@pytest.mark.equation("eq-steered", "eq-label-guidance")
def test_more_reach_is_guidance_by_labels():
    mixture, clusters, w = mixture_2d(), [0, 4], 2.5
    x_t, t = normal(T, 2, seed=1), torch.arange(1, T + 1)
    denoise, log_prob = mixture.denoiser(SCHEDULE), log_class(mixture, SCHEDULE, clusters)
    found = steered(denoise, log_prob, w * bayes_reach(SCHEDULE))(x_t, t)
    told = part(mixture, clusters).denoiser(SCHEDULE)
    torch.testing.assert_close(found, guided(told, denoise, w)(x_t, t))


def test_no_slope_reaches_x_0_from_noise_alone():
    with pytest.raises(ValueError, match="take a schedule that leaves some signal"):
        bayes_reach(Schedule(torch.tensor([1.0, 0.5, 0.0]).double()))


@pytest.mark.equation("eq-guidance")
def test_guidance_by_step_has_the_strength_of_its_step():
    x_t, t = normal(T, 2, seed=2), torch.arange(1, T + 1)
    good, worse = (lambda x, t: 2 * x), (lambda x, t: -x)
    strength = interval(T, 3.0, 5, 10)
    found = guided_by_step(good, worse, strength)(x_t, t)
    inside = (t > 5) & (t <= 10)
    torch.testing.assert_close(found[inside], guided(good, worse, 3.0)(x_t, t)[inside])
    torch.testing.assert_close(found[~inside], good(x_t, t)[~inside])
    assert strength[inside.nonzero()[:, 0] + 1].tolist() == [3.0] * 5
    assert len(strength) == T + 1


@pytest.mark.equation("eq-guided-density", "eq-guided-variance")
@pytest.mark.parametrize(
    "w", [pytest.param(0.5, marks=pytest.mark.slow), pytest.param(2.0, marks=pytest.mark.slow), 3.0]
)
def test_the_weights_turn_the_guided_density_into_the_product(w):
    one, other = 0.3, 0.5
    schedule = log_snr_schedule(1000, 10, -8)  # its steps err by half of what is allowed
    denoisers = (one_normal([[v]]).denoiser(schedule) for v in (one, other))
    x_T = torch.tensor([[0.0], [1.0], [-2.0]]).double()
    x_0, nats = guided_and_weighed(schedule, *denoisers, w, x_T)
    drawn = one**w / other ** (w - 1)
    product = 1 / (w / one - (w - 1) / other)
    torch.testing.assert_close(x_0[1, 0] ** 2, torch.tensor(drawn).double(), rtol=0.01, atol=0)
    expected = x_0[:, 0] ** 2 / 2 * (1 / drawn - 1 / product)
    torch.testing.assert_close(nats, expected, rtol=0.01, atol=1e-9)


@pytest.mark.equation("eq-guided-density")
def test_the_weight_of_a_single_step_is_the_price_of_the_difference_there():
    schedule, w = Schedule(torch.tensor([1.0, 0.4]).double()), 3.0
    x_T, root = normal(4, 2, seed=31), torch.ones((), requires_grad=True)
    x_0, nats = guided_and_weighed(
        schedule, lambda x, t: root * 0.5 * x, lambda x, t: -0.25 * x, w, x_T
    )
    # The difference is 0.75 x_T: its square over 2 (1 - alpha_bar)^2, times 1 - alpha_bar.
    expected = w * (w - 1) * (0.75 * x_T).square().sum(1) / (2 * 0.6)
    torch.testing.assert_close(nats, expected)
    assert not x_0.requires_grad
    assert not nats.requires_grad


@pytest.mark.equation("eq-guided-density")
@pytest.mark.slow
def test_weighted_draws_of_a_guided_mixture_have_the_moments_of_the_product():
    deviation = torch.full((2, 1, 1), 0.25).double()
    both = Mixture(
        torch.tensor([0.5, 0.5]).double(), torch.tensor([[-1.0], [1.0]]).double(), deviation
    )
    right = part(both, [1])
    schedule, w = log_snr_schedule(200, 12, -12), 1.5
    x_T = normal(20_000, 1, seed=3)
    x_0, nats = guided_and_weighed(
        schedule, right.denoiser(schedule), both.denoiser(schedule), w, x_T
    )
    lattice = torch.linspace(-4, 5, 4001).double()[:, None]
    log_product = w * right.log_prob(lattice) - (w - 1) * both.log_prob(lattice)
    expected = (log_product.softmax(0) @ lattice)[0]
    weight = nats.softmax(0)
    mean = weight @ x_0[:, 0]
    error = (weight**2 @ (x_0[:, 0] - mean) ** 2).sqrt()
    assert error < 0.03
    assert (mean - expected).abs() < 4 * error
    assert (x_0[:, 0].mean() - expected).abs() > 8 * error  # without the weights it is another


OPERATORS = {
    "half": torch.tensor([[1.0, 0.0]]).double(),
    "mean": torch.tensor([[0.5, 0.5]]).double(),
    "blur": torch.tensor([[0.7, 0.3], [0.3, 0.7]]).double(),
}


@pytest.mark.equation("eq-through-guess", "eq-spread")
@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
@pytest.mark.parametrize("variance", [1.0, 0.4])
def test_the_spread_of_normal_data_gives_the_exact_posterior_of_normal_data(operator, variance):
    data, sigma = one_normal(variance * torch.eye(2)), 0.3
    y = normal(1, len(operator), seed=4)
    x_t, t = normal(T, 2, seed=5), torch.arange(1, T + 1)
    observation = Observation(operator, y.expand(T, -1), sigma)
    log_prob = through_the_guess(observation, normal_spread(SCHEDULE, variance))
    found = steered(data.denoiser(SCHEDULE), log_prob, bayes_reach(SCHEDULE))(x_t, t)
    exact = data.posterior(y[0], operator, sigma).denoiser(SCHEDULE)(x_t, t)
    torch.testing.assert_close(found, exact)


@pytest.mark.equation("eq-through-guess")
def test_what_is_wanted_through_the_guess_is_a_normal_density():
    operator, sigma = OPERATORS["blur"], 0.3
    y, x_0_hat, t = normal(3, 2, seed=32), normal(3, 2, seed=33), torch.tensor([1, 5, T])
    spread = normal_spread(SCHEDULE)
    log_prob = through_the_guess(Observation(operator, y, sigma), spread)
    covariance = spread[t, None, None] * (operator @ operator.T) + sigma**2 * torch.eye(2)
    exact = torch.distributions.MultivariateNormal(x_0_hat @ operator.T, covariance)
    expected = exact.log_prob(y) - exact.log_prob(exact.mean)
    torch.testing.assert_close(log_prob(torch.zeros(3, 2).double(), t, x_0_hat), expected)


def test_the_spread_is_that_of_a_variance_of_1_by_default():
    torch.testing.assert_close(normal_spread(SCHEDULE), normal_spread(SCHEDULE, 1.0))
    assert (normal_spread(SCHEDULE, 2.0)[1:] > normal_spread(SCHEDULE)[1:]).all()


@pytest.mark.equation("eq-through-guess")
def test_without_a_spread_the_pull_is_too_strong_by_what_the_guess_does_not_know():
    data, sigma = one_normal([[1.0]]), 0.3
    y, x_t, t = torch.ones(T, 1).double(), normal(T, 1, seed=6), torch.arange(1, T + 1)
    observation, denoise = Observation(torch.ones(1, 1).double(), y, sigma), data.denoiser(SCHEDULE)
    spread = normal_spread(SCHEDULE)
    pulls = [
        steered(denoise, through_the_guess(observation, s), bayes_reach(SCHEDULE))(x_t, t)
        - denoise(x_t, t)
        for s in (torch.zeros(T + 1).double(), spread)
    ]
    torch.testing.assert_close(pulls[0] / pulls[1], (1 + spread[1:, None] / sigma**2))


@pytest.mark.equation("eq-dps")
def test_a_step_along_the_distance_has_the_size_that_was_asked_for():
    mixture, size = mixture_2d(), 0.3
    x_T, y = normal(6, 2, seed=7), normal(6, 1, seed=8)
    observation = Observation(OPERATORS["half"], y, 0.0)
    denoise = mixture.denoiser(SCHEDULE)
    towards = steered(denoise, by_distance(observation), step_reach(SCHEDULE, size))
    plain, moved = (next(ancestral(SCHEDULE, d, x_T, generator(9))) for d in (denoise, towards))
    x = x_T.clone().requires_grad_()
    distance = (y - denoise(x, torch.full((6,), T)) @ OPERATORS["half"].T).norm(dim=1)
    (slope,) = torch.autograd.grad(distance.sum(), x)
    torch.testing.assert_close(moved.x_s, plain.x_s - size * slope)
    torch.testing.assert_close(step_reach(SCHEDULE, size)[T], size / weight_of_x_0(SCHEDULE)[T])


def test_a_reach_stays_finite_where_the_guess_has_next_to_no_weight():
    reach = step_reach(Schedule(torch.tensor([1.0, 1e-30, 0.0]).double()), 0.3)
    assert reach[1:].tolist() == pytest.approx([0.3, 0.3e12])


@pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)
def test_putting_in_changes_what_the_operator_sees_and_nothing_else(operator):
    x, known = normal(4, 2, seed=10), normal(4, 2, seed=11)
    observation = Observation(operator, known @ operator.T, 0.0)
    mixed = observation.put_in(x, known)
    torch.testing.assert_close(mixed @ operator.T, known @ operator.T)
    assert observation.misfit(mixed).abs().max() < 1e-12
    assert observation.misfit(observation.least(x)).abs().max() < 1e-12
    if operator is OPERATORS["mean"]:  # what it does not see
        unseen = torch.tensor([1.0, -1.0]).double()
        torch.testing.assert_close(mixed @ unseen, x @ unseen)
        assert (observation.least(x) @ unseen).abs().max() < 1e-12
    torch.testing.assert_close(observation.put_in(mixed, known), mixed)


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_a_direction_counts_as_seen_by_its_share_of_the_largest_scale(scale):
    operator = scale * normal(3, 2, seed=34) @ normal(2, 3, seed=35)  # of rank 2
    x = normal(4, 3, seed=36)
    observation = Observation(operator, x @ operator.T, 0.0)
    assert [len(found) for found in observation.parts] == [2, 2, 2]
    torch.testing.assert_close(
        observation.least(x), x @ operator.T @ torch.linalg.pinv(operator, rtol=1e-6).T
    )
    blind = Observation(torch.zeros(1, 3).double(), torch.zeros(4, 1).double(), 0.0)
    assert blind.put_in(x, -x).equal(x)
    assert blind.least(x).equal(torch.zeros_like(x))


@pytest.mark.equation("eq-replaced")
def test_each_step_holds_what_is_known_under_its_noise():
    n, y = 20_000, 1.5
    data = one_normal([[1.0, 0.0], [0.0, 0.2]])
    observation = Observation(OPERATORS["half"], torch.full((n, 1), y).double(), 0.0)
    x_T = normal(n, 2, seed=12)
    steps = list(replaced(SCHEDULE, data.denoiser(SCHEDULE), x_T, observation, 1, generator(13)))
    for step in steps[:-1]:
        alpha_bar = SCHEDULE.alpha_bar[step.t - 1]
        seen = step.x_s[:, 0]
        error = ((1 - alpha_bar) / n) ** 0.5
        assert (seen.mean() - alpha_bar.sqrt() * y).abs() < 4 * error
        assert (seen.var() / (1 - alpha_bar) - 1).abs() < 4 * (2 / n) ** 0.5
    x_0 = steps[-1].x_s
    assert (x_0[:, 0] - y).abs().max() < 1e-12
    plain = last(ancestral(SCHEDULE, data.denoiser(SCHEDULE), x_T, generator(14)))
    # What is independent of the known is drawn as if nothing were known.
    assert (x_0[:, 1].var() / plain[:, 1].var() - 1).abs() < 4 * (4 / n) ** 0.5


def test_replacing_takes_each_step_once_by_default_checks_the_first_and_keeps_no_gradients():
    observation = Observation(OPERATORS["half"], normal(3, 1, seed=37), 0.0)
    x_T = normal(3, 2, seed=38)
    trust, root = [], torch.ones((), requires_grad=True)

    def denoise(x, t):
        trust.append(trusted())
        return root * 0.5 * x

    schedule = cosine_schedule(3)
    found = last(replaced(schedule, denoise, x_T, observation, generator=generator(39)))
    assert trust == [False, True, True]
    assert not found.requires_grad
    once = last(replaced(schedule, denoise, x_T, observation, 1, generator(39)))
    assert found.equal(once)


def test_the_last_step_draws_no_noise_for_what_is_known():
    observation = Observation(OPERATORS["half"], normal(3, 1, seed=37), 0.0)
    x_T = normal(3, 2, seed=38)
    used, other = generator(40), generator(40)
    last(replaced(cosine_schedule(1), lambda x, t: x, x_T, observation, 1, used))
    noise_like(x_T, other)  # of the step itself
    assert noise_like(x_T, used).equal(noise_like(x_T, other))


def completed_normal(r, y, repeats, n, steps=300):
    """The other coordinate of normal data of correlation r, of which one is known to be y."""
    schedule = log_snr_schedule(steps, 9, -7)
    data = one_normal([[1.0, r], [r, 1.0]])
    observation = Observation(OPERATORS["half"], torch.full((n, 1), y).double(), 0.0)
    x_T = normal(n, 2, seed=15)
    denoise = data.denoiser(schedule)
    return last(replaced(schedule, denoise, x_T, observation, repeats, generator(16)))[:, 1]


@pytest.mark.equation("eq-replaced", "eq-replaced-normal")
def test_replacement_of_normal_data_has_the_mean_and_the_variance_that_were_derived():
    n, r, y = 10_000, 0.8, 1.5
    drawn = completed_normal(r, y, 1, n)
    mean, variance = y * (1 - (1 - r**2) ** 0.5) / r, (1 - r**2) * math.atanh(r) / r
    assert (drawn.mean() - mean).abs() < 4 * (variance / n) ** 0.5 + 0.01  # and the steps' error
    assert (drawn.var() / variance - 1).abs() < 4 * (2 / n) ** 0.5 + 0.02
    assert drawn.mean() < r * y - 0.3
    assert drawn.var() > 1.2 * (1 - r**2)


@pytest.mark.equation("eq-replaced")
def test_repeats_bring_a_replaced_normal_nearer_to_what_is_exact():
    n, r, y = 4_000, 0.8, 1.5
    once, often = (completed_normal(r, y, repeats, n, 60) for repeats in (1, 8))
    assert once.mean() + 0.1 < often.mean() < r * y + 0.05


def test_a_repeated_step_goes_back_by_one_step_of_noise():
    n, schedule = 5_000, log_snr_schedule(100, 8, -6)
    data = one_normal([[0.3, 0.0], [0.0, 0.3]])
    observation = Observation(OPERATORS["half"], torch.zeros(n, 1).double(), 0.0)
    denoise, x_T = data.denoiser(schedule), normal(n, 2, seed=17)
    x_0 = last(replaced(schedule, denoise, x_T, observation, 4, generator(18)))
    # x_t that were taken back have the marginal of x_t, so the unseen half stays what it was.
    assert (x_0[:, 1].var() / 0.3 - 1).abs() < 4 * (2 / n) ** 0.5 + 0.02
    with pytest.raises(ValueError, match="repeats must be a whole number of at least 1, got 0"):
        next(replaced(schedule, denoise, x_T, observation, 0))


def test_a_width_of_0_is_refused():
    exact = Observation(torch.eye(2), torch.ones(1, 2), 0.0)
    for spread in ([0.0] * 5, [0.5, 0.0, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5, -0.5]):
        with pytest.raises(ValueError, match="a width of 0: give the observation noise, or"):
            through_the_guess(exact, torch.tensor(spread).double())
    through_the_guess(exact, torch.tensor([0.0, 0.5, 0.5, 0.5, 0.5]).double())  # no step is 0


def test_an_observation_that_does_not_fit_is_refused():
    operator = OPERATORS["half"]
    for shape, seen in [
        ((1, 2), (3, 2)),
        ((2, 2), (3, 1)),
        ((2,), (3, 2)),
        ((1, 2, 2), (3, 1)),
        ((1, 2), (1,)),
        ((1, 2), (3, 1, 1)),
    ]:
        sentence = f"expected an operator (M, D) and y (B, M), got {shape} and {seen}"
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
            Observation(torch.zeros(shape), torch.zeros(seen), 0.1)
    for sigma in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="sigma must be finite and not negative"):
            Observation(operator, torch.zeros(3, 1).double(), sigma)


def test_an_observation_stays_what_it_is_and_is_equal_to_no_other():
    observation = Observation(OPERATORS["half"], torch.zeros(3, 1).double(), 0.1)
    with pytest.raises(FrozenInstanceError):
        observation.sigma = 0.2
    assert observation != Observation(observation.operator, observation.y, 0.1)


@pytest.mark.parametrize("wrong", [torch.zeros(3, 3), torch.zeros(2, 2), torch.zeros(1, 2)])
def test_images_that_were_not_observed_are_refused(wrong):
    observation = Observation(torch.eye(2), torch.zeros(3, 2), 0.1)
    for ask in (observation.misfit, observation.least, lambda x: observation.put_in(x, x)):
        with pytest.raises(ValueError, match="expected 3 images of 2 pixels, got"):
            ask(wrong)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_strength_that_is_not_finite_is_refused(wrong):
    same, table = (lambda x, t: x), torch.ones(T + 1).double()
    table[1] = wrong
    x_T = normal(2, 2, seed=30)
    for ask in (
        lambda: interval(T, wrong, 2, 5),
        lambda: guided_by_step(same, same, table),
        lambda: guided_and_weighed(SCHEDULE, same, same, wrong, x_T),
        lambda: steered(same, lambda x_t, t, x_0: x_0.sum(1), table),
        lambda: step_reach(SCHEDULE, wrong),
    ):
        with pytest.raises(ValueError, match="must be finite, got"):
            ask()


@pytest.mark.parametrize("variance", [0.0, -1.0, math.nan, math.inf])
def test_a_spread_of_no_variance_is_refused(variance):
    with pytest.raises(ValueError, match="variance must be positive and finite"):
        normal_spread(SCHEDULE, variance)


def test_images_are_observed_with_their_pixels_in_a_row():
    x = torch.randn(3, 1, 4, 4, generator=generator(21))
    operator = torch.eye(16)[:8]  # the upper half
    observation = Observation(operator, x.flatten(1)[:, :8], 0.0)
    least = observation.least(x)
    torch.testing.assert_close(least[:, :, :2], x[:, :, :2])
    assert least[:, :, 2:].abs().max() < 1e-6
    assert observation.put_in(torch.zeros_like(x), x).shape == x.shape


@pytest.mark.parametrize("how", ["steered", "stepped", "replaced", "guided"])
def test_a_step_under_control_makes_no_float64_and_reads_nothing(how):
    schedule = cosine_schedule(8)
    observation = Observation(torch.eye(16)[:8], torch.zeros(4, 8), 0.1)
    damped = lambda x, t: 0.5 * x  # noqa: E731
    x_T = torch.randn(4, 1, 4, 4, generator=generator(22))
    spread = normal_spread(schedule)
    denoise = {
        "steered": steered(damped, through_the_guess(observation, spread), bayes_reach(schedule)),
        "stepped": steered(damped, by_distance(observation), step_reach(schedule, 0.1)),
        "guided": guided_by_step(damped, damped, interval(8, 2.0, 2, 5)),
    }.get(how, damped)
    sampler = ddim(schedule, denoise, x_T, 0.5)
    if how == "replaced":
        sampler = replaced(schedule, denoise, x_T, observation, 2)
    next(sampler)
    for _ in range(schedule.T - 1):
        with Watch() as watch:
            next(sampler)
        watch.nothing()
