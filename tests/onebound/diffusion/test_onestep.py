import math

import pytest
import torch
from torch import distributions as td

from onebound.diffusion import bound as chain
from onebound.diffusion.denoisers import denoiser
from onebound.diffusion.onestep import SmallDenoiser, bound, decoder, one_step, sample_one_step
from onebound.diffusion.process import sample_xt, x_0_from_eps
from onebound.diffusion.schedules import Schedule, linear_schedule
from onebound.distributions import log_prob_normal
from onebound.evaluation.estimates import estimate
from onebound.exact.finite import optimal_denoiser, posterior_weights
from onebound.exact.gaussian import GaussianData


def normal(*shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def with_width(denoise, logvar):
    """A decoder of one log-variance for all pixels."""
    return lambda x_1, t: (denoise(x_1, t), torch.as_tensor(logvar, dtype=x_1.dtype))


@pytest.fixture
def images():
    levels = torch.randint(256, (5, 1, 28, 28), generator=seeded(1))
    return 2 * levels.double() / 255 - 1


@pytest.mark.equation("eq-one-step-elbo")
def test_it_is_diffusion_with_one_step(images):
    alpha = 0.7
    network = denoiser(one_step(alpha), lambda x_t, t: torch.tanh(x_t) * t[0], x_0_from_eps)
    ours = bound(with_width(network, -3.0), images, alpha, generator=seeded(2))
    variance = torch.tensor([0.0, math.exp(-3)]).double()
    theirs = chain.bound(one_step(alpha), network, images, variance, generator=seeded(2))
    torch.testing.assert_close(ours.log_likelihood, theirs.log_likelihood)
    torch.testing.assert_close(ours.kl, theirs.kl_prior)
    torch.testing.assert_close(ours.elbo, theirs.elbo)


@pytest.mark.equation("eq-one-step-encoder", "eq-one-step-kl")
def test_the_divergence_is_that_of_q_from_the_prior(images):
    alpha = 0.3
    kl = bound(with_width(lambda x, t: x, 0.0), images, alpha).kl
    q = td.Normal(math.sqrt(alpha) * images, math.sqrt(1 - alpha))
    expected = td.kl_divergence(q, td.Normal(0.0, 1.0)).sum((1, 2, 3))
    torch.testing.assert_close(kl, expected)


@pytest.mark.equation("eq-one-step-elbo")
def test_the_bound_is_log_p_if_the_decoder_is_the_exact_posterior():
    # For data N(0, I) so are q(x_1) and the prior, and p(x_0|x_1) has the variance 1 - alpha.
    n, alpha = 40_000, 0.6
    data = GaussianData(torch.zeros(2).double(), torch.eye(2).double())
    x_0 = torch.tensor([[0.4, -1.3]]).double()
    log_p = td.Normal(0.0, 1.0).log_prob(x_0).sum()
    denoise = data.denoiser(one_step(alpha))
    for variance, tight in ((1 - alpha, True), (2 * (1 - alpha), False)):
        decode = with_width(denoise, math.log(variance))
        elbo = bound(decode, x_0.expand(n, 2), alpha, log_prob_normal, seeded(3)).elbo
        stderr = elbo.std() / n**0.5
        assert stderr < 0.02
        if tight:
            assert abs(elbo.mean() - log_p) < 4 * stderr
        else:
            assert elbo.mean() < log_p - 10 * stderr


def test_the_gradient_reaches_decoder_and_variance(images):
    scale, logvar = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.8, -2.0))
    decode = with_width(lambda x, t: scale * x, logvar)
    elbo = bound(decode, images, 0.7, generator=seeded(4)).elbo
    gradients = torch.autograd.grad(elbo.sum(), [scale, logvar])
    assert all(torch.isfinite(g) and g != 0 for g in gradients)


# ---- a network that puts out a width as well


def constant(v_hat, raw):
    """A network that always gives the same two answers."""
    return lambda x_1, t: torch.cat([torch.full_like(x_1, v_hat), torch.full_like(x_1, raw)], 1)


def test_the_bound_of_one_step_has_the_divergence_and_the_mass_of_the_bin(images):
    # With sigma of exp(-6 ...) the bins of inner levels take a density; here sigma is 1 at most.
    decode = decoder(constant(0.0, 100.0))  # log-variance 0
    found = torch.stack([bound(decode, images, generator=seeded(seed)).elbo for seed in range(40)])
    generator = seeded(99)
    cdf = td.Normal(0.0, 1.0).cdf
    expected = torch.zeros(200, 5).double()
    for draw in expected:
        eps = torch.randn(images.shape, dtype=torch.float64, generator=generator)
        mean = 0.1 * images + math.sqrt(0.1 * 0.9) * eps  # sqrt(alpha) x_1
        high = torch.where(images == 1, torch.inf, images + 1 / 255) - mean
        low = torch.where(images == -1, -torch.inf, images - 1 / 255) - mean
        draw += torch.log(cdf(high) - cdf(low)).flatten(1).sum(1)
    expected -= chain.kl_prior(one_step(0.1), images)
    for i in range(5):
        a, b = estimate(found[:, i]), estimate(expected[:, i])
        stderr = math.hypot(a.stderr, b.stderr)
        assert stderr < 5
        assert abs(a.mean - b.mean) < 4 * stderr


@pytest.mark.equation("eq-one-step-decoder")
def test_the_log_variance_lies_between_a_third_of_a_bin_and_half_the_range():
    raw = torch.tensor([-20.0, -1.0, -0.5, 0.0, 20.0]).reshape(-1, 1, 1, 1)
    network = lambda x_1, t: torch.cat([x_1, raw], dim=1)  # noqa: E731
    mean, logvar = decoder(network, alpha=0.36)(torch.ones(5, 1, 1, 1), torch.ones(5).long())
    expected = [-12.0, -6.0, 6 * math.tanh(0.5) - 6, 6 * math.tanh(1.0) - 6, 0.0]
    torch.testing.assert_close(logvar.flatten(), torch.tensor(expected))
    assert (0.5 * logvar).exp().min() == pytest.approx(math.exp(-6))
    assert math.exp(-6) == pytest.approx(2 / 255 / 3, rel=0.06)
    torch.testing.assert_close(mean.flatten(), torch.full((5,), 0.6 - 0.8))  # v_hat = x_1 = 1


def test_without_signal_the_divergence_is_zero(images):
    found = bound(with_width(lambda x_1, t: torch.zeros_like(x_1), 0.0), images, alpha=0.0)
    torch.testing.assert_close(found.kl, torch.zeros(5).double())


def test_samples_of_one_step_keep_no_graph():
    assert not sample_one_step(SmallDenoiser(out=2), 2, seeded(1)).requires_grad


def test_the_network_of_one_step_adds_what_it_knows_from_afar():
    network = SmallDenoiser()
    assert sum(p.numel() for p in network.parameters()) == 92_628  # with the sizes of its defaults
    assert network.inner[0].kernel_size == (2, 2)
    network.enter = network.leave = torch.nn.Identity()
    network.inner = torch.nn.Upsample(scale_factor=1)  # what comes from afar: the same again
    network.f = torch.nn.Linear(1, 1)  # a weight, whose type is the network's
    x = torch.randn(2, 1, 28, 28, generator=seeded(3))
    torch.testing.assert_close(network(x), 2 * x)


def test_samples_of_one_step_have_the_moments_that_the_network_says():
    n = 400
    x = sample_one_step(constant(0.5, 100.0), n, seeded(1))
    # x_1 is standard normal: mean -sqrt(0.9) / 2, variance 0.1 from x_1 and 1 from the decoder.
    count = x.numel()
    assert abs(x.mean() + 0.5 * math.sqrt(0.9)) < 4 * (1.1 / count) ** 0.5
    assert abs(x.var() / 1.1 - 1) < 4 * (2 / count) ** 0.5


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 56)])
def test_the_decoder_of_one_step_takes_any_images(shape):
    network = SmallDenoiser(4, 8, out=2, shape=shape)
    x_1 = torch.randn(2, *shape)
    assert network(x_1).shape == (2, 2 * shape[0], *shape[1:])
    assert network(x_1.double()).dtype == torch.float64
    x_0 = (2 * torch.randint(0, 256, (2, *shape)) / 255 - 1).float()
    assert bound(decoder(network), x_0).elbo.shape == (2,)
    assert sample_one_step(network, 3, seeded(0), shape).shape == (3, *shape)
    with pytest.raises(ValueError, match="expected images of shape"):
        network(torch.randn(2, 1, 28, 28))


# ---- the best denoiser


def by_brute_force(schedule, images, x_t, t):
    """Bayes' rule with densities, one number at a time."""
    out = []
    for seen, step in zip(x_t, t, strict=True):
        a, v = schedule.alpha_bar[step].sqrt(), 1 - schedule.alpha_bar[step]
        p = [td.Normal(a * image, v.sqrt()).log_prob(seen).sum().exp() for image in images]
        out.append(sum(w * image for w, image in zip(p, images, strict=True)) / sum(p))
    return torch.stack(out)


@pytest.mark.equation("eq-posterior-weights", "eq-optimal-denoiser", "eq-image-posterior")
@pytest.mark.parametrize("chunk", [1, 2, 7, 100])
def test_the_best_denoiser_agrees_with_brute_force(chunk):
    schedule, t = linear_schedule(30, 0.01, 0.3), torch.tensor([1, 5, 12, 30])
    images = normal(7, 1, 2, 2, seed=1)
    x_t = sample_xt(schedule, images[:4], normal(4, 1, 2, 2, seed=2), t)
    ours = optimal_denoiser(schedule, images, chunk)(x_t, t)
    torch.testing.assert_close(ours, by_brute_force(schedule, images, x_t, t))
    weights = posterior_weights(schedule, images, x_t, t, chunk)
    assert weights.shape == (4, 7)
    torch.testing.assert_close(weights.sum(1), torch.ones(4).double())
    torch.testing.assert_close((weights @ images.flatten(1)).reshape(4, 1, 2, 2), ours)


@pytest.mark.equation("eq-conditional-mean")
def test_it_minimises_the_squared_error():
    # The error of the best guess is orthogonal to every function of x_t.
    n, schedule, t = 200_000, one_step(0.5), torch.ones(1).long()
    images = normal(4, 2, seed=1)
    index = torch.randint(4, (n,), generator=seeded(2))
    x_t = sample_xt(schedule, images[index], normal(n, 2, seed=3), t.expand(n))
    error = images[index] - optimal_denoiser(schedule, images)(x_t, t.expand(n))
    for function in (torch.ones_like(x_t), x_t, torch.sin(3 * x_t), x_t.flip(1) ** 2):
        products = error * function
        stderr = products.std(0) / n**0.5
        assert (stderr < 0.01).all()
        assert (products.mean(0).abs() < 4 * stderr).all()


def test_float32_in_float32_out_and_the_digits_of_float64(images):
    schedule = linear_schedule(1000)
    images = torch.cat([images, images + 1e-3 * normal(5, 1, 28, 28, seed=1)])  # hard to tell apart
    for step in (1, 2, 500, 1000):
        t = torch.full((10,), step)
        x_t = sample_xt(schedule, images, normal(10, 1, 28, 28, seed=step), t).float()
        single = optimal_denoiser(schedule, images.float())(x_t, t)
        double = optimal_denoiser(schedule, images.float().double())(x_t.double(), t)
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-6)


def test_it_goes_from_one_image_to_the_mean_of_all(images):
    schedule = Schedule(torch.tensor([1.0, 1 - 1e-6, 1e-12, 0.0]).double())
    x_t = sample_xt(schedule, images[:3], normal(3, 1, 28, 28, seed=1), torch.tensor([1, 2, 3]))
    x_0_hat = optimal_denoiser(schedule, images)(x_t, torch.tensor([1, 2, 3]))
    torch.testing.assert_close(x_0_hat[0], images[0])
    torch.testing.assert_close(x_0_hat[1], images.mean(0), rtol=0, atol=1e-3)
    torch.testing.assert_close(x_0_hat[2], images.mean(0))


def test_a_single_image_is_always_the_answer(images):
    x_t, t = normal(2, 1, 28, 28, seed=1), torch.tensor([1, 30])
    denoise = optimal_denoiser(linear_schedule(30), images[:1])
    torch.testing.assert_close(denoise(x_t, t), images[:1].expand(2, -1, -1, -1))


def test_refusals(images):
    for alpha in (-0.1, 1.0, 1.5, math.nan):
        with pytest.raises(ValueError, match="alpha_bar"):
            bound(with_width(lambda x, t: x, 0.0), images, alpha)
    with pytest.raises(ValueError, match=r"2 k / 255 - 1 with whole k"):
        bound(with_width(lambda x, t: x, 0.0), images * 0.99, 0.5)
    with pytest.raises(ValueError, match="n must be"):
        sample_one_step(None, 0, seeded(1))
    denoise = optimal_denoiser(one_step(0.5), images)
    with pytest.raises(ValueError, match="from 1 to 1, got 2 to 2"):
        denoise(images[:1], torch.tensor([2]))
    with pytest.raises(ValueError, match=r"image \(1, 28, 28\), x_t \(1, 28, 1\)"):
        denoise(images[:1, :, :, :1], torch.tensor([1]))
