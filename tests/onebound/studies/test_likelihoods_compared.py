import pytest
import torch

from onebound.likelihoods import continuous_bernoulli_mean, discretised_logistic_logits
from onebound.studies.likelihoods_compared import (
    mean_level,
    sample_continuous_bernoulli,
    sample_level,
)

LOGITS = [-700.0, -30.0, -1.7, -0.11, -0.1, -0.09, -1e-9, 0.0, 1e-4, 0.09, 0.11, 2.5, 30.0, 700.0]


def number(value):
    return torch.tensor(value, dtype=torch.float64)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.equation("eq-continuous-bernoulli-sample")
@pytest.mark.parametrize("logit", LOGITS)
def test_continuous_bernoulli_draws_have_its_first_two_moments(logit):
    n, logits = 40_000, number(logit).requires_grad_()
    mean = continuous_bernoulli_mean(logits)
    (variance,) = torch.autograd.grad(mean, logits)  # as in every exponential family
    y = sample_continuous_bernoulli(logits.detach().expand(n), seeded(int(abs(logit))))
    assert 0 <= y.min() <= y.max() <= 1
    for draws, moment in ((y, mean), (y**2, variance + mean**2)):
        stderr = draws.std() / n**0.5
        assert stderr < 0.02 * draws.mean()
        assert (draws.mean() - moment).abs() < 4 * stderr


@pytest.mark.equation("eq-categorical")
def test_level_draws_and_means_follow_the_logits():
    n = 60_000
    logits = torch.full((1, 256, 1, 2), -torch.inf, dtype=torch.float64)
    logits[0, [0, 17, 255], 0, 0] = number([0.2, 0.5, 0.3]).log()
    logits[0, :, 0, 1] = discretised_logistic_logits(number([[[[0.1]]]]), number(-2.0))[0, :, 0, 0]
    draws = sample_level(logits.expand(n, -1, -1, -1), seeded(6))[:, 0, 0]
    assert torch.equal(draws, (255 * draws).round() / 255)
    shares = [(draws[:, 0] == k / 255).double().mean().item() for k in (0, 17, 255)]
    assert sum(shares) == 1
    for share, p in zip(shares, (0.2, 0.5, 0.3), strict=True):
        assert share == pytest.approx(p, abs=4 * (p * (1 - p) / n) ** 0.5)
    means = mean_level(logits)
    assert means.shape == (1, 1, 1, 2)
    assert means[0, 0, 0, 0].item() == pytest.approx(0.5 * 17 / 255 + 0.3)
    assert ((draws.mean(0) - means[0, 0, 0]).abs() < 4 * draws.std(0) / n**0.5).all()


@pytest.mark.parametrize(("u", "level"), [(0.0, 3), (0.5, 200)])
def test_a_draw_on_the_edge_between_levels_takes_the_one_that_has_probability(
    monkeypatch, u, level
):
    logits = torch.full((1, 256, 1, 1), -torch.inf)
    logits[0, [3, 200]] = 0.0  # half each; u = 0 is also the edge of levels 0 to 3
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(shape, u))
    assert sample_level(logits).item() == pytest.approx(level / 255)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 56)], ids=str)
def test_every_channel_has_logits_of_its_own(shape):
    levels, C = torch.randint(256, (2, *shape), generator=seeded(7)), shape[0]
    logits = torch.randn(2, 256 * C, *shape[1:], dtype=torch.float64, generator=seeded(8))
    means = torch.cat([mean_level(logits[:, c::C]) for c in range(C)], 1)
    torch.testing.assert_close(mean_level(logits), means)
    sure = torch.full_like(logits, -100.0)
    sure.unflatten(1, (256, C)).scatter_(1, levels[:, None], 100.0)
    torch.testing.assert_close(sample_level(sure), levels / 255)
