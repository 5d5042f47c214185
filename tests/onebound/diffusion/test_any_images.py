"""Diffusion on images of other sizes and types: no float64 and no read inside a step."""

import math
from functools import partial

import pytest
import torch

from common import Watch, by_a_random_step
from onebound.checks import check_images, trusting
from onebound.data.images import to_signed
from onebound.diffusion import onestep, tuning
from onebound.diffusion.background import fit_background
from onebound.diffusion.bound import bound, equal_chances, reverse_variance
from onebound.diffusion.denoisers import clipped, denoiser, guided, respaced
from onebound.diffusion.flows import flow, velocity_of
from onebound.diffusion.loss import denoising_loss, stratified_t
from onebound.diffusion.process import x_0_from_eps, x_0_from_v, x_0_from_x_0
from onebound.diffusion.samplers import ancestral, ddim, last
from onebound.diffusion.schedules import (
    Schedule,
    at,
    cosine_schedule,
    like,
    log_snr_schedule,
    remembered,
)
from onebound.diffusion.solvers import heun, multistep
from onebound.distributions import noise_like
from onebound.exact.gaussian import GaussianData
from onebound.exact.pixels import fit_independent_pixels
from onebound.networks.unet import UNet

T = 8
SHAPES = [(3, 32, 32), (1, 28, 56), (2, 8, 4)]


def by_flow(schedule, denoise, x_T):
    return flow(schedule, velocity_of(schedule, denoise), x_T)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def some_levels(n, shape, seed=0):
    return torch.randint(256, (n, *shape), generator=seeded(seed), dtype=torch.uint8)


def damped(x_t, t):
    return 0.5 * x_t


@pytest.mark.parametrize("shape", SHAPES)
def test_images_of_any_size_are_learnt_sampled_and_bounded(shape):
    schedule, levels = log_snr_schedule(T), some_levels(6, shape)
    x_0 = to_signed(levels)
    scale = torch.tensor(0.0, requires_grad=True)
    denoise = denoiser(schedule, lambda x_t, t: scale * x_t, x_0_from_v)
    losses = []
    for step in range(8):
        t, eps = stratified_t(6, T, seeded(step)), noise_like(x_0, seeded(step))
        loss = denoising_loss(schedule, denoise, x_0, eps, t, schedule.snr + 1).mean()
        losses.append(loss.item())
        scale.data -= 0.3 * torch.autograd.grad(loss, scale)[0] / x_0[0].numel()
    assert sum(losses[4:]) < sum(losses[:4])
    sample = last(ancestral(schedule, clipped(denoise), torch.randn(2, *shape), seeded(1)))
    assert sample.shape == (2, *shape)
    assert torch.isfinite(sample).all()
    for function in (bound, by_a_random_step):
        assert torch.isfinite(
            function(schedule, denoise, x_0, reverse_variance(schedule)).elbo
        ).all()
    tuned = tuning.tune(schedule, denoise, levels.repeat(30, 1, 1, 1), seeded(2))
    found = tuning.total(tuning.bits(schedule, denoise, levels, tuned, seeded(3)))
    # A few bits a dimension, whatever the dimensions are.
    assert ((found > 6) & (found < 20)).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_independent_pixels_of_any_size(shape):
    levels = some_levels(40, shape) // 64
    model, schedule = fit_independent_pixels(levels), log_snr_schedule(40)
    x_0 = to_signed(levels[:4])
    chain = schedule, model.denoiser(schedule), x_0, reverse_variance(schedule)
    elbo = bound(*chain, generator=seeded(1)).elbo.mean()  # that of one image scatters too much
    known = model.log_prob(levels[:4]).mean()
    assert 2 * known < elbo < known
    with pytest.raises(ValueError, match=f"expected images of {x_0[0].numel()} pixels, got"):
        model.denoiser(schedule)(torch.zeros(1, 1, 4, 4), torch.tensor([1]))
    with pytest.raises(ValueError, match=f"expected images of {x_0[0].numel()} pixels, got"):
        model.log_prob(levels[:, :, :-1])


# ---- inside a step


@pytest.fixture(params=[x_0_from_eps, x_0_from_v, x_0_from_x_0])
def model(request):
    schedule = cosine_schedule(T)
    return schedule, denoiser(schedule, damped, request.param)


def test_a_training_step_makes_no_float64_and_reads_nothing(model):
    schedule, denoise = model
    x_0 = to_signed(some_levels(4, (1, 28, 28)))
    weight = schedule.snr + 1

    def step():
        t = stratified_t(len(x_0), T)
        return denoising_loss(schedule, denoise, x_0, noise_like(x_0), t, weight)

    step()
    with trusting(), Watch() as watch:
        step()
    watch.nothing()


@pytest.mark.parametrize("sampler", [ancestral, partial(ddim, eta=0.3), multistep, heun, by_flow])
def test_a_sampling_step_makes_no_float64_and_reads_nothing(model, sampler):
    schedule, denoise = model
    coarse, few = respaced(schedule, clipped(denoise), torch.arange(2, T + 1, 2))
    better = guided(few, few, 2.0)
    steps = sampler(coarse, better, torch.randn(4, 1, 28, 28))
    next(steps)
    for _ in range(coarse.T - 1):
        with Watch() as watch:
            next(steps)
        watch.nothing()


def test_a_sampler_does_not_make_its_caller_trust():
    schedule = cosine_schedule(T)
    for step in ancestral(schedule, damped, torch.randn(2, 3)):
        with pytest.raises(ValueError, match="from 1 to 8, got 0 to 0"):
            at(schedule.beta, torch.tensor([0, 0]), step.x_s)


def test_the_evaluation_of_a_batch_makes_no_float64_and_reads_nothing(model):
    schedule, denoise = model
    x_0, variance = to_signed(some_levels(4, (1, 28, 28))), reverse_variance(schedule)
    chances = equal_chances(schedule)
    for evaluate in (
        lambda: bound(schedule, denoise, x_0, variance),
        lambda: bound(schedule, denoise, x_0, variance, chances=chances),
        lambda: onestep.bound(lambda x, t: (denoise(x, t), torch.tensor(-2.0)), x_0, 0.5),
    ):
        evaluate()
        with trusting(), Watch() as watch:
            evaluate()
        watch.nothing()


def test_many_images_are_read_in_the_first_batch_alone(model, monkeypatch):
    schedule, denoise = model
    monkeypatch.setattr(tuning, "AT_ONCE", 4)
    levels, seen = some_levels(12, (1, 28, 28)), []

    def watched(x_t, t):
        seen.append(len(watch.reads) + len(watch.doubles))
        return denoise(x_t, t)

    tuned = tuning.Tuned(reverse_variance(schedule), equal_chances(schedule))
    with Watch() as watch:
        tuning.bits(schedule, watched, levels, tuned, seeded(1))
    assert len(seen) == 6
    assert seen[0] > 0  # what the first batch was asked
    assert seen[2:] == seen[2:3] * 4
    assert len(watch.reads) + len(watch.doubles) == seen[2]


def test_oracles_answer_float32_without_float64():
    schedule, levels = cosine_schedule(T), some_levels(30, (1, 8, 8))
    t = torch.arange(1, 5)
    data = GaussianData(torch.zeros(5).double(), torch.eye(5).double())
    pixels, background = fit_independent_pixels(levels), fit_background(levels)
    for denoise, x_t in [
        (data.denoiser(schedule), torch.randn(4, 5)),
        (pixels.denoiser(schedule), torch.randn(4, 1, 8, 8)),
        (denoiser(schedule, damped, background.x_0_from_residual), torch.randn(4, 1, 8, 8)),
    ]:
        expected = denoise(x_t.double(), t)
        assert expected.dtype == torch.float64
        denoise(x_t, t)
        with trusting(), Watch() as watch:
            found = denoise(x_t, t)
        watch.nothing()
        torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-4)


# ---- tables


def test_a_single_step_has_no_chances():
    assert equal_chances(cosine_schedule(1)).tolist() == [0, 0]
    assert equal_chances(cosine_schedule(2)).tolist() == [0, 0, 1]
    assert equal_chances(cosine_schedule(3)).tolist() == [0, 0, 0.5, 0.5]


def test_a_table_is_converted_once_until_it_changes():
    table, x = torch.linspace(0, 1, 5).double(), torch.zeros(2, 3)
    first = like(table, x)
    assert first.dtype == torch.float32
    assert like(table, x) is first
    table[2] = 7
    assert like(table, x)[2] == 7


def test_a_table_that_learns_gets_its_gradient_each_time():
    table, x = torch.linspace(0.1, 1, T + 1).double().requires_grad_(), torch.ones(2, 3)
    for _ in range(2):
        (gradient,) = torch.autograd.grad(at(table, torch.tensor([2, 3]), x).sum(), table)
        assert gradient.tolist() == [0, 0, 1, 1, 0, 0, 0, 0, 0]
        (gradient,) = torch.autograd.grad(remembered(torch.exp, table).sum(), table)
        torch.testing.assert_close(gradient, table.exp())


def test_a_table_used_or_made_in_inference_can_be_trained_with_later():
    used, x = torch.linspace(0.1, 1, T + 1).double(), torch.ones(T + 1, requires_grad=True)
    with torch.inference_mode():
        like(used, x)
        made = torch.linspace(0.1, 1, T + 1).double()
        assert like(made, x).dtype == torch.float32
    (like(used, x) * x).sum().backward()
    torch.testing.assert_close(x.grad, used.float())


# ---- refusals


def test_images_between_0_and_1_are_refused():
    schedule, x_0 = cosine_schedule(T), to_signed(some_levels(2, (1, 4, 4))).abs()
    t = torch.tensor([1, 2])
    with pytest.raises(ValueError, match=r"none of 2 with a value below 0, .*to_signed"):
        denoising_loss(schedule, damped, x_0, x_0, t, schedule.snr)
    x_0[0, 0, 0, 0] = -0.01  # one value below is enough
    denoising_loss(schedule, damped, x_0, x_0, t, schedule.snr)


@pytest.mark.parametrize("function", [bound, by_a_random_step])
def test_levels_and_half_precision_are_refused_by_the_bound(function):
    schedule, levels = cosine_schedule(T), some_levels(2, (1, 4, 4))
    with pytest.raises(ValueError, match=r"floating-point data, got torch.uint8: .*to_signed"):
        function(schedule, damped, levels, reverse_variance(schedule))
    for half in (torch.float16, torch.bfloat16):
        with pytest.raises(
            ValueError, match=r"float32 or float64, got torch.b?float16: .*float\(\)"
        ):
            function(schedule, damped, to_signed(levels).to(half), reverse_variance(schedule))


def test_half_precision_is_refused_by_the_loss():
    schedule, x_0 = cosine_schedule(T), to_signed(some_levels(2, (1, 4, 4))).half()
    for data in (x_0, x_0.flatten(1)):
        with pytest.raises(ValueError, match=r"float32 or float64, got torch.float16"):
            denoising_loss(schedule, damped, data, data, torch.tensor([1, 2]), schedule.snr)


@pytest.mark.parametrize(
    "shape", [(1, 3, 30, 28), (1, 3, 28, 30), (0, 1, 28, 28), (2, 28, 28), (2,)]
)
def test_other_shapes_are_refused_by_the_loss(shape):
    schedule, x_0 = cosine_schedule(T), -torch.ones(shape)
    t = torch.ones(len(x_0), dtype=torch.int64)
    with pytest.raises(ValueError, match=r"\(B, C, H, W\), H and W multiples of 4, got shape \("):
        denoising_loss(schedule, damped, x_0, x_0, t, schedule.snr)


@pytest.mark.parametrize("value", [-1e-9, float("nan")])
def test_a_variance_that_has_no_root_is_refused(value):
    schedule = cosine_schedule(T)
    variance = schedule.beta.clone()
    variance[3] = value
    with pytest.raises(ValueError, match="variance must not be negative, got"):
        next(ancestral(schedule, damped, torch.randn(2, 3), variance=variance))


def test_the_entry_of_no_step_may_be_anything_and_every_other_counts():
    schedule, x_T = cosine_schedule(T), torch.randn(2, 3)
    variance = schedule.beta.clone()
    variance[0] = -5
    assert torch.isfinite(last(ancestral(schedule, damped, x_T, variance=variance))).all()
    variance[1] = -0.25
    with pytest.raises(ValueError, match=r"variance must not be negative, got -0\.25"):
        next(ancestral(schedule, damped, x_T, variance=variance))


@pytest.mark.parametrize("sampler", [ancestral, partial(ddim, eta=0.3), multistep, heun, by_flow])
def test_values_are_checked_in_the_first_step_of_a_sampler(sampler):
    def careful(x_t, t):
        check_images(x_t, -math.inf, math.inf)
        return damped(x_t, t)

    with pytest.raises(ValueError, match="expected finite images, got values from nan"):
        next(sampler(cosine_schedule(T), careful, torch.full((2, 1, 4, 4), math.nan)))


@pytest.mark.parametrize("strength", [float("nan"), float("inf")])
def test_a_strength_that_is_not_finite_is_refused(strength):
    with pytest.raises(ValueError, match=f"strength must be finite, got {strength}"):
        guided(damped, damped, strength)


def test_eps_is_refused_where_no_signal_is_left():
    schedule = Schedule(torch.tensor([1.0, 0.5, 0.0]).double())
    with pytest.raises(ValueError, match="alpha_bar_T is 0: take x_0_from_v"):
        denoiser(schedule, damped, x_0_from_eps)
    for x_0_from in (x_0_from_v, x_0_from_x_0):
        found = last(ancestral(schedule, denoiser(schedule, damped, x_0_from), torch.randn(2, 3)))
        assert torch.isfinite(found).all()


def test_a_network_for_colours_takes_what_the_loss_takes():
    schedule, x_0 = cosine_schedule(T), to_signed(some_levels(2, (3, 32, 32)))
    network = UNet(T, shape=(3, 32, 32))
    denoise = denoiser(schedule, network, x_0_from_v)
    loss = denoising_loss(
        schedule, denoise, x_0, noise_like(x_0), torch.tensor([1, T]), schedule.snr
    )
    loss.sum().backward()
    assert all(p.grad is not None for p in network.parameters())
