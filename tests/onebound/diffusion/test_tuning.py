import math

import pytest
import torch

from onebound.data.images import to_signed
from onebound.diffusion import tuning
from onebound.diffusion.bound import Bound, bound, optimal_variance, reverse_variance
from onebound.diffusion.loss import stratified_t
from onebound.diffusion.schedules import Schedule, cosine_schedule, log_snr_schedule
from onebound.evaluation.estimates import estimate
from onebound.exact import pixels
from onebound.likelihoods import bits_per_dim


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def some_levels(n, seed=0):
    return torch.randint(256, (n, 1, 28, 28), generator=seeded(seed), dtype=torch.uint8)


def zero(x_t, t):
    return torch.zeros_like(x_t)


def test_steps_are_drawn_with_their_chances_and_evenly():
    chances = torch.tensor([0.0, 0.0, 0.5, 0.2, 0.3]).double()
    counts = stratified_t(1000, 4, seeded(1), chances).bincount(minlength=5)
    assert ((counts - 1000 * chances).abs() <= 1).all()
    singles = torch.cat([stratified_t(1, 4, seeded(seed), chances) for seed in range(2000)])
    shares = singles.bincount(minlength=5) / 2000
    assert ((shares - chances).abs() <= 4 * (chances * (1 - chances) / 2000).sqrt()).all()


def test_a_step_without_a_chance_is_not_drawn_where_the_uniform_number_meets_an_edge(monkeypatch):
    monkeypatch.setattr(torch, "randint", lambda *shape, **options: torch.tensor(0))
    chances = torch.tensor([0.0, 0.0, 0.5, 0.25, 0.25]).double()
    assert stratified_t(4, 4, chances=chances).tolist() == [2, 2, 3, 4]
    assert stratified_t(4, 4).tolist() == [1, 2, 3, 4]


def test_even_chances_are_half_by_steps_and_half_by_log_snr():
    schedule = Schedule(torch.sigmoid(torch.tensor([torch.inf, 3.0, 2.0, -1.0]).double()))
    expected = torch.tensor([0.0, 1 / 5, 1 / 5, 3 / 5]).double() / 2
    expected[1:] += 1 / 6
    torch.testing.assert_close(tuning.even_chances(schedule), expected)


def test_a_denoiser_that_answers_0_has_the_squared_norm_as_its_error_at_each_step():
    one = some_levels(1)
    schedule = cosine_schedule(7)
    found = tuning.squared_errors(schedule, zero, one.expand(700, -1, -1, -1), seeded(1), width=0.0)
    norm = to_signed(one).double().square().sum()
    torch.testing.assert_close(found[1:], norm.expand(7))
    assert found[0] == 0


def test_errors_proportional_to_the_noise_are_not_changed_by_averaging():
    schedule = log_snr_schedule(50)

    def off_by_noise(x_t, t):
        mean = to_signed(levels[:1])
        deviation = (1 - schedule.alpha_bar).sqrt().float()[t].reshape(-1, 1, 1, 1)
        return mean + deviation  # an error of 1 in units of v, in each pixel

    levels = some_levels(1).expand(500, -1, -1, -1)
    found = tuning.squared_errors(schedule, off_by_noise, levels, seeded(1))
    torch.testing.assert_close(found[1:], 784 * (1 - schedule.alpha_bar[1:]), rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize(("first", "width"), [(2.0, {"width": 1.1}), (0.4, {})])
def test_averaging_takes_the_steps_within_the_width(first, width):
    schedule = log_snr_schedule(5, first=first, last=-first)  # a step a unit, and a fifth of one

    def growing(x_t, t):
        unit = (1 - schedule.alpha_bar).sqrt().float()[t].reshape(-1, 1, 1, 1)
        return image + t.sqrt().reshape(-1, 1, 1, 1) * unit  # t in units of v, squared

    levels = some_levels(1).expand(500, -1, -1, -1)
    image = to_signed(levels[:1])
    found = tuning.squared_errors(schedule, growing, levels, seeded(1), **width)
    in_v = (found / 784 / (1 - schedule.alpha_bar))[1:]
    # The chances are equal, so each mean is that of up to three neighbours.
    expected = torch.tensor([1.5, 2.0, 3.0, 4.0, 4.5]).double()
    torch.testing.assert_close(in_v, expected, rtol=0.02, atol=0)


def test_the_best_variances_are_those_of_the_errors_and_the_decoders_own():
    schedule, levels = cosine_schedule(7), some_levels(140)
    found, chances = tuning.tune(schedule, zero, levels, seeded(1))
    error = tuning.squared_errors(schedule, zero, levels, seeded(1))
    torch.testing.assert_close(found[2:], optimal_variance(schedule, error, 784)[2:])
    # For a wide normal density over whole bins, a multiple of 1 is best.
    x_0 = to_signed(levels).double()
    assert found[1].item() == pytest.approx((x_0**2).mean().item(), rel=1e-6)
    # By `[eq-optimal-variance]` a step then costs D / 2 times a logarithm.
    cost = 392 * torch.log(found / schedule.beta_tilde)[2:]
    torch.testing.assert_close(chances[2:], 0.9 * cost / cost.sum() + 0.1 / 6)
    assert chances.sum().item() == pytest.approx(1)
    assert (chances[:2] == 0).all()


@pytest.mark.equation("eq-weighted-step")
def test_bits_are_minus_the_bound_of_all_steps():
    model = pixels.fit_independent_pixels(some_levels(300, seed=5) // 8)
    levels = some_levels(100, seed=6) // 8
    schedule = log_snr_schedule(5, first=6.0)
    chances = torch.tensor([0.0, 0.0, 0.4, 0.1, 0.2, 0.3]).double()
    tuned = tuning.Tuned(reverse_variance(schedule), chances)
    denoise = model.denoiser(schedule)
    found = tuning.bits(schedule, denoise, levels, tuned, seeded(1), passes=3)
    assert ((found.kl_steps != 0).sum(1) <= 3).all()
    x_0 = to_signed(levels)
    whole = bound(schedule, denoise, x_0, tuned.variance, generator=seeded(2))
    exact = bits_per_dim(-whole.kl_steps)
    for t in range(2, 6):
        difference = estimate(found.kl_steps[:, t] - exact[:, t])
        assert abs(difference.mean) < 4 * difference.stderr
        assert difference.stderr < 0.2 * exact[:, t].mean()
    first = estimate(found.log_likelihood - bits_per_dim(whole.log_likelihood))
    assert abs(first.mean) < 4 * first.stderr
    torch.testing.assert_close(found.kl_prior, bits_per_dim(-whole.kl_prior))
    gap = estimate(tuning.total(found) - bits_per_dim(whole.elbo))
    assert abs(gap.mean) < 4 * gap.stderr


@pytest.mark.parametrize("best", [0, 3, 9])
def test_the_decoders_variance_is_the_likeliest_of_ten_multiples(best, monkeypatch):
    schedule, levels, tried = cosine_schedule(7), some_levels(1), []
    error = to_signed(levels).double().square().mean().item()

    def likelihood(x_0, x_0_hat, logvar):
        tried.append(math.exp(logvar.item()) / error)
        return -((len(tried) - 1 - best) ** 2) * torch.ones(len(x_0))

    monkeypatch.setattr(tuning, "log_prob_discretised_normal", likelihood)
    found = tuning.decoder_variance(schedule, zero, levels, seeded(1))
    assert tried == pytest.approx([2.0**power for power in range(-2, 8)], rel=1e-5)
    assert found == pytest.approx(error * 2.0 ** (best - 2), rel=1e-6)


def test_a_thousand_images_choose_the_decoders_variance(monkeypatch):
    monkeypatch.setattr(tuning, "decoder_variance", lambda s, d, levels, g: len(levels) / 1e6)
    levels = some_levels(1).expand(1010, -1, -1, -1)
    found = tuning.tune(cosine_schedule(3), zero, levels, seeded(1))
    assert found.variance[1].item() == 1000 / 1e6


def test_one_image_is_enough_and_one_pass_unless_told():
    schedule, levels = cosine_schedule(3), some_levels(1)
    tuned = tuning.tuned(schedule, torch.ones(4).double(), 0.1, 784)
    assert tuning.tune(schedule, zero, levels.expand(20, -1, -1, -1), seeded(1)).variance[1] > 0
    unless_told = tuning.bits(schedule, zero, levels, tuned, seeded(2))
    told = tuning.bits(schedule, zero, levels, tuned, seeded(2), passes=1)
    assert torch.equal(tuning.total(unless_told), tuning.total(told))


def test_many_images_leave_no_graph_behind():
    def watched(x_t, t):
        asked.append(torch.is_grad_enabled())
        return torch.zeros_like(x_t)

    schedule, levels, asked = cosine_schedule(3), some_levels(20), []
    tuned = tuning.tune(schedule, watched, levels, seeded(1))
    tuning.bits(schedule, watched, levels, tuned, seeded(2))
    assert asked == [False] * 4


def test_the_total_is_the_sum_of_the_three_groups_of_each_image():
    costs = Bound(
        torch.tensor([0.5, 1.0]),
        torch.tensor([[0.0, 0.0, 0.25, 2.0], [0.0, 0.0, 4.0, 0.0]]),
        torch.tensor([0.0625, 0.125]),
    )
    assert tuning.total(costs).tolist() == [2.8125, 5.125]
    # What is a cost there is a bound here, in other units and with another sign.
    assert torch.equal(
        costs._replace(log_likelihood=-costs.log_likelihood).elbo, -tuning.total(costs)
    )


def test_chances_in_proportion_to_the_costs_leave_less_to_chance():
    model = pixels.fit_independent_pixels(some_levels(300, seed=5) // 8)
    levels = some_levels(100, seed=6) // 8
    schedule = cosine_schedule(20)
    denoise = model.denoiser(schedule)
    tuned = tuning.tune(schedule, denoise, levels, seeded(1))
    even = torch.cat([torch.zeros(2), torch.ones(19) / 19]).double()
    spread = [
        estimate(tuning.total(tuning.bits(schedule, denoise, levels, each, seeded(2)))).stderr
        for each in (tuned, tuned._replace(chances=even))
    ]
    assert spread[0] < 0.5 * spread[1]


def test_refusals():
    schedule, levels = cosine_schedule(3), some_levels(2)
    tuned = tuning.Tuned(reverse_variance(schedule), torch.tensor([0, 0, 0.5, 0.5]).double())
    with pytest.raises(ValueError, match="passes must be"):
        tuning.bits(schedule, zero, levels, tuned, seeded(0), 0)
    short = tuned._replace(chances=tuned.chances[1:])
    with pytest.raises(ValueError, match="chances needs"):
        tuning.bits(schedule, zero, levels, short, seeded(0))


def test_there_is_an_error_for_steps_that_no_image_draws():
    levels = torch.randint(256, (4, 1, 4, 4), generator=seeded(1), dtype=torch.uint8)
    schedule = log_snr_schedule(50)
    for seed in range(8):  # four images leave out most steps, and now and then the last ones
        found = tuning.squared_errors(schedule, zero, levels, seeded(seed), width=30.0)
        assert found.shape == (51,)
        assert torch.isfinite(found).all()
