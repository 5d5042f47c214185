import pytest
import torch

from onebound import data, pixels, terms
from onebound.diffusion import bound, optimal_variance, reverse_variance
from onebound.metrics import bits_per_dim, estimate
from onebound.schedules import cosine_schedule, log_snr_schedule


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def some_levels(n, seed=0):
    return torch.randint(256, (n, 1, 28, 28), generator=seeded(seed), dtype=torch.uint8)


def zero(x_t, t):
    return torch.zeros_like(x_t)


def test_smoothing_is_a_mean_over_neighbours_and_repeats_the_ends():
    values = torch.tensor([3.0, 0.0, 6.0, 9.0]).double()
    expected = torch.tensor([2.0, 3.0, 5.0, 8.0]).double()
    torch.testing.assert_close(terms.smooth(values, 3), expected)
    assert torch.equal(terms.smooth(values, 1), values)


def test_a_denoiser_that_answers_0_has_the_squared_norm_as_its_error_at_each_step():
    one = some_levels(1)
    schedule = cosine_schedule(7)
    found = terms.squared_errors(schedule, zero, one.expand(700, -1, -1, -1), seeded(1), window=1)
    norm = data.to_signed(one).double().square().sum()
    torch.testing.assert_close(found[1:], norm.expand(7))
    assert found[0] == 0


def test_errors_proportional_to_the_noise_are_not_changed_by_smoothing():
    schedule = log_snr_schedule(50)

    def off_by_noise(x_t, t):
        mean = data.to_signed(levels[:1])
        deviation = (1 - schedule.alpha_bar).sqrt().float()[t].reshape(-1, 1, 1, 1)
        return mean + deviation  # an error of 1 in units of v, in each pixel

    levels = some_levels(1).expand(500, -1, -1, -1)
    found = terms.squared_errors(schedule, off_by_noise, levels, seeded(1))
    torch.testing.assert_close(found[1:], 784 * (1 - schedule.alpha_bar[1:]), rtol=1e-3, atol=1e-9)


def test_the_best_variances_are_those_of_the_errors_and_the_decoders_own():
    schedule, levels = cosine_schedule(7), some_levels(140)
    found = terms.best_variances(schedule, zero, levels, seeded(1))
    expected = optimal_variance(schedule, terms.squared_errors(schedule, zero, levels, seeded(1)))
    torch.testing.assert_close(found[2:], expected[2:])
    # For a wide normal density over whole bins, a multiple of 1 is best.
    x_0 = data.to_signed(levels).double()
    assert found[1].item() == pytest.approx((x_0**2).mean().item(), rel=1e-6)


def test_bits_are_minus_the_bound_of_all_steps():
    model = pixels.fit_independent_pixels(some_levels(300, seed=5) // 8)
    levels = some_levels(200, seed=6) // 8
    schedule = log_snr_schedule(5, first=6.0)
    denoise, variance = model.denoiser(schedule), reverse_variance(schedule)
    found = terms.bits(schedule, denoise, levels, variance, seeded(1), passes=3)
    whole = bound(schedule, denoise, data.to_signed(levels), variance, generator=seeded(2))
    for name, sign in (("log_likelihood", 1), ("kl_steps", -1), ("kl_prior", -1)):
        a, b = getattr(found, name), bits_per_dim(sign * getattr(whole, name))
        if a.ndim == 2:
            assert ((a != 0).sum(1) <= 3).all()
            a, b = a.sum(1), b.sum(1)
        difference = estimate(a - b)
        assert abs(difference.mean) <= 4 * difference.stderr + 1e-12
        assert difference.stderr < 0.05 * estimate(b).mean + 1e-6
    gap = estimate(terms.total(found) - bits_per_dim(whole.elbo))
    assert abs(gap.mean) < 4 * gap.stderr


def test_refusals():
    with pytest.raises(ValueError, match="passes must be"):
        terms.bits(cosine_schedule(3), zero, some_levels(2), cosine_schedule(3).beta, seeded(0), 0)
