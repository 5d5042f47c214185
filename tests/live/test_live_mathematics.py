"""Schedules, samplers, random numbers and the solved model, against `onebound`."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator

from live.engine import Engine
from onebound.diffusion.samplers import ddim
from onebound.diffusion.schedules import cosine_schedule, linear_schedule
from onebound.exact import toy

SIGMA = 0.4


def doubles(values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "ours"), [("linear", linear_schedule), ("cosine", cosine_schedule)]
)
@pytest.mark.parametrize("T", [2, 50, 1000])
def test_a_schedule_is_the_package_s(engine: Engine, name, ours, T):
    alpha_bar, beta_tilde, log_snr = engine(
        f"((s) => [...['alphaBar', 'betaTilde', 'logSnr']].map((k) => [...s[k]]))"
        f"($schedules.{name}Schedule(T))",
        T=T,
    )
    schedule = ours(T)
    torch.testing.assert_close(doubles(alpha_bar), schedule.alpha_bar, rtol=1e-12, atol=0)
    torch.testing.assert_close(doubles(beta_tilde), schedule.beta_tilde, rtol=1e-9, atol=0)
    assert log_snr[0] is None  # infinite, which JSON can't say
    torch.testing.assert_close(doubles(log_snr[1:]), schedule.log_snr[1:], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_ddim_is_the_package_s_under_shared_noise(engine: Engine, eta):
    schedule = cosine_schedule(12)
    noise = Generator().manual_seed(0)
    x_T = torch.randn(1, 64, generator=noise)
    steps = list(ddim(schedule, lambda x, t: torch.tanh(x) * 0.9, x_T, eta, noise))
    again = Generator().manual_seed(0)
    drawn = torch.cat([torch.randn(1, 64, generator=again) for _ in range(13)])
    found = engine.tensor(
        """(() => {
            let used = 0;
            const noise = (n) => drawn.slice(used, (used += n));
            const denoise = (x) => x.map((value) => 0.9 * Math.tanh(value));
            const schedule = $schedules.cosineSchedule(12);
            const steps = $samplers.ddim(schedule, denoise, noise(64), eta, noise);
            return Array.from(steps, ({xS}) => [...xS]).flat();
        })()""",
        (12, 64),
        drawn=drawn,
        eta=eta,
    )
    expected = torch.cat([step.x_s for step in steps])
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


def test_normal_numbers_are_normal(engine: Engine):
    n = 100_001  # odd, for the last of a pair
    x = engine.tensor("$random.normal(7)(n)", n=n).double()
    assert abs(x.mean()) < 4 / math.sqrt(n)
    assert abs((x**2).mean() - 1) < 4 * math.sqrt(2 / n)
    assert abs((x**4).mean() - 3) < 4 * math.sqrt(96 / n)
    assert abs((x[1:] * x[:-1]).mean()) < 4 / math.sqrt(n)
    assert torch.equal(x, engine.tensor("$random.normal(7)(n)", n=n).double())
    other = engine.tensor("$random.normal(8)(n)", n=n).double()
    assert abs((x * other).mean()) < 4 / math.sqrt(n)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    m=st.floats(-2.4, 2.4),
    s=st.floats(0.06, 1.6),
    x1=st.floats(-1.5, 1.5),
    x2=st.floats(-1.0, 3.0),
)
def test_bound_and_gap_make_log_p(engine: Engine, m, s, x1, x2):
    elbo, gap, log_p = engine(
        """((posterior) => [posterior.elbo(m, s), posterior.gap(m, s), posterior.logP])(
            new $parabola.Posterior([x1, x2], sigma))""",
        m=m, s=s, x1=x1, x2=x2, sigma=SIGMA,
    )  # fmt: skip
    model = toy.Parabola(sigma=SIGMA)
    x, mu, logvar = doubles([x1, x2]), doubles([[m]]), doubles([[2 * math.log(s)]])
    assert elbo == pytest.approx(model.elbo(x, mu, logvar).item(), abs=1e-9)
    exact = toy.log_integral(lambda z: model.log_joint(x, z), 8001)
    assert log_p == pytest.approx(exact.item(), abs=1e-9)
    assert gap >= 0
    assert elbo + gap == pytest.approx(log_p, abs=1e-8)


def test_climbing_ends_on_the_summits_of_the_chapter(engine: Engine):
    tops = engine(
        """[-1, 1].map((m) => {
            const posterior = new $parabola.Posterior([0.1, 1.5], sigma);
            let q = [m, 0.4];
            for (let i = 0; i < 3000; i++) q = posterior.climb(...q);
            return [...q, posterior.elbo(...q)];
        })""",
        sigma=SIGMA,
    )
    model, x = toy.Parabola(sigma=SIGMA), doubles([0.1, 1.5])
    for m, s, elbo in tops:
        q = doubles([[m]]).requires_grad_(), doubles([[2 * math.log(s)]]).requires_grad_()
        bound = model.elbo(x, *q).sum()
        assert bound.item() == pytest.approx(elbo, abs=1e-9)
        assert max(abs(g.item()) for g in torch.autograd.grad(bound, q)) < 1e-3
    assert tops[0][0] < 0 < tops[1][0]
