from itertools import pairwise

import pytest
import torch

from onebound.evaluation.estimates import Estimate, estimate, per_example, two_level
from onebound.likelihoods import bits_per_dim
from onebound.networks.mlp import MLPDecoder, MLPEncoder
from onebound.vae.importance import importance_weighted_bound, log_mean_exp
from onebound.vae.model import VAE


@pytest.mark.equation("eq-standard-error")
def test_estimate_of_three_numbers():
    mean, stderr = estimate(torch.tensor([1.0, 2.0, 6.0]))
    assert mean == pytest.approx(3)
    assert stderr == pytest.approx((7 / 3) ** 0.5)  # s^2 = (4 + 1 + 9) / 2 = 7


def test_two_numbers_are_enough_for_an_estimate():
    assert estimate(torch.tensor([1.0, 3.0])) == Estimate(2.0, 1.0)


@pytest.mark.equation("eq-standard-error")
def test_estimate_covers_the_truth_as_often_as_it_says():
    draws = torch.randn(2000, 50, generator=torch.Generator().manual_seed(1))
    inside = sum(abs(e.mean) < e.stderr for e in map(estimate, draws)) / 2000
    assert inside == pytest.approx(
        0.678, abs=0.04
    )  # Student's t with 49 degrees, 4 standard errors


def test_estimate_keeps_its_digits_over_many_values():
    assert estimate(torch.full((200_000,), 0.1)).mean == pytest.approx(0.1, rel=1e-7)


@pytest.mark.parametrize(
    "bad",
    [torch.zeros(()), torch.zeros(1), torch.zeros(3, 2), torch.tensor([1.0, torch.nan])],
)
def test_estimate_refuses(bad):
    with pytest.raises(ValueError, match="values"):
        estimate(bad)


def test_an_estimate_prints_with_its_error():
    assert str(Estimate(-98.765, 0.254)) == "-98.77 ± 0.25"


def test_per_example_does_not_depend_on_the_batches():
    images = torch.arange(7.0)
    for batch_size in (1, 3, 7, 100):
        assert torch.equal(per_example(lambda x: 2 * x, images, batch_size), 2 * images)


def test_evaluation_keeps_no_graph(vae, binary):
    weight = torch.tensor(2.0, requires_grad=True)
    assert not per_example(lambda x: weight * x, torch.arange(3.0)).requires_grad
    assert not importance_weighted_bound(vae, binary, 2).requires_grad


@pytest.mark.equation("eq-bits-per-dim")
def test_bits_per_dim_of_uniform_levels_is_eight():
    nats = 784 * torch.tensor([1 / 256, 1 / 2], dtype=torch.float64).log()
    torch.testing.assert_close(bits_per_dim(nats), torch.tensor([8.0, 1.0], dtype=torch.float64))
    assert bits_per_dim(nats[1:], dims=392).item() == pytest.approx(2)


def test_bits_per_dim_needs_a_dimension():
    with pytest.raises(ValueError, match=r"dims must be .* got 0"):
        bits_per_dim(torch.zeros(2), dims=0)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.equation("eq-two-level")
def test_two_levels_agree_with_all_dear_ones_and_need_few():
    cheap = 5 * torch.randn(20_000, generator=seeded(1), dtype=torch.float64)
    dear = cheap + 1 + 0.1 * torch.randn(20_000, generator=seeded(2), dtype=torch.float64)
    chosen = torch.randperm(20_000, generator=seeded(3))[:100]
    mean, stderr = two_level(cheap, dear[chosen], chosen)
    full = estimate(dear)
    assert abs(mean - full.mean) < 4 * 0.1 / 100**0.5
    assert stderr == pytest.approx((full.stderr**2 + 0.1**2 / 100) ** 0.5, rel=0.02)
    assert stderr < 0.2 * estimate(dear[chosen]).stderr


@pytest.mark.parametrize(("numbers", "places"), [(3, 2), (2, 3)])
def test_two_levels_need_as_many_numbers_as_places(numbers, places):
    with pytest.raises(ValueError, match=rf"got \({numbers},\) numbers for \({places},\) places"):
        two_level(torch.zeros(5), torch.zeros(numbers), torch.arange(places))


@pytest.fixture
def vae():
    torch.manual_seed(0)
    return VAE(MLPEncoder(2, hidden_size=8), MLPDecoder(2, hidden_size=8)).double()


@pytest.fixture
def binary():
    return torch.rand(5, 1, 28, 28, dtype=torch.float64, generator=seeded(4)).round()


@pytest.mark.equation("eq-iwae")
def test_the_weighted_bound_is_the_log_of_the_mean_weight(vae, binary):
    bound = importance_weighted_bound(vae, binary, 40, seeded(5), at_once=5 * 40)
    expected = log_mean_exp(vae.log_weights(binary, 40, seeded(5)))
    torch.testing.assert_close(bound, expected)


@pytest.mark.parametrize("at_once", [1, 7, 64, 1000])
def test_in_parts_every_draw_counts_once(vae, binary, at_once, monkeypatch):
    counted = []

    def constant(x, k, generator):
        counted.append((len(x), k))
        return torch.full((len(x), k), -3.0)

    monkeypatch.setattr(vae, "log_weights", constant)
    bound = importance_weighted_bound(vae, binary, 64, at_once=at_once)
    torch.testing.assert_close(bound, torch.full((5,), -3.0))
    assert sum(images * k for images, k in counted) == 5 * 64
    assert max(images * k for images, k in counted) <= at_once


@pytest.mark.equation("eq-iwae-monotone")
def test_the_weighted_bound_grows_with_k(vae, binary):
    many = binary[:1].expand(2000, 1, 28, 28)
    means = [estimate(importance_weighted_bound(vae, many, k, seeded(k))) for k in (1, 4, 16)]
    for lower, higher in pairwise(means):
        assert higher.mean - lower.mean > 4 * (higher.stderr**2 + lower.stderr**2) ** 0.5


@pytest.mark.parametrize("options", [{"k": 0}, {"k": 2, "at_once": 0}])
def test_sizes_below_one_are_refused(vae, binary, options):
    with pytest.raises(ValueError, match="must be a whole number of at least 1, got 0"):
        importance_weighted_bound(vae, binary, **options)
