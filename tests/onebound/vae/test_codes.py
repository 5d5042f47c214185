import math

import pytest
import torch

from onebound.distributions import kl_normal_standard, log_prob_normal
from onebound.evaluation.estimates import estimate
from onebound.exact import toy
from onebound.vae.codes import activity, information, kl_per_unit, log_components
from onebound.vae.importance import log_mean_exp


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed):
    return torch.randn(*shape, dtype=torch.float64, generator=seeded(seed))


@pytest.mark.equation("eq-activity")
def test_activity_by_hand():
    mu = torch.tensor([[1.0, 5.0], [2.0, 5.0], [6.0, 5.0]])
    torch.testing.assert_close(activity(mu), torch.tensor([7.0, 0.0]))  # (4 + 1 + 9) / 2


@pytest.mark.equation("eq-kl-standard")
def test_the_units_add_up_to_the_rate():
    mu, logvar = normal(6, 4, seed=1), normal(6, 4, seed=2)
    units = kl_per_unit(mu, logvar)
    torch.testing.assert_close(units.sum(), kl_normal_standard(mu, logvar).mean())
    torch.testing.assert_close(units[2], kl_normal_standard(mu[:, 2:3], logvar[:, 2:3]).mean())


@pytest.mark.equation("eq-aggregate-posterior")
def test_components_one_by_one():
    z, mu, logvar = normal(3, 4, seed=3), normal(5, 4, seed=4), normal(5, 4, seed=5)
    expected = torch.stack(
        [
            log_prob_normal(z, m.expand(3, 4), v.expand(3, 4))
            for m, v in zip(mu, logvar, strict=True)
        ]
    )
    torch.testing.assert_close(log_components(z, mu, logvar), expected.T)


def test_components_keep_their_digits_where_posteriors_are_narrow():
    mu = 3 + normal(4, 30, seed=6)
    logvar = torch.full_like(mu, -8.0)
    z = mu + 0.01
    expected = log_prob_normal(z, mu, logvar)
    found = log_components(z.float(), mu.float(), logvar.float()).diagonal()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-2)


@pytest.mark.equation("eq-aggregate-posterior", "eq-rate-split")
def test_rate_less_information_is_the_divergence_of_the_mixture():
    # Five posteriors in one dimension: the mixture and its divergence from the prior, on a grid.
    mu, logvar = normal(5, 1, seed=7), normal(5, 1, seed=8) - 1
    z, log_cell = toy.grid(4001)
    z = z.double()
    log_mixture = log_mean_exp(log_components(z, mu, logvar))
    log_prior = -0.5 * z[:, 0] ** 2 - 0.5 * math.log(2 * math.pi)
    divergence = (log_mixture.exp() * (log_mixture - log_prior)).sum() * math.exp(log_cell)
    runs = [information(mu, logvar, 5, seeded(seed)) for seed in range(1000)]
    found = estimate(torch.stack([(run.rate - run.among).mean() for run in runs]))
    assert found.stderr < 0.1 * divergence
    assert found.mean == pytest.approx(divergence.item(), abs=4 * found.stderr)


@pytest.mark.equation("eq-information-bounds")
@pytest.mark.parametrize("noise", [0.2, 1.0])
def test_the_information_lies_between_its_bounds(noise):
    # x ~ N(0, 1) and z = x + noise: I(x; z) = log(1 + 1 / noise^2) / 2.
    exact = 0.5 * math.log1p(1 / noise**2)
    among, above = [], []
    for seed in range(60):
        mu = normal(50, 1, seed=100 + seed)
        logvar = torch.full_like(mu, 2 * math.log(noise))
        found = information(mu, logvar, 50, seeded(seed))
        among.append(found.among.mean())
        above.append(found.above.mean())
    low, high = estimate(torch.stack(among)), estimate(torch.stack(above))
    assert max(low.stderr, high.stderr) < 0.05
    assert low.mean - 4 * low.stderr < exact < high.mean + 4 * high.stderr
    assert abs(low.mean - exact) < 0.15
    assert abs(high.mean - exact) < 0.25


def test_posteriors_that_do_not_meet_are_told_apart_completely():
    mu = 100 * torch.arange(8.0)[:, None]
    found = information(mu, torch.zeros(8, 1), 8, seeded(9))
    torch.testing.assert_close(found.among, torch.full((8,), math.log(8), dtype=torch.float64))


def test_a_collapsed_code_carries_nothing():
    zeros = torch.zeros(6, 3)
    found = information(zeros, zeros, 6, seeded(10))
    for values in found:
        torch.testing.assert_close(values, torch.zeros(6, dtype=torch.float64))
    assert (activity(zeros) == 0).all()


def test_each_image_is_asked_once():
    mu = torch.arange(9.0)[:, None]  # its place sets its rate
    rate = information(mu, torch.zeros(9, 1), 9, seeded(11)).rate
    torch.testing.assert_close(rate.sort().values, (mu[:, 0] ** 2 / 2).double())


def test_refusals():
    two = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"at least two images, .* got \(1, 3\)"):
        activity(two[:1])
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2, 2\)"):
        kl_per_unit(two, two[:, :2])
    with pytest.raises(ValueError, match="finite means"):
        activity(two + torch.nan)
    with pytest.raises(ValueError, match=r"latents of shape \(B, 3\), got shape \(2, 2\)"):
        log_components(two[:, :2], two, two)
    with pytest.raises(ValueError, match="at most 2 codes, one for each image, got 3"):
        information(two, two, 3)
