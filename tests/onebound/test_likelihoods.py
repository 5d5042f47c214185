import math

import numpy as np
import pytest
import torch
from mpmath import mp
from torch import distributions as td
from torch.autograd import gradcheck

from onebound.distributions import log_prob_normal
from onebound.likelihoods import (
    bits_per_dim,
    continuous_bernoulli_log_normaliser,
    continuous_bernoulli_mean,
    cross_entropy_grey,
    density_to_levels,
    dequantise,
    discretised_logistic_logits,
    log_prob_bernoulli,
    log_prob_categorical,
    log_prob_continuous_bernoulli,
    log_prob_discretised_logistic,
    log_prob_discretised_normal,
)
from onebound.networks.mlp import MLPDecoder

SHAPE = (3, 1, 28, 28)


def number(value):
    return torch.tensor(value, dtype=torch.float64)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def logits():
    return 3 * torch.randn(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def grey():
    return torch.rand(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


@pytest.mark.equation("eq-bernoulli")
def test_bernoulli_agrees_with_torch(logits, grey):
    x = grey.round()
    expected = td.Bernoulli(logits=logits).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(log_prob_bernoulli(x, logits), expected)


@pytest.mark.equation("eq-bernoulli")
def test_bernoulli_probabilities_sum_to_one():
    # All but two pixels are certain, so four images carry all the probability.
    logits = torch.full((1, 1, 28, 28), -60.0, dtype=torch.float64)
    logits[0, 0, 3, 4], logits[0, 0, 20, 7] = 0.7, -1.3
    x = torch.zeros(4, 1, 28, 28, dtype=torch.float64)
    x[[1, 3], 0, 3, 4] = 1
    x[[2, 3], 0, 20, 7] = 1
    total = log_prob_bernoulli(x, logits.expand_as(x)).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-12)


def test_bernoulli_of_one_pixel():
    logits, x = torch.full((1, 1, 28, 28), -60.0), torch.zeros(1, 1, 28, 28)
    logits[0, 0, 0, 0], x[0, 0, 0, 0] = 0.5, 1
    expected = torch.sigmoid(torch.tensor(0.5)).log()
    torch.testing.assert_close(log_prob_bernoulli(x, logits)[0], expected)


@pytest.mark.parametrize("logit", [1e4, -1e4])
def test_extreme_logits_stay_finite(logit):
    x = torch.ones(1, 1, 28, 28)
    expected = 0.0 if logit > 0 else 784 * logit
    assert log_prob_bernoulli(x, x * logit).item() == expected


def test_the_gradient_in_the_logits_is_x_minus_pi(logits, grey):
    x = grey.round()
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(log_prob_bernoulli(x, logits).sum(), logits)
    torch.testing.assert_close(gradient, x - torch.sigmoid(logits))


@pytest.mark.equation("eq-grey-cross-entropy")
def test_grey_cross_entropy_is_the_mean_over_binarised_images(logits, grey):
    n = 20_000
    x, same = (t[:1].expand(n, -1, -1, -1) for t in (grey, logits))
    drawn = torch.bernoulli(x, generator=torch.Generator().manual_seed(3))
    draws = log_prob_bernoulli(drawn, same)
    stderr = draws.std().item() / n**0.5
    assert stderr < 0.5
    assert abs(draws.mean() - cross_entropy_grey(grey, logits)[0]).item() < 4 * stderr


def test_on_binary_images_both_agree(logits, grey):
    x = grey.round()
    assert torch.equal(cross_entropy_grey(x, logits), log_prob_bernoulli(x, logits))


def test_grey_levels_are_refused_and_named(logits, grey):
    with pytest.raises(ValueError, match=r"0 or 1, got 0\.\d+.*binarise"):
        log_prob_bernoulli(grey, logits)


@pytest.mark.parametrize(
    "function", [log_prob_bernoulli, cross_entropy_grey, log_prob_continuous_bernoulli]
)
def test_other_bad_input_is_refused_and_named(function, logits, grey):
    x = grey.round()
    with pytest.raises(ValueError, match=r"shape \(3, 28, 28\)"):
        function(x[:, 0], logits)
    with pytest.raises(ValueError, match=r"images \(3, 1, 28, 28\), logits \(3, 1, 28, 1\)"):
        function(x, logits[..., :1])
    with pytest.raises(ValueError, match=r"images \(1, 1, 28, 28\), logits \(3, 1, 28, 28\)"):
        function(x[:1], logits)
    with pytest.raises(ValueError, match="values from -1 to 1"):
        function(2 * x - 1, logits)
    with pytest.raises(ValueError, match=r"values from 0 to 1\.5"):
        function(1.5 * x, logits)
    with pytest.raises(ValueError, match="nan"):
        function(x / 0, logits)
    with pytest.raises(ValueError, match="uint8"):
        function(x.to(torch.uint8), logits)


# Continuous Bernoulli: on both sides of the switch to the series, and far out.
LOGITS = [-700.0, -30.0, -1.7, -0.11, -0.1, -0.09, -1e-9, 0.0, 1e-4, 0.09, 0.11, 2.5, 30.0, 700.0]


def quadrature():
    """Points and weights on [0, 1], dense at both ends, where extreme logits put the mass."""
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(40))
    edges = torch.cat([number([0.0]), torch.logspace(-4, math.log10(0.5), 12, dtype=torch.float64)])
    edges = torch.cat([edges, 1 - edges.flip(0)[1:]])
    half = edges.diff()[:, None] / 2
    return (edges[:-1, None] + half * (nodes + 1)).flatten(), (half * weights).flatten()


@pytest.mark.equation(
    "eq-continuous-bernoulli", "eq-continuous-bernoulli-normaliser", "eq-continuous-bernoulli-mean"
)
@pytest.mark.parametrize("logit", LOGITS)
def test_continuous_bernoulli_integrates_to_one_and_has_the_mean_it_says(logit):
    points, weights = quadrature()
    # With logit 0 the other pixels have density 1, whatever they are.
    y = torch.full((len(points), 1, 28, 28), 0.3, dtype=torch.float64)
    y[:, 0, 5, 6] = points
    logits = torch.zeros_like(y)
    logits[:, 0, 5, 6] = logit
    density = log_prob_continuous_bernoulli(y, logits).exp()
    assert (weights * density).sum().item() == pytest.approx(1, abs=1e-12)
    mean = continuous_bernoulli_mean(number(logit)).item()
    assert (weights * density * points).sum().item() == pytest.approx(mean, rel=1e-12)


@pytest.mark.equation("eq-continuous-bernoulli")
def test_continuous_bernoulli_agrees_with_torch(logits, grey):
    expected = td.ContinuousBernoulli(logits=logits).log_prob(grey).flatten(1).sum(1)
    torch.testing.assert_close(log_prob_continuous_bernoulli(grey, logits), expected)


@pytest.mark.equation("eq-continuous-bernoulli-normaliser")
def test_the_normaliser_is_that_of_the_paper():
    # C(lambda) = 2 artanh(1 - 2 lambda) / (1 - 2 lambda) multiplies the Bernoulli formula.
    rate = number([0.01, 0.3, 0.49, 0.8, 0.999])
    logit = torch.logit(rate)
    log_c = torch.log(2 * torch.atanh(1 - 2 * rate) / (1 - 2 * rate))
    ours = torch.nn.functional.softplus(logit) - continuous_bernoulli_log_normaliser(logit)
    torch.testing.assert_close(ours, log_c, rtol=1e-9, atol=1e-12)


@pytest.mark.equation("eq-continuous-bernoulli-series")
def test_the_series_meets_the_closed_form():
    edge = number([-0.1, 0.1])
    inside, outside = edge * (1 - 1e-12), edge * (1 + 1e-12)
    for function in (continuous_bernoulli_log_normaliser, continuous_bernoulli_mean):
        torch.testing.assert_close(function(inside), function(outside), rtol=0, atol=2e-13)


@pytest.mark.equation("eq-continuous-bernoulli-series")
@pytest.mark.parametrize(
    ("function", "exact", "left_out"),
    [
        (
            continuous_bernoulli_log_normaliser,
            lambda logit: mp.log(mp.expm1(logit) / logit),
            lambda logits: logits**8 / 9676800,
        ),
        (
            continuous_bernoulli_mean,
            lambda logit: 1 + 1 / mp.expm1(logit) - 1 / logit,
            lambda logits: logits**7 / 1209600,
        ),
    ],
)
def test_the_error_of_the_series_is_the_first_term_that_it_leaves_out(function, exact, left_out):
    # A fit through many points, since rounding is a hundredth of the error at each.
    logits = torch.linspace(0.09, 0.0999, 200, dtype=torch.float64)
    logits = torch.cat([logits, -logits])
    pairs = zip(function(logits).tolist(), logits.tolist(), strict=True)
    with mp.workdps(40):
        error = number([float(value - exact(mp.mpf(logit))) for value, logit in pairs])
    term = left_out(logits)
    assert (error @ term / (term @ term)).item() == pytest.approx(1, abs=0.01)


@pytest.mark.equation("eq-continuous-bernoulli-mean")
def test_the_mean_is_the_derivative_of_the_log_normaliser():
    for dtype, atol in ((torch.float64, 1e-13), (torch.float32, 1e-6)):
        logits = torch.tensor(LOGITS, dtype=dtype, requires_grad=True)
        total = continuous_bernoulli_log_normaliser(logits).sum()
        (slope,) = torch.autograd.grad(total, logits)
        torch.testing.assert_close(slope, continuous_bernoulli_mean(logits), rtol=0, atol=atol)


# Levels and densities on them.


@pytest.mark.equation("eq-dequantisation")
def test_dequantised_levels_fill_their_bins_evenly():
    k = torch.arange(256, dtype=torch.uint8).repeat(400, 1)
    u = 256 * dequantise(k, seeded(1)).double() - k
    assert 0 <= u.min() <= u.max() <= 1
    n = u.numel()
    assert abs(u.mean() - 1 / 2) < 4 * (1 / 12 / n) ** 0.5
    assert abs(u.var() - 1 / 12) < 4 * (1 / 180 / n) ** 0.5  # Var[(u - 1/2)^2] = 1/80 - 1/144
    assert abs(torch.corrcoef(torch.stack([u.flatten(), k.flatten().double()]))[0, 1]) < 4 / n**0.5


def test_dequantising_takes_levels_only():
    with pytest.raises(ValueError, match=r"uint8, got torch\.float32"):
        dequantise(torch.zeros(SHAPE))


def logistic_log_density(y, mean, log_scale):
    base = td.Uniform(number(0.0), number(1.0))
    logistic = [td.SigmoidTransform().inv, td.AffineTransform(mean, math.exp(log_scale))]
    return td.TransformedDistribution(base, logistic).log_prob(y)


@pytest.mark.equation("eq-dequantisation")
@pytest.mark.parametrize(("k", "mean", "log_scale"), [(1, 0.3, -2.0), (200, 0.6, -3.0)])
def test_the_dequantised_density_averages_to_the_probability_of_the_level(k, mean, log_scale):
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(20))
    density = logistic_log_density((k + (nodes + 1) / 2) / 256, mean, log_scale)
    bound = density_to_levels(density, dims=1)
    exact = discretised_logistic_logits(number([[[[mean]]]]), number(log_scale))[0, k].item()
    assert (weights / 2 * bound.exp()).sum().log().item() == pytest.approx(exact, abs=1e-12)
    assert (weights / 2 * bound).sum().item() < exact  # Jensen


@pytest.mark.equation("eq-dequantisation")
def test_the_change_of_variables_counts_every_pixel():
    assert density_to_levels(number([5.0])).item() == pytest.approx(5 - 784 * 8 * math.log(2))


# Discretised logistic.


@pytest.mark.equation("eq-discretised-logistic")
@pytest.mark.parametrize("mean", [-50.0, -0.2, 0.0, 0.31, 1.0, 7.0])
@pytest.mark.parametrize("log_scale", [-12.0, -5.0, -1.0, 4.0])
def test_discretised_logistic_sums_to_one(mean, log_scale):
    logits = discretised_logistic_logits(number([[[[mean]]]]), number(log_scale))
    assert logits.shape == (1, 256, 1, 1)
    assert logits.exp().sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.equation("eq-discretised-logistic", "eq-logistic-product")
def test_discretised_logistic_integrates_each_bin():
    mean, scale = 0.4, 0.15
    edges = torch.arange(1, 256, dtype=torch.float64) / 256
    below = torch.cat([number([0.0]), torch.sigmoid((edges - mean) / scale), number([1.0])])
    logits = discretised_logistic_logits(number([[[[mean]]]]), number(scale).log())
    torch.testing.assert_close(logits.exp().flatten(), below.diff())


def test_discretised_logistic_is_the_entry_of_its_table(grey):
    x = (255 * grey).round() / 255
    x[:, 0, 0, :3], x[:, 0, 1, :3] = 0, 1
    g = seeded(4)
    mean = torch.randn(SHAPE, dtype=torch.float64, generator=g)
    log_scale = torch.randn(SHAPE, dtype=torch.float64, generator=g) - 2
    table = discretised_logistic_logits(mean, log_scale)
    torch.testing.assert_close(
        log_prob_discretised_logistic(x, mean, log_scale), log_prob_categorical(x, table)
    )


def test_one_scale_for_all_and_one_a_pixel():
    x = torch.zeros(SHAPE)
    one = log_prob_discretised_logistic(x, x, torch.tensor(-2.0))
    each = log_prob_discretised_logistic(x, x, torch.full((1, 28, 28), -2.0))
    torch.testing.assert_close(one, each)
    torch.testing.assert_close(
        one, torch.full((3,), 784 * math.log(1 / (1 + math.exp(-(math.e**2) / 256))))
    )


@pytest.mark.equation("eq-logistic-product")
def test_discretised_logistic_far_in_the_tails():
    # In float32 sigmoid(high) - sigmoid(low) is 0 here. To first order it is exp(high) - exp(low).
    x = torch.full((1, 1, 28, 28), 100 / 255)
    mean = torch.full((1, 1, 28, 28), 5.0, requires_grad=True)
    log_scale = torch.full((1, 1, 28, 28), -4.0, requires_grad=True)
    value = log_prob_discretised_logistic(x, mean, log_scale)
    low, width = (100 / 256 - 5) * math.exp(4), math.exp(4) / 256
    assert value.item() == pytest.approx(784 * (low + math.log(math.expm1(width))), rel=1e-5)
    for gradient in torch.autograd.grad(value.sum(), [mean, log_scale]):
        assert torch.isfinite(gradient).all()
    torch.testing.assert_close(
        gradient, torch.full_like(gradient, -low - width / (1 - math.exp(-width)))
    )


# Discretised normal, on [-1, 1].


def one_pixel(mean, logvar):
    """Probabilities of the 256 levels of one pixel; the others have a level for certain."""
    x = -torch.ones(256, 1, 28, 28, dtype=mean.dtype)
    x[:, 0, 5, 6] = 2 * torch.arange(256, dtype=mean.dtype) / 255 - 1
    means, logvars = torch.full_like(x, -40), torch.zeros_like(x)
    means[:, 0, 5, 6], logvars[:, 0, 5, 6] = mean, logvar
    return log_prob_discretised_normal(x, means, logvars).exp()


@pytest.mark.equation("eq-discretised-normal")
@pytest.mark.parametrize("mean", [-20.0, -1.0, -0.3, 0.0, 0.31, 1.0, 1.5])
@pytest.mark.parametrize("logvar", [-16.0, -9.2, -4.0, 0.0, 6.0])
def test_discretised_normal_sums_to_one(mean, logvar):
    assert one_pixel(number(mean), number(logvar)).sum().item() == pytest.approx(1, abs=1e-10)


@pytest.mark.equation("eq-one-step-decoder", "eq-discretised-normal")
@pytest.mark.parametrize(("mean", "sigma"), [(0.2, 0.01), (-0.9, 0.3), (1.2, 0.5)])
def test_discretised_normal_integrates_each_bin(mean, sigma):
    edges = (2 * torch.arange(1, 256, dtype=torch.float64) - 1) / 255 - 1
    below = td.Normal(number(mean), number(sigma)).cdf(edges)
    expected = torch.cat([number([0.0]), below, number([1.0])]).diff()
    ours = one_pixel(number(mean), number(sigma).log() * 2)
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-15)


def test_a_narrow_normal_picks_its_level_and_a_wide_one_is_its_density():
    x = torch.full((1, 1, 28, 28), 2 * 100 / 255 - 1)
    # The edge of the bin is 0.00392 away, and the standard deviation 0.000017.
    assert abs(log_prob_discretised_normal(x, x + 0.0038, torch.tensor(-22.0)).item()) < 1e-3
    assert log_prob_discretised_normal(x, x + 0.0040, torch.tensor(-22.0)).item() < -784 * 10
    wide = log_prob_discretised_normal(x, x - 0.4, torch.tensor(-1.0))
    density = log_prob_normal(x, x - 0.4, torch.tensor(-1.0)) + 784 * math.log(2 / 255)
    torch.testing.assert_close(wide, density, rtol=1e-5, atol=0)


# Distance of the mean and half the width of the bin, both in standard deviations.
NARROW = [(0.0, 0.0099), (0.9, 0.0052), (-2.0, 0.0033), (3.9, 0.002), (-8.9, 0.001)]


@pytest.mark.equation("eq-discretised-normal")
@pytest.mark.parametrize(("centre", "half"), NARROW)
def test_a_bin_much_narrower_than_sigma_keeps_all_its_digits(centre, half):
    # On so short a piece of the density ten nodes are exact up to rounding.
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(10))
    sigma = number(1 / (255 * half))
    x = torch.full((1, 1, 28, 28), 2 * 100 / 255 - 1, dtype=torch.float64)
    mean = x - centre * sigma
    z = ((x - mean)[0, 0, 0, 0] + nodes / 255) / sigma
    mass = torch.logsumexp(torch.log(weights * half) - 0.5 * z**2, 0)
    expected = 784 * (mass - 0.5 * math.log(2 * math.pi))
    ours = log_prob_discretised_normal(x, mean, 2 * sigma.log())[0]
    torch.testing.assert_close(ours, expected, rtol=0, atol=784 * 1e-13)


@pytest.mark.parametrize("side", [-1, 1])
def test_discretised_normal_far_in_the_tails(side):
    # 100 standard deviations away the mass of a bin is that at its nearer edge, to first order
    # density / distance. In float32 both distribution functions are 0, or both are 1, there.
    x = torch.full((1, 1, 28, 28), 2 * 100 / 255 - 1)
    mean = (x + side).requires_grad_()
    logvar = torch.full_like(x, 2 * math.log(0.01)).requires_grad_()
    value = log_prob_discretised_normal(x, mean, logvar)
    z = 100 - 100 / 255
    expected = 784 * (-(z**2) / 2 - math.log(z * math.sqrt(2 * math.pi)))
    assert value.item() == pytest.approx(expected, rel=1e-4)
    slope, slope_logvar = torch.autograd.grad(value.sum(), [mean, logvar])
    torch.testing.assert_close(slope, torch.full_like(x, -side * z / 0.01), rtol=1e-3, atol=0)
    torch.testing.assert_close(slope_logvar, torch.full_like(x, z**2 / 2), rtol=1e-3, atol=0)


# Categorical.


@pytest.fixture
def level_logits():
    return torch.randn(2, 256, 28, 28, dtype=torch.float64, generator=seeded(5))


@pytest.mark.equation("eq-categorical")
def test_categorical_agrees_with_torch(level_logits, grey):
    x = (255 * grey[:2]).round() / 255
    expected = td.Categorical(logits=level_logits.permute(0, 2, 3, 1))
    expected = expected.log_prob((255 * x[:, 0]).round()).flatten(1).sum(1)
    torch.testing.assert_close(log_prob_categorical(x, level_logits), expected)


@pytest.mark.equation("eq-categorical")
def test_categorical_sums_to_one_over_the_levels_of_a_pixel():
    logits = torch.zeros(256, 256, 28, 28)
    logits[:, 0] = 100.0  # certain of level 0, but for one pixel
    logits[:, :, 5, 6] = torch.linspace(-3, 2, 256)
    x = torch.zeros(256, 1, 28, 28)
    x[:, 0, 5, 6] = torch.arange(256) / 255
    assert log_prob_categorical(x, logits).exp().sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (log_prob_discretised_logistic, (torch.zeros(SHAPE), torch.zeros(()))),
        (log_prob_categorical, (torch.zeros(3, 256, 28, 28),)),
    ],
)
def test_levels_are_asked_for_by_name(function, parameters):
    x = torch.full(SHAPE, 0.2)
    assert function(x, *parameters).shape == (3,)  # 0.2 is 51 / 255
    x[1, 0, 2, 3], x[2, 0, 2, 3] = 0.3, 0.7
    with pytest.raises(ValueError, match=r"k / 255 .* got 0\.3: "):
        function(x, *parameters)
    with pytest.raises(ValueError, match="uint8"):
        function(x.byte(), *parameters)
    with pytest.raises(ValueError, match="values from 2 to 2"):
        function(torch.full(SHAPE, 2.0), *parameters)
    with pytest.raises(ValueError, match=r"values from -0\.2 to -0\.2"):
        function(torch.full(SHAPE, -0.2), *parameters)


def test_levels_on_the_signed_axis_are_asked_for_by_name():
    x, zero = torch.full(SHAPE, 2 * 51 / 255 - 1), torch.zeros(())
    assert log_prob_discretised_normal(x, x, zero).shape == (3,)
    x[1, 0, 2, 3] = -0.5
    with pytest.raises(ValueError, match=r"2 k / 255 - 1 .* got -0\.5: "):
        log_prob_discretised_normal(x, x, zero)
    with pytest.raises(ValueError, match=r"uint8: .*to_signed"):
        log_prob_discretised_normal(x.byte(), x, zero)
    with pytest.raises(ValueError, match=r"\[-1, 1\], got values from 2 to 2: .*to_signed"):
        log_prob_discretised_normal(torch.full(SHAPE, 2.0), x, zero)


@pytest.mark.parametrize("count", [255, 257])
def test_a_categorical_with_too_few_or_many_logits_is_refused(count):
    got = rf"need logits \(3, 256, 28, 28\), got \(3, {count}, 28, 28\)"
    with pytest.raises(ValueError, match=got):
        log_prob_categorical(torch.zeros(SHAPE), torch.zeros(3, count, 28, 28))


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (log_prob_bernoulli, lambda z: (z,)),
        (log_prob_continuous_bernoulli, lambda z: (z,)),
        (log_prob_continuous_bernoulli, lambda z: (z / 100,)),  # the series
        (log_prob_discretised_logistic, lambda z: (z, z.sum() - 1)),
        (log_prob_categorical, lambda z: (z * torch.linspace(-1, 1, 256).reshape(256, 1, 1),)),
    ],
)
def test_gradients(function, parameters):
    x = torch.zeros(1, 1, 28, 28, dtype=torch.float64)
    x[0, 0, 4, 4:8] = 1
    z = number([0.8, -1.3, 0.2, -0.1]).requires_grad_()

    def of_few_pixels(z):
        image = torch.nn.functional.pad(z.reshape(1, 1, 1, 4), (6, 18, 4, 23))
        return function(x, *parameters(image))

    assert gradcheck(of_few_pixels, [z])


def test_gradients_of_the_discretised_normal():
    x = -torch.ones(1, 1, 28, 28, dtype=torch.float64)
    x[0, 0, 4, 4:8] = number([-1.0, 2 * 77 / 255 - 1, 2 * 150 / 255 - 1, 1.0])

    def of_few_pixels(z, logvar):
        mean = torch.nn.functional.pad(z.reshape(1, 1, 1, 4), (4, 20, 4, 23), value=-9.0)
        return log_prob_discretised_normal(x, mean, logvar)

    z = number([-0.98, -0.4, 0.4, 0.97]).requires_grad_()
    for logvar in (-9.0, -3.0, 0.5):
        assert gradcheck(of_few_pixels, [z, number(logvar).requires_grad_()])


def exact_slopes(x, mean, logvar):
    """Derivatives of the log-mass of x's bin in mean and log-variance, element by element.

    With erfcx(u) = exp(u^2) erfc(u) nothing underflows in (phi(b) - phi(a)) / (Phi(b) - Phi(a)) and
    (b phi(b) - a phi(a)) / (Phi(b) - Phi(a)). In an open bin a is minus infinity.
    """
    # Of a bin and its mirror image take the one that is below the mean; open bins end at one edge.
    open_bin = x.abs() == 1
    side = torch.where(open_bin, -x, torch.where(x > mean, -1, 1))
    scale = torch.exp(-0.5 * logvar)
    b, a = ((side * (x - mean) + edge / 255) * scale for edge in (1, -1))
    log_ratio = torch.where(open_bin, -torch.inf, (b - a) * (b + a) / 2)  # of phi(a) to phi(b)
    ratio = torch.exp(log_ratio)
    a = torch.where(open_bin, 0, a)
    mass = torch.special.erfcx(-b / 2**0.5) - ratio * torch.special.erfcx(-a / 2**0.5)
    phi = math.sqrt(2 / math.pi) / mass
    return side * scale * phi * torch.expm1(log_ratio), -0.5 * phi * (b - ratio * a)


@pytest.mark.parametrize("logvar", [-30.0, -22.0, -16.0, -10.0, -5.0, -1.0, 0.0, 7.0, 30.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_of_the_discretised_normal_millions_of_deviations_away(dtype, logvar):
    # At log-variance -30 the means are up to 30 million standard deviations from the pixel.
    away = torch.tensor([10, 3, 0.3, 0.05, 0.01, 1e-3, 0, -1e-3, -0.01, -0.05, -0.3, -3, -10])
    levels = torch.tensor([0.0, 1, 100, 254, 255])
    x = -torch.ones(1, 1, 28, 28, dtype=dtype)
    x[0, 0, :5, :13] = (2 * levels / 255 - 1)[:, None]
    mean, logvar = x.clone(), torch.full_like(x, logvar)
    mean[0, 0, :5, :13] += away
    value = log_prob_discretised_normal(x, mean.requires_grad_(), logvar.requires_grad_())
    found = torch.autograd.grad(value.sum(), [mean, logvar])
    exact = exact_slopes(*(p.detach().double() for p in (x, mean, logvar)))
    for gradient, slope in zip(found, exact, strict=True):
        assert torch.isfinite(gradient).all()
        torch.testing.assert_close(gradient.double(), slope, rtol=2e-4, atol=1e-25)


@pytest.mark.parametrize("z", [-99.5, -100.0, -100.5, -1e4])
def test_an_open_bin_where_one_way_to_its_log_takes_over_from_another(z):
    x = -torch.ones(1, 1, 28, 28, dtype=torch.float64)
    mean = (x + 1 / 255 - z).requires_grad_()
    value = log_prob_discretised_normal(x, mean, number(0.0))
    with mp.workdps(40):
        expected = float(mp.log(mp.ncdf(z)))
        slope = float(-mp.npdf(z) / mp.ncdf(z))
    assert value.item() / 784 == pytest.approx(expected, rel=1e-13)
    (found,) = torch.autograd.grad(value.sum(), mean)
    torch.testing.assert_close(found, torch.full_like(x, slope), rtol=1e-9, atol=0)


@pytest.mark.equation("eq-normal-likelihood")
def test_summed_squared_error_is_a_gaussian_with_variance_one_half(grey, logits):
    squares = ((grey - logits) ** 2).flatten(1).sum(1)
    gaussian = log_prob_normal(grey, logits, number(0.5).log())
    torch.testing.assert_close(gaussian, -squares - 392 * math.log(math.pi))


def test_a_decoder_gives_the_channels_that_a_likelihood_asks_for():
    decoder = MLPDecoder(latent_size=2, hidden_size=3, shape=(256, 28, 28))
    logits = decoder(torch.randn(2, 2, generator=seeded(7)))
    assert log_prob_categorical(torch.zeros(2, 1, 28, 28), logits).shape == (2,)
    with pytest.raises(ValueError, match="channels must be"):
        MLPDecoder(shape=(0, 28, 28))


# Units.


@pytest.mark.equation("eq-bits-per-dim")
def test_bits_per_dim_of_uniform_levels_is_eight():
    nats = 784 * torch.tensor([1 / 256, 1 / 2], dtype=torch.float64).log()
    torch.testing.assert_close(bits_per_dim(nats), torch.tensor([8.0, 1.0], dtype=torch.float64))
    assert bits_per_dim(nats[1:], dims=392).item() == pytest.approx(2)


def test_bits_per_dim_needs_a_dimension():
    with pytest.raises(ValueError, match=r"dims must be .* got 0"):
        bits_per_dim(torch.zeros(2), dims=0)


# Any images.


@pytest.fixture(params=[(3, 32, 32), (1, 28, 56)], ids=str)
def levels(request):
    return torch.randint(256, (2, *request.param), generator=seeded(7))


def test_every_channel_counts(levels):
    B, C, H, W = levels.shape
    x = levels.double() / 255
    logits = torch.randn(B, 256 * C, H, W, dtype=torch.float64, generator=seeded(8))
    one_by_one = sum(log_prob_categorical(x[:, [c]], logits[:, c::C]) for c in range(C))
    torch.testing.assert_close(log_prob_categorical(x, logits), one_by_one)


def test_tables_and_bins_agree_for_any_images(levels):
    x = levels.double() / 255
    mean, log_scale = torch.rand(2, *x.shape, dtype=torch.float64, generator=seeded(9))
    table = log_prob_categorical(x, discretised_logistic_logits(mean, log_scale - 3))
    torch.testing.assert_close(log_prob_discretised_logistic(x, mean, log_scale - 3), table)
    shared = discretised_logistic_logits(mean, number(-3.0))
    torch.testing.assert_close(
        log_prob_discretised_logistic(x, mean, number(-3.0)), log_prob_categorical(x, shared)
    )


@pytest.mark.parametrize(
    "log_prob",
    [
        log_prob_bernoulli,
        cross_entropy_grey,
        log_prob_continuous_bernoulli,
        lambda x, y: log_prob_discretised_logistic(x, y, y),
        lambda x, y: log_prob_discretised_normal(x, y, y),
        lambda x, y: log_prob_categorical(x, y.expand(-1, 256, -1, -1)),
    ],
)
def test_half_precision_is_refused(log_prob):
    x = torch.ones(SHAPE, dtype=torch.float16)
    with pytest.raises(ValueError, match=r"torch.float16"):
        log_prob(x, x)
