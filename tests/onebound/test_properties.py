"""What holds for every schedule, scale and type, however extreme.

Hypothesis looks for counterexamples, the same ones in each run. The ranges are wider than anything
that the book uses: schedules of 1 to 4000 steps, log-SNR from 20 down to -30, log-variances within
±30. Nothing may be NaN or infinite there unless a docstring says so.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common import SCHEDULES, by_a_random_step
from onebound import likelihoods
from onebound.data.images import to_signed, to_unit
from onebound.diffusion import onestep, samplers
from onebound.diffusion.bound import (
    bound,
    kl_coefficients,
    kl_prior,
    kl_step,
    reverse_variance,
)
from onebound.diffusion.denoisers import clipped, even_steps, respaced
from onebound.diffusion.loss import denoising_loss, stratified_t
from onebound.diffusion.process import (
    eps_from_x_0,
    q_xs_xt_x0,
    q_xt_x0,
    sample_xt,
    v_from_x_0,
    x_0_from_eps,
    x_0_from_v,
)
from onebound.diffusion.schedules import cosine_schedule, log_snr_schedule
from onebound.distributions import kl_normal, kl_normal_standard, log_prob_normal
from onebound.evaluation.estimates import estimate, per_example, two_level
from onebound.exact.finite import optimal_denoiser, posterior_weights
from onebound.likelihoods import bits_per_dim
from onebound.vae.importance import log_mean_exp
from onebound.vae.model import VAE

settings.register_profile(
    "book", derandomize=True, deadline=None, database=None, max_examples=60, print_blob=False
)
settings.load_profile("book")

TYPES = st.sampled_from([torch.float32, torch.float64])
SEEDS = st.integers(0, 2**32 - 1)
LOG_VARIANCES = st.one_of(st.sampled_from([-30.0, 0.0, 30.0]), st.floats(-30, 30))
SCALES = st.sampled_from([1e-3, 1.0, 1e3])
LENGTHS = st.one_of(st.sampled_from([1, 2, 3, 1000, 4000]), st.integers(1, 4000))


@st.composite
def schedules(draw, lengths=LENGTHS):
    """One of the book's schedules, or one between any two ends in log-SNR."""
    T = draw(lengths)
    make = draw(st.sampled_from([*SCHEDULES, None]))
    if make is not None:
        return make(T)
    first = draw(st.floats(-10, 20))
    return log_snr_schedule(T, first, draw(st.floats(-30, first - 1)))


@st.composite
def normals(draw, count=2):
    """`count` pairs of mean and log-variance, shape (3, 4), all of one type."""
    dtype, g = draw(TYPES), torch.Generator().manual_seed(draw(SEEDS))
    pairs = []
    for _ in range(count):
        mu = draw(SCALES) * torch.randn(3, 4, dtype=dtype, generator=g)
        logvar = draw(LOG_VARIANCES) + torch.zeros(3, 4, dtype=dtype)
        pairs += [mu, logvar]
    return pairs


def noise(seed, *shape, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def some_steps(schedule, count=5):
    """Both ends and a few steps between."""
    return torch.linspace(1, schedule.T, count).long()


def finite(*tensors):
    return all(torch.isfinite(tensor).all() for tensor in tensors)


def tolerance(dtype):
    return 2e-5 if dtype == torch.float32 else 1e-12


# ---- schedules and what a network may put out


@given(schedules())
def test_the_parts_of_a_schedule_fit_together(schedule):
    later = slice(1, None)
    for name in ("beta", "alpha", "beta_tilde", "snr", "log_snr"):
        assert finite(getattr(schedule, name)[later]), name
    torch.testing.assert_close(schedule.alpha + schedule.beta, torch.ones_like(schedule.alpha))
    torch.testing.assert_close(schedule.alpha.cumprod(0), schedule.alpha_bar, rtol=1e-9, atol=0)
    assert (schedule.snr.diff() < 0).all()
    assert (schedule.beta_tilde >= 0).all()
    assert (schedule.beta_tilde <= schedule.beta).all()
    torch.testing.assert_close(
        schedule.snr[later].log(), schedule.log_snr[later], rtol=0, atol=1e-6
    )


@given(schedules(), TYPES, SEEDS, SCALES)
def test_image_noise_and_velocity_are_names_for_one_thing(schedule, dtype, seed, scale):
    t = some_steps(schedule)
    x_0, eps = scale * noise(seed, 5, 3, dtype=dtype), noise(seed + 1, 5, 3, dtype=dtype)
    x_t = sample_xt(schedule, x_0, eps, t)
    signal, spread = (value.sqrt() for value in (schedule.alpha_bar[t], schedule.snr[t]))
    size = (x_t.abs() + x_0.abs() + 1).double()
    exact = tolerance(dtype) * size
    v = v_from_x_0(schedule, x_t, x_0, t)
    assert finite(x_t, v)
    assert ((x_0_from_v(schedule, x_t, v, t) - x_0).abs() <= exact).all()
    # This way the rounding of x_t is divided by the share of x_0 in it, and of eps the other way.
    eps_back = eps_from_x_0(schedule, x_t, x_0, t)
    back = x_0_from_eps(schedule, x_t, eps_back, t)
    assert finite(back)
    assert ((back - x_0).abs() <= exact / signal[:, None]).all()
    assert ((eps_back - eps).abs() <= exact * (spread / signal)[:, None].clamp(min=1)).all()


@given(st.integers(0, 255), SEEDS)
def test_levels_come_back_from_every_scale(level, seed):
    images = torch.full((1, 1, 28, 28), level, dtype=torch.uint8)
    assert (to_unit(images) * 255).round().eq(level).all()
    assert ((to_signed(images) + 1) * 127.5).round().eq(level).all()
    y = likelihoods.dequantise(images, torch.Generator().manual_seed(seed))
    assert (256 * y - level).abs().le(1).all()


@given(schedules(), SEEDS)
def test_the_step_back_leads_from_one_marginal_to_the_next(schedule, seed):
    """Mean and variance of x_s, once from x_t and x_0 and once directly."""
    t = some_steps(schedule)
    x_0 = noise(seed, 5, 2)
    mean_t, variance_t = q_xt_x0(schedule, x_0, t)
    one, zero = torch.ones_like(x_0), torch.zeros_like(x_0)
    mean, added = q_xs_xt_x0(schedule, mean_t, x_0, t)
    slope, _ = q_xs_xt_x0(schedule, one, zero, t)
    alpha_bar_s = schedule.alpha_bar_s[t][:, None]
    torch.testing.assert_close(mean, alpha_bar_s.sqrt() * x_0, rtol=0, atol=1e-9)
    total = slope**2 * variance_t + added
    torch.testing.assert_close(total, (1 - alpha_bar_s).expand_as(total), rtol=0, atol=1e-9)


# ---- divergences and densities


@given(normals())
def test_a_divergence_is_finite_and_never_negative(parameters):
    mu_q, logvar_q, mu_p, logvar_p = parameters
    kl = kl_normal(mu_q, logvar_q, mu_p, logvar_p)
    standard = kl_normal_standard(mu_q, logvar_q)
    assert finite(kl, standard)
    assert (kl >= 0).all()
    assert (standard >= 0).all()
    zero = torch.zeros_like(mu_q)
    torch.testing.assert_close(kl_normal(mu_q, logvar_q, zero, zero), standard)


@given(normals(count=1), st.floats(-1e-3, 1e-3))
def test_a_divergence_is_zero_exactly_at_equality(parameters, step):
    mu, logvar = parameters
    assert (kl_normal(mu, logvar, mu, logvar) == 0).all()
    wider = logvar + step
    kl = kl_normal(mu, wider, mu, logvar)
    assert (kl >= 0).all()
    assert ((kl > 0) | ((wider - logvar).abs() < 1e-4).any(1)).all()


@given(normals(count=1), st.sampled_from([-1.0, 1.0]), st.floats(1e-3, 1e3))
def test_a_divergence_is_zero_for_no_other_mean(parameters, sign, deviations):
    """Moved by d standard deviations in each of four dimensions, it is 2 d^2."""
    mu, logvar = (parameter.double() for parameter in parameters)
    moved = mu + sign * deviations * torch.exp(logvar / 2)
    for kl in (kl_normal(moved, logvar, mu, logvar), kl_normal(mu, logvar, moved, logvar)):
        torch.testing.assert_close(kl, torch.full_like(kl, 2 * deviations**2), rtol=1e-2, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_divergences_at_the_ends_of_the_range(dtype):
    """Half of r - 1 - log r for each dimension, r the quotient of the variances."""
    zero, low = torch.zeros(2, 3, dtype=dtype), torch.full((2, 3), -30.0, dtype=dtype)
    assert (kl_normal_standard(zero, zero) == 0).all()
    for kl, log_r in (
        (kl_normal(zero, low, zero, -low), -60),
        (kl_normal(zero, -low, zero, low), 60),
        (kl_normal_standard(zero, low), -30),
        (kl_normal_standard(zero, -low), 30),
    ):
        expected = 1.5 * (math.exp(log_r) - 1 - log_r)
        torch.testing.assert_close(kl, torch.full_like(kl, expected), rtol=1e-5, atol=0)


@given(normals(count=3), st.floats(-5, 5), st.floats(-10, 10))
def test_densities_and_divergences_do_not_care_about_the_unit(parameters, log_unit, shift):
    """y = c x + b: divergences stay, and log-densities fall by log c a dimension."""
    mu_q, logvar_q, mu_p, logvar_p, x, _ = (parameter.double() for parameter in parameters)
    c = math.exp(log_unit)
    moved = (c * mu_q + shift, logvar_q + 2 * log_unit, c * mu_p + shift, logvar_p + 2 * log_unit)
    torch.testing.assert_close(
        kl_normal(*moved), kl_normal(mu_q, logvar_q, mu_p, logvar_p), rtol=1e-5, atol=1e-5
    )
    x = mu_q + torch.exp(logvar_q / 2) * torch.tanh(x)
    before = log_prob_normal(x, mu_q, logvar_q)
    after = log_prob_normal(c * x + shift, *moved[:2])
    assert finite(before, after)
    # A shift by 10 takes digits from a difference of 1e-7.
    torch.testing.assert_close(after, before - 4 * log_unit, rtol=1e-4, atol=1e-4)


@given(TYPES, SCALES, LOG_VARIANCES, SEEDS)
def test_a_normal_density_is_finite_within_many_deviations(dtype, scale, logvar, seed):
    mu, x = noise(seed, 3, 4, dtype=dtype), scale * noise(seed + 1, 3, 4, dtype=dtype)
    assert finite(log_prob_normal(x, mu, torch.full_like(mu, logvar)))


# ---- likelihoods


EVERY_LEVEL = torch.arange(256).reshape(-1, 1, 1, 1) + torch.zeros(1, 1, 28, 28)
MEANS = st.one_of(st.sampled_from([-1.0, 0.0, 1.0]), st.floats(-3, 3))


@settings(max_examples=25)
@given(TYPES, MEANS, LOG_VARIANCES)
def test_discretised_normal_levels_sum_to_one(dtype, mean, logvar):
    x = (2 * EVERY_LEVEL.double() / 255 - 1).to(dtype)
    mean, logvar = torch.tensor(mean, dtype=dtype), torch.tensor(logvar, dtype=dtype)
    nats = likelihoods.log_prob_discretised_normal(x, mean, logvar) / 784
    assert finite(nats)
    assert (nats <= 0).all()
    assert torch.logsumexp(nats.double(), 0).abs().item() < 30 * tolerance(dtype)


@settings(max_examples=25)
@given(TYPES, MEANS, st.floats(-15, 15))
def test_discretised_logistic_levels_sum_to_one(dtype, mean, log_scale):
    x = (EVERY_LEVEL.double() / 255).to(dtype)
    mean, log_scale = torch.tensor(mean, dtype=dtype), torch.tensor(log_scale, dtype=dtype)
    nats = likelihoods.log_prob_discretised_logistic(x, mean, log_scale) / 784
    assert finite(nats)
    assert (nats <= 0).all()
    assert torch.logsumexp(nats.double(), 0).abs().item() < 30 * tolerance(dtype)
    logits = likelihoods.discretised_logistic_logits(mean.reshape(1, 1, 1, 1), log_scale).flatten()
    torch.testing.assert_close(logits, nats, rtol=1e-4, atol=1e-4)


@given(TYPES, st.one_of(st.sampled_from([-1e4, -0.1, 0.0, 0.1, 1e4]), st.floats(-100, 100)))
def test_bernoulli_pixels_of_either_kind(dtype, logit):
    logits = torch.full((1, 1, 28, 28), logit, dtype=dtype)
    black, white = torch.zeros_like(logits), torch.ones_like(logits)
    nats = torch.stack([likelihoods.log_prob_bernoulli(x, logits) / 784 for x in (black, white)])
    assert finite(nats)
    assert torch.logsumexp(nats.double(), 0).abs().item() < tolerance(dtype) * (1 + abs(logit))
    normaliser = likelihoods.continuous_bernoulli_log_normaliser
    mean = likelihoods.continuous_bernoulli_mean
    assert finite(normaliser(logits), mean(logits))
    # y and 1 - y change places with the sign of the logit.
    torch.testing.assert_close(normaliser(logits) - normaliser(-logits), logits)
    torch.testing.assert_close(mean(logits) + mean(-logits), white)
    assert (mean(logits) >= 0).all()
    assert (mean(logits) <= 1).all()


# ---- one example among others, in either type


@st.composite
def four_examples(draw):
    """Each density, probability and divergence, with four examples of what it takes.

    All are numbers of the shorter type, so that the longer one is told no others.
    """
    g = torch.Generator().manual_seed(draw(SEEDS))
    logvar, scale = draw(LOG_VARIANCES), draw(SCALES)
    levels = torch.randint(0, 256, (4, 1, 28, 28), generator=g)
    unit, signed = levels / 255, 2 * levels / 255 - 1
    mean, logits = (torch.randn(4, 1, 28, 28, generator=g) for _ in range(2))
    mu_q, mu_p, x = (scale * torch.randn(4, 3, generator=g) for _ in range(3))
    wide, narrow = torch.full((4, 3), logvar), torch.full((4, 3), -logvar)
    spread = torch.full((4, 1, 28, 28), logvar)
    function, inputs = draw(
        st.sampled_from(
            [
                (log_prob_normal, (x, mu_q, wide)),
                (kl_normal_standard, (mu_q, wide)),
                (kl_normal, (mu_q, wide, mu_p, narrow)),
                (likelihoods.log_prob_bernoulli, (levels.remainder(2).float(), scale * logits)),
                (likelihoods.cross_entropy_grey, (unit, scale * logits)),
                (likelihoods.log_prob_continuous_bernoulli, (unit, scale * logits)),
                (likelihoods.log_prob_discretised_logistic, (unit, mean, spread / 2)),
                (likelihoods.log_prob_discretised_normal, (signed, mean, spread)),
                (likelihoods.log_prob_categorical, (unit, scale * logits * mean[:, :1])),
            ]
        )
    )
    if function is likelihoods.log_prob_categorical:
        steps = torch.linspace(-1, 1, 256)[None, :, None, None]
        inputs = unit, inputs[1] * steps
    return function, inputs


@given(four_examples())
def test_an_example_counts_alone_as_in_a_batch_and_in_either_type(drawn):
    function, inputs = drawn
    inputs = [parameter.requires_grad_() for parameter in inputs]
    single = function(*inputs)
    exact = [parameter.detach().double() for parameter in inputs]
    together = function(*exact)
    assert single.dtype == torch.float32
    assert together.dtype == torch.float64
    assert together.shape == (4,)
    assert finite(single, together)
    torch.testing.assert_close(single.double(), together, rtol=1e-4, atol=1e-3)
    alone = [function(*(parameter[i : i + 1] for parameter in exact)) for i in range(4)]
    torch.testing.assert_close(torch.cat(alone), together, rtol=1e-12, atol=1e-12)
    single.sum().backward()
    assert finite(*(parameter.grad for parameter in inputs if parameter.grad is not None))


class Encoder(torch.nn.Module):
    """Three pixels are the mean; the log-variance is what is asked for."""

    def __init__(self, logvar):
        super().__init__()
        self.logvar = logvar

    def forward(self, x):
        mu = x[:, 0, 14, 13:16]
        return mu, torch.full_like(mu, self.logvar)


class Decoder(torch.nn.Module):
    """All pixels have the logit z_1 + z_2 + z_3."""

    latent_size = 3

    def forward(self, z):
        return z.sum(1)[:, None, None, None].expand(-1, 1, 28, 28)


@given(LOG_VARIANCES, TYPES, SEEDS)
def test_a_vae_has_a_finite_bound_however_sure_its_encoder_is(logvar, dtype, seed):
    vae, g = VAE(Encoder(logvar), Decoder()), torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (4, 1, 28, 28), generator=g).to(dtype)
    terms = vae.bound(x, g)
    weights = vae.log_weights(x, 3, g)
    assert finite(*terms, weights, log_mean_exp(weights))
    assert terms.kl.dtype == weights.dtype == dtype
    assert (terms.kl >= 0).all()
    assert (terms.log_likelihood <= 0).all()
    alone = torch.cat([vae.bound(x[i : i + 1], g).kl for i in range(4)])
    torch.testing.assert_close(alone, terms.kl)


# ---- the bound


def halved(x_t, t):
    """A denoiser that is good at nothing, and finite everywhere."""
    return torch.tanh(x_t / 2)


@given(schedules())
def test_the_coefficients_of_the_bound(schedule):
    weight, excess = kl_coefficients(schedule, reverse_variance(schedule))
    assert finite(weight, excess[2:])
    assert (excess[2:] >= 0).all()
    half_drop = 0.5 * (schedule.snr[1:-1] - schedule.snr[2:])
    torch.testing.assert_close(weight[2:], half_drop, rtol=1e-5, atol=0)
    other_weight, other_excess = kl_coefficients(schedule, schedule.beta)
    assert finite(other_weight, other_excess[2:])
    assert (other_excess[2:] >= 0).all()


@given(schedules(), TYPES, SEEDS)
def test_every_term_of_the_bound_is_finite(schedule, dtype, seed):
    g = torch.Generator().manual_seed(seed)
    levels = torch.randint(0, 256, (3, 1, 28, 28), generator=g)
    x_0 = to_signed(levels.to(torch.uint8)).to(dtype)
    variance = reverse_variance(schedule)
    terms = by_a_random_step(schedule, halved, x_0, variance, generator=g)
    assert finite(*terms, terms.elbo)
    assert (terms.kl_steps >= 0).all()
    assert (terms.kl_prior >= 0).all()
    assert (terms.log_likelihood <= 0).all()
    assert (bits_per_dim(terms.elbo) > 0).all()
    t = some_steps(schedule, 3)
    eps = noise(seed, *x_0.shape, dtype=dtype)
    for weight in (schedule.snr, schedule.snr + 1, kl_coefficients(schedule, variance)[0]):
        loss = denoising_loss(schedule, halved, x_0, eps, t, weight)
        assert finite(loss)
        assert (loss >= 0).all()


@settings(max_examples=20)
@given(schedules(st.integers(1, 30)), SEEDS)
def test_the_bound_of_a_batch_is_that_of_its_members(schedule, seed):
    """All terms that are no estimates, one by one and together, in both types."""
    x_0, eps = noise(seed, 4, 1, 2, 2), noise(seed + 1, 4, 1, 2, 2)
    variance = reverse_variance(schedule)
    t = some_steps(schedule, 4)
    functions = [lambda x, e, t: kl_prior(schedule, x)]
    if schedule.T > 1:
        t = t.clamp(min=2)
        functions.append(lambda x, e, t: kl_step(schedule, halved, x, e, t, variance))
    for function in functions:
        together = function(x_0, eps, t)
        alone = [function(x_0[i : i + 1], eps[i : i + 1], t[i : i + 1]) for i in range(4)]
        torch.testing.assert_close(torch.cat(alone), together)
        assert (together >= 0).all()
        single = function(x_0.float(), eps.float(), t)
        torch.testing.assert_close(single.double(), together, rtol=1e-3, atol=1e-5)


@settings(max_examples=20)
@given(st.floats(0, 1, exclude_max=True), LOG_VARIANCES, TYPES, SEEDS)
def test_one_step_is_diffusion_with_one_step(alpha, logvar, dtype, seed):
    if dtype == torch.float32:
        alpha = min(alpha, 1 - 1e-6)  # nearer to 1 there is no number of this type
    levels = torch.arange(784).remainder(256).to(torch.uint8).reshape(1, 1, 28, 28)
    x_0 = to_signed(levels).to(dtype)
    logvar = torch.tensor(logvar, dtype=dtype)
    g = torch.Generator()
    decode = lambda x, t: (halved(x, t), logvar)  # noqa: E731
    one = onestep.bound(decode, x_0, alpha, generator=g.manual_seed(seed))
    variance = logvar.double().exp() + torch.zeros(2, dtype=torch.float64)
    many = bound(onestep.one_step(alpha), halved, x_0, variance, generator=g.manual_seed(seed))
    assert finite(*one, *many)
    assert (one.kl >= 0).all()
    loose = {"rtol": 1e-3, "atol": 1e-2} if dtype == torch.float32 else {}
    torch.testing.assert_close(many.kl_prior, one.kl, **loose)
    torch.testing.assert_close(many.log_likelihood, one.log_likelihood, **loose)
    assert (many.kl_steps == 0).all()


# ---- samplers and the ends of the range


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("T", [1, 4000])
@pytest.mark.parametrize("make", SCHEDULES)
def test_one_step_and_four_thousand(make, T, dtype):
    """What Hypothesis may try, tried for certain: every term, and samplers on 25 of the steps."""
    schedule, g = make(T), torch.Generator().manual_seed(0)
    levels = torch.randint(0, 256, (2, 1, 28, 28), generator=g).to(torch.uint8)
    x_0 = to_signed(levels).to(dtype)
    terms = by_a_random_step(schedule, halved, x_0, reverse_variance(schedule), generator=g)
    assert finite(*terms)
    assert (terms.kl_steps >= 0).all()
    assert (terms.kl_steps > 0).any().item() == (T > 1)
    coarse, denoise = respaced(schedule, halved, even_steps(T, min(T, 25)))
    x_T = noise(0, 2, 1, 28, 28, dtype=dtype)
    for steps in (
        samplers.ancestral(coarse, denoise, x_T, g),
        samplers.ddim(coarse, denoise, x_T, 0.0, g),
    ):
        drawn = samplers.last(steps)
        assert drawn.dtype == dtype
        assert finite(drawn)
        assert drawn.abs().max() <= 1  # the last step is a guess, and each of these is


def test_four_thousand_steps_of_a_sampler():
    point = noise(1, 2, 3)
    drawn = samplers.last(samplers.ancestral(cosine_schedule(4000), lambda x, t: point, point))
    torch.testing.assert_close(drawn, point, rtol=0, atol=1e-12)


@settings(max_examples=25)
@given(schedules(st.integers(1, 60)), TYPES, st.floats(0, 1), SEEDS)
def test_a_denoiser_that_is_sure_is_obeyed(schedule, dtype, eta, seed):
    """Every sampler ends at the guess, since the last step adds no noise."""
    x_T, point = noise(seed, 3, 2, dtype=dtype), noise(seed + 1, 3, 2, dtype=dtype).clamp(-1, 1)
    g = torch.Generator().manual_seed(seed)
    sure = clipped(lambda x_t, t: point)
    for steps in (
        samplers.ancestral(schedule, sure, x_T, g),
        samplers.ddim(schedule, sure, x_T, eta, g),
    ):
        taken = list(steps)
        assert [step.t for step in taken] == list(range(schedule.T, 0, -1))
        assert all(finite(step.x_t, step.x_s) for step in taken)
        torch.testing.assert_close(taken[-1].x_s, point, rtol=0, atol=tolerance(dtype))


@given(LENGTHS, st.data())
def test_fewer_steps(T, draws):
    K = draws.draw(st.integers(1, T))
    steps = even_steps(T, K)
    assert len(steps) == K
    assert steps[-1] == T
    assert steps[0] >= 1
    gaps = torch.diff(steps, prepend=torch.zeros(1, dtype=torch.int64))
    assert gaps.min() >= T // K
    assert gaps.max() <= -(-T // K)
    fine = log_snr_schedule(T)
    coarse, denoise = respaced(fine, lambda x, t: t.double()[:, None] + 0 * x, steps)
    assert torch.equal(coarse.alpha_bar[1:], fine.alpha_bar[steps])
    assert denoise(torch.zeros(1, 1).double(), torch.tensor([K])).item() == T


@given(st.integers(1, 300), LENGTHS, SEEDS)
def test_stratified_steps_are_spread_evenly(n, T, seed):
    t = stratified_t(n, T, torch.Generator().manual_seed(seed))
    assert t.shape == (n,)
    assert t.min() >= 1
    assert t.max() <= T
    counts = torch.bincount(t, minlength=T + 1)[1:]
    assert counts.min() >= n // T - 1
    assert counts.max() <= -(-n // T) + 1


# ---- the exact denoiser and estimates


@settings(max_examples=30)
@given(schedules(), TYPES, st.integers(1, 7), SEEDS)
def test_the_best_guess_is_a_mean_of_the_data(schedule, dtype, chunk, seed):
    images, x_t = noise(seed, 7, 2, 3, dtype=dtype), 5 * noise(seed + 1, 5, 2, 3, dtype=dtype)
    t = some_steps(schedule)
    weights = posterior_weights(schedule, images, x_t, t, chunk)
    assert finite(weights)
    torch.testing.assert_close(weights.sum(1), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(weights, posterior_weights(schedule, images, x_t, t))
    guess = optimal_denoiser(schedule, images, chunk)(x_t, t)
    assert guess.dtype == dtype
    slack = tolerance(dtype)
    assert (guess >= images.amin(0) - slack).all()
    assert (guess <= images.amax(0) + slack).all()


@given(st.integers(2, 50), st.integers(1, 60), st.floats(-1e3, 1e3), SCALES, SEEDS)
def test_an_estimate_does_not_care_about_batches_and_units(n, batch_size, shift, unit, seed):
    values = noise(seed, n)
    found = estimate(per_example(lambda batch: unit * batch + shift, values, batch_size))
    plain = estimate(values)
    assert found.mean == pytest.approx(unit * plain.mean + shift, abs=1e-9 * (unit + abs(shift)))
    assert found.stderr == pytest.approx(unit * plain.stderr, rel=1e-6, abs=1e-9)
    chosen = torch.arange(n)
    cheap = noise(seed + 1, n)
    both = two_level(cheap, values, chosen)
    assert both.mean == pytest.approx(plain.mean)
    assert both.stderr >= estimate(cheap).stderr * (1 - 1e-12)
