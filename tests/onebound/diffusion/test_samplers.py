import pytest
import torch
from torch import nn

from common import SCHEDULES
from onebound.diffusion.denoisers import clipped, even_steps, respaced
from onebound.diffusion.flows import flow, velocity_of
from onebound.diffusion.process import q_xt_x0
from onebound.diffusion.samplers import ancestral, ddim, last
from onebound.diffusion.schedules import Schedule, cosine_schedule, linear_schedule
from onebound.diffusion.solvers import heun, multistep
from onebound.exact.finite import optimal_denoiser
from onebound.exact.gaussian import GaussianData


def normal(*shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def ddim_at(eta):
    """A sampler with the arguments that all have in common."""
    return lambda schedule, denoise, x_T, generator=None: ddim(
        schedule, denoise, x_T, eta, generator
    )


def multistep_at(eta):
    return lambda schedule, denoise, x_T, generator=None: multistep(
        schedule, denoise, x_T, eta, generator
    )


# A new sampler gets a row here. A name that ends in " 0" says that it draws no noise of its own.
SAMPLERS = {
    "ancestral": ancestral,
    "ddim 0": ddim_at(0.0),
    "ddim 0.6": ddim_at(0.6),
    "multistep 0": multistep_at(0.0),
    "multistep 0.6": multistep_at(0.6),
    "heun 0": lambda schedule, denoise, x_T, generator=None: heun(schedule, denoise, x_T),
    "flow 0": lambda schedule, denoise, x_T, generator=None: flow(
        schedule, velocity_of(schedule, denoise), x_T
    ),
}
each_sampler = pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS.keys())


def guess(x_t, t):
    return torch.tanh(x_t) + 0.01 * t.to(x_t)[:, None]


@pytest.fixture
def data():
    """Two principal axes, neither along a coordinate, far from the prior."""
    turn = torch.linalg.qr(normal(2, 2, seed=1)).Q
    variances = torch.tensor([0.05, 3.0], dtype=torch.float64)
    return GaussianData(normal(2, seed=2), turn @ torch.diag(variances) @ turn.T)


@pytest.mark.parametrize(
    ("make", "steps"),
    [*((make, steps) for make in SCHEDULES for steps in (1, 2, 3)), (cosine_schedule, 400)],
)
@each_sampler
def test_a_sampler_takes_T_steps_and_adds_no_noise_at_the_last(sampler, make, steps):
    x_T = normal(2, 3, seed=1).float()
    x_t, count = x_T, 0
    for step in sampler(make(steps), guess, x_T):
        assert step.t == steps - count
        assert step.x_t is x_t
        torch.testing.assert_close(step.x_0_hat, guess(x_t, torch.full((2,), step.t)))
        x_t, count = step.x_s, count + 1
    assert count == steps
    torch.testing.assert_close(step.x_s, step.x_0_hat)
    assert torch.isfinite(step.x_s).all()
    assert step.x_s.dtype == torch.float32


@pytest.mark.equation("eq-ancestral", "eq-affine-recursion")
@pytest.mark.parametrize("upper", [False, True])
def test_ancestral_samples_have_the_moments_of_the_affine_recursion(data, upper):
    n, schedule = 100_000, cosine_schedule(6)
    variance = schedule.beta.clone() if upper else schedule.beta_tilde
    variance[1] = 0
    x_T = normal(n, 2, seed=3)
    steps = ancestral(schedule, data.denoiser(schedule), x_T, seeded(4), variance)
    # With the exact denoiser the mean of a step is E[x_s|x_t], the regression of x_s on x_t.
    mean, covariance = torch.zeros(2).double(), torch.eye(2).double()
    for step in steps:
        before, after = (data.marginal(schedule.alpha_bar[t]) for t in (step.t, step.t - 1))
        both = schedule.alpha[step.t].sqrt() * after.covariance_matrix
        slope = both @ torch.linalg.inv(before.covariance_matrix)
        mean = after.mean + slope @ (mean - before.mean)
        covariance = slope @ covariance @ slope.T + variance[step.t] * torch.eye(2)
        stderr = (covariance.diagonal() / n).sqrt()
        assert (stderr < 0.01).all()
        assert ((step.x_s.mean(0) - mean).abs() < 4 * stderr).all()
        centred = step.x_s - mean
        products = centred[:, :, None] * centred[:, None, :]
        stderr = products.std(0) / n**0.5
        assert (stderr < 0.02).all()
        assert ((products.mean(0) - covariance).abs() < 4 * stderr).all()


def test_ancestral_samples_come_to_the_data_as_steps_are_added(data):
    def distance(T):
        schedule = cosine_schedule(T)
        covariance = torch.eye(2).double()
        for t in range(T, 0, -1):
            before, after = (data.marginal(schedule.alpha_bar[i]) for i in (t, t - 1))
            slope = schedule.alpha[t].sqrt() * after.covariance_matrix
            slope = slope @ torch.linalg.inv(before.covariance_matrix)
            covariance = slope @ covariance @ slope.T + schedule.beta_tilde[t] * torch.eye(2)
        return (covariance - data.covariance).abs().max().item()

    n, schedule = 100_000, cosine_schedule(100)
    x_0 = last(ancestral(schedule, data.denoiser(schedule), normal(n, 2, seed=5), seeded(6)))
    spread = torch.cov(x_0.T) - data.covariance
    assert spread.abs().max() < distance(100) + 4 * 3 * (2 / n) ** 0.5
    assert distance(100) < 0.2 * distance(10)


@pytest.mark.equation("eq-ddim")
@pytest.mark.parametrize("make", SCHEDULES)
@pytest.mark.parametrize("few", [False, True])
def test_ddim_with_eta_1_is_ancestral_with_the_same_noise(make, few):
    schedule, denoise = make(60), guess
    if few:
        schedule, denoise = respaced(schedule, denoise, even_steps(60, 7))
    x_T = normal(5, 3, seed=1)
    one = ancestral(schedule, denoise, x_T, seeded(2))
    other = ddim(schedule, denoise, x_T, 1.0, seeded(2))
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a.x_s, b.x_s, rtol=1e-6, atol=1e-6)


@pytest.mark.equation("eq-ddim-family", "eq-ddim")
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_for_data_at_one_point_every_eta_keeps_the_marginals_of_q(eta):
    n, schedule = 100_000, Schedule(torch.tensor([1.0, 0.9, 0.5, 0.2]).double())
    point = torch.tensor([[0.7]]).double()
    mean, variance = q_xt_x0(schedule, point, torch.tensor([3]))
    x_T = mean + variance.sqrt() * normal(n, 1, seed=1)
    steps = ddim(schedule, lambda x_t, t: point.expand_as(x_t), x_T, eta, seeded(2))
    for step in steps:
        if step.t == 1:
            assert (step.x_s == point).all()
        else:
            mean, variance = q_xt_x0(schedule, point, torch.tensor([step.t - 1]))
            assert abs(step.x_s.mean() - mean) < 4 * (variance / n) ** 0.5
            assert abs(step.x_s.var() / variance - 1) < 4 * (2 / n) ** 0.5


@pytest.mark.equation("eq-ddim")
def test_the_noise_of_ddim_has_eta_squared_times_beta_tilde():
    n, schedule, x_T = 20_000, cosine_schedule(10), normal(1, 1, seed=1)
    for eta in (0.0, 0.5, 1.0):
        step = next(iter(ddim(schedule, guess, x_T.expand(n, 1), eta, seeded(2))))
        expected = eta**2 * schedule.beta_tilde[10]
        assert abs(step.x_s.var() - expected) <= 4 * expected * (2 / n) ** 0.5 + 1e-20


@pytest.mark.equation("eq-ddim-euler", "eq-ddim-flow")
def test_ddim_without_noise_is_of_first_order(data):
    # The exact flow leaves x_t in its place in units of its standard deviation, axis by axis.
    schedule = linear_schedule(20_000, 5e-6, 1e-3)
    exact = data.denoiser(schedule)
    x_T = normal(50, 2, seed=1)
    start, end = data.marginal(schedule.alpha_bar[-1]), data.marginal(schedule.alpha_bar[0])
    columns = data.axes[1]
    ratio = (data.axes[0] / torch.linalg.eigvalsh(start.covariance_matrix)).sqrt()
    x_0 = end.mean + ((x_T - start.mean) @ columns * ratio) @ columns.T
    numbers, errors = torch.tensor([50.0, 100, 200, 400]), []
    for K in numbers.long().tolist():
        coarse, denoise = respaced(schedule, exact, even_steps(20_000, K))
        errors.append((last(ddim(coarse, denoise, x_T, 0.0)) - x_0).abs().mean())
    x, y = numbers.log().double(), torch.stack(errors).log()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    assert slope.item() == pytest.approx(-1, abs=0.1)
    assert errors[-1] < 0.02


def test_the_best_denoiser_of_three_points_gives_them_back():
    points = torch.tensor([[-1.0, 0.5], [1.0, 1.0], [0.5, -1.0]]).double()
    schedule = cosine_schedule(100)
    n = 3000
    x_T = normal(n, 2, seed=1)
    for sampler in (ancestral, ddim_at(0.0)):
        x_0 = last(sampler(schedule, optimal_denoiser(schedule, points), x_T, seeded(2)))
        distance, index = torch.cdist(x_0, points).min(1)
        assert distance.max() < 0.02
        shares = index.bincount(minlength=3) / n
        # Within the error of the draw, and a little for the steps' own.
        assert (shares - 1 / 3).abs().max() < 4 * (2 / 9 / n) ** 0.5 + 0.02


@each_sampler
def test_clipping_bounds_every_prediction_and_the_sample(sampler):
    steps = list(
        sampler(cosine_schedule(20), clipped(lambda x_t, t: 2 * x_t), normal(9, 2, seed=1))
    )
    assert all(step.x_0_hat.abs().max() < 1 + 1e-12 for step in steps)  # a flow rounds it
    assert any((step.x_0_hat.abs() == 1).any() for step in steps)
    assert steps[-1].x_s.abs().max() <= 1


def test_one_seed_one_sample():
    schedule, x_T = cosine_schedule(9), normal(4, 3, seed=1)
    for name, sampler in SAMPLERS.items():
        first, again, other = (
            last(sampler(schedule, guess, x_T, seeded(seed))) for seed in (1, 1, 2)
        )
        assert torch.equal(first, again)
        deterministic = torch.equal(first, other)
        assert deterministic == name.endswith(" 0"), f"{name}: see SAMPLERS for names"


def test_without_noise_an_example_does_not_depend_on_its_batch():
    schedule, x_T = cosine_schedule(9), normal(4, 3, seed=1)
    together = last(ddim(schedule, guess, x_T, 0.0))
    apart = [last(ddim(schedule, guess, x_T[i : i + 1], 0.0)) for i in range(4)]
    torch.testing.assert_close(together, torch.cat(apart))


def test_no_step_keeps_a_graph():
    network = nn.Linear(3, 3).double()
    for sampler in SAMPLERS.values():
        for step in sampler(cosine_schedule(3), lambda x_t, t: network(x_t), normal(2, 3, seed=1)):
            assert not step.x_s.requires_grad
            assert torch.is_grad_enabled()  # for what the caller does between the steps


def test_refusals():
    schedule, x_T = cosine_schedule(5), normal(2, 3, seed=1)
    for eta in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"eta must be in \[0, 1\], got"):
            last(ddim(schedule, guess, x_T, eta))
    with pytest.raises(ValueError, match=r"variance needs .* 0 to 5, got shape \(5,\)"):
        last(ancestral(schedule, guess, x_T, variance=schedule.beta[1:]))
    for sampler in SAMPLERS.values():
        with pytest.raises(ValueError, match=r"floating-point data, got torch\.int64"):
            last(sampler(schedule, lambda x_t, t: x_t, x_T.long()))
