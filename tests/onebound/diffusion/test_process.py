"""The score, Tweedie's formula and the mean of DDPM's step, against the exact densities."""

import pytest
import torch

from onebound.diffusion.process import (
    eps_from_x_0,
    mean_from_eps,
    q_xs_xt_x0,
    q_xt_x0,
    weight_of_x_0,
    weight_of_x_t,
    x_0_from_eps,
)
from onebound.diffusion.samplers import ancestral
from onebound.diffusion.schedules import (
    Schedule,
    cosine_schedule,
    linear_schedule,
    log_snr_schedule,
)
from onebound.diffusion.scores import score_from_x_0, x_0_from_score
from onebound.exact.finite import optimal_denoiser
from onebound.exact.gaussian import GaussianData

T = 40
SCHEDULES = [cosine_schedule(T), linear_schedule(T), log_snr_schedule(T)]
STEPS = torch.arange(1, T + 1)


def normal(*shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def slope(log_density, x):
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(log_density(x).sum(), x)
    return gradient


@pytest.mark.equation("eq-score", "eq-tweedie")
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_exact_denoiser_of_normal_data_is_the_slope_of_their_log_density(schedule):
    data = GaussianData(
        torch.tensor([1.0, -0.5]).double(), torch.tensor([[0.5, 0.45], [0.45, 0.6]]).double()
    )
    x_t = normal(T, 2, seed=1)
    found = torch.stack(
        [slope(data.marginal(schedule.alpha_bar[t]).log_prob, x_t[t - 1]) for t in STEPS]
    )
    guess = data.denoiser(schedule)(x_t, STEPS)
    torch.testing.assert_close(
        score_from_x_0(schedule, x_t, guess, STEPS), found, rtol=1e-7, atol=0
    )
    torch.testing.assert_close(
        x_0_from_score(schedule, x_t, found, STEPS), guess, rtol=1e-6, atol=1e-6
    )


@pytest.mark.equation("eq-score", "eq-tweedie")
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_so_it_is_for_a_finite_data_set(schedule):
    points = normal(7, 3, seed=2)

    def log_density(x_t):
        mean, variance = q_xt_x0(schedule, points.expand(T, 7, 3), STEPS)
        distance = ((x_t[:, None] - mean) ** 2).sum(2)
        return torch.logsumexp(-distance / (2 * variance[:, :, 0]), 1)

    x_t = q_xt_x0(schedule, normal(T, 3, seed=3), STEPS)[0] + 0.1 * normal(T, 3, seed=4)
    found = slope(log_density, x_t)
    guess = optimal_denoiser(schedule, points)(x_t, STEPS)
    torch.testing.assert_close(score_from_x_0(schedule, x_t, guess, STEPS), found)
    torch.testing.assert_close(
        x_0_from_score(schedule, x_t, found, STEPS), guess, rtol=1e-6, atol=1e-6
    )
    _, noise = schedule.amplitudes
    eps = eps_from_x_0(schedule, x_t, guess, STEPS)  # the guess of the noise points away
    torch.testing.assert_close(-noise[1:, None] * found, eps)


@pytest.mark.equation("eq-ddpm-step")
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_ddpm_has_the_mean_of_the_step_back(schedule):
    x_t, eps = normal(T, 3, seed=5), normal(T, 3, seed=6)
    x_0 = x_0_from_eps(schedule, x_t, eps, STEPS)
    mu_tilde, _ = q_xs_xt_x0(schedule, x_t, x_0, STEPS)
    found = mean_from_eps(schedule, x_t, eps, STEPS)
    torch.testing.assert_close(found, mu_tilde, rtol=1e-9, atol=1e-9)


@pytest.mark.equation("eq-ddpm-step", "eq-ancestral")
def test_ddpm_is_ancestral_sampling():
    """The loop that most code has, written out, under the same noise."""
    schedule, points = cosine_schedule(T), normal(7, 3, seed=2)
    denoise, x_T = optimal_denoiser(schedule, points), normal(5, 3, seed=7)
    noise, x = torch.Generator().manual_seed(8), x_T
    for t in range(T, 0, -1):
        alpha, beta, alpha_bar = (
            table[t].item() for table in (schedule.alpha, schedule.beta, schedule.alpha_bar)
        )
        before = schedule.alpha_bar[t - 1].item()
        eps = (x - alpha_bar**0.5 * denoise(x, torch.full((5,), t))) / (1 - alpha_bar) ** 0.5
        sigma = ((1 - before) / (1 - alpha_bar) * beta) ** 0.5
        z = torch.randn(x.shape, dtype=x.dtype, generator=noise)
        x = (x - beta / (1 - alpha_bar) ** 0.5 * eps) / alpha**0.5 + sigma * z
    *_, last = ancestral(schedule, denoise, x_T, torch.Generator().manual_seed(8))
    torch.testing.assert_close(x, last.x_s, rtol=1e-7, atol=1e-7)


def test_without_signal_neither_is_finite():
    """At an SNR of zero the noise says nothing about x_0, and both forms divide by zero."""
    schedule = Schedule(torch.tensor([1.0, 0.5, 0.0]).double())
    x, t = torch.ones(1, 1).double(), torch.tensor([2])
    for form in (x_0_from_score, mean_from_eps):
        assert not form(schedule, x, -2 * x, t).isfinite().any()


@pytest.mark.parametrize("form", [score_from_x_0, x_0_from_score, mean_from_eps])
def test_shapes_have_to_fit(form):
    with pytest.raises(ValueError, match="shape"):
        form(SCHEDULES[0], torch.zeros(2, 3), torch.zeros(2, 4), torch.ones(2).long())


def test_the_tables_of_the_mean_are_made_once():
    schedule = cosine_schedule(5)
    for table in (weight_of_x_0, weight_of_x_t):
        assert table(schedule) is table(schedule)
