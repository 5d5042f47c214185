import math

import pytest
import torch

from onebound.evaluation.frechet import Normal, distance, fit, floor, from_sample


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


def random_normal(seed, D=5):
    generator = torch.Generator().manual_seed(seed)
    factor = torch.randn(D, D, dtype=torch.float64, generator=generator)
    mean = torch.randn(D, dtype=torch.float64, generator=generator)
    return Normal(mean, factor @ factor.T)


def draw(normal, n, seed):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(n, len(normal.mean), dtype=torch.float64, generator=generator)
    return normal.mean + noise @ torch.linalg.cholesky(normal.covariance).T


def rotation(D, seed):
    noise = torch.randn(D, D, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.linalg.qr(noise).Q


def test_a_fit_has_the_mean_and_the_unbiased_covariance():
    mean, covariance = fit(torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 3.0]]))
    assert mean.tolist() == [1, 1]
    assert covariance.tolist() == [[1, 0], [0, 3]]
    features = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(fit(features).covariance, torch.cov(features.double().T))


@pytest.mark.equation("eq-frechet")
def test_distance_where_the_covariances_commute():
    axes = rotation(3, seed=1)
    one, other = double(1.0, 4.0, 0.0), double(9.0, 0.25, 2.0)
    found = distance(
        Normal(double(1.0, 2.0, 3.0), axes * one @ axes.T),
        Normal(double(1.0, 0.0, 3.5), axes * other @ axes.T),
    )
    assert found == pytest.approx(4.25 + 4 + 2.25 + 2)  # (1 - 3)^2, (2 - 1/2)^2, (0 - sqrt 2)^2


@pytest.mark.equation("eq-frechet")
def test_distance_in_two_dimensions_where_they_do_not():
    one, other = random_normal(1, D=2), random_normal(2, D=2)
    a, b = one.covariance, other.covariance
    # The root of a matrix M of two eigenvalues has the trace sqrt(tr M + 2 sqrt(det M)).
    root = ((a @ b).trace() + 2 * (a.det() * b.det()).sqrt()).sqrt()
    expected = (one.mean - other.mean).square().sum() + a.trace() + b.trace() - 2 * root
    assert distance(one, other) == pytest.approx(expected.item())


@pytest.mark.equation("eq-frechet")
def test_distance_is_what_the_best_map_from_one_to_the_other_moves():
    one, map_ = random_normal(3), random_normal(4).covariance  # symmetric, positive: a gradient
    other = Normal(map_ @ one.mean + 1, map_ @ one.covariance @ map_)
    change = map_ - torch.eye(5)
    moved = (other.mean - one.mean).square().sum() + (change @ one.covariance @ change).trace()
    assert distance(one, other) == pytest.approx(moved.item())


def test_distance_is_symmetric_and_sees_no_rotation_and_no_shift():
    one, other = random_normal(5), random_normal(6)
    expected = distance(one, other)
    assert distance(other, one) == pytest.approx(expected)
    axes = rotation(5, seed=7)
    turned = [Normal(axes @ m + 3, axes @ s @ axes.T) for m, s in (one, other)]
    assert distance(*turned) == pytest.approx(expected)
    scaled = [Normal(10 * m, 100 * s) for m, s in (one, other)]
    assert distance(*scaled) == pytest.approx(100 * expected)


def test_distance_of_equals_is_zero_even_where_the_covariance_is_singular():
    mean, covariance = random_normal(8)
    assert distance(Normal(mean, covariance), Normal(mean, covariance)) < 1e-12
    flat = covariance[:, :2] @ covariance[:2, :]
    found = distance(Normal(mean, flat), Normal(mean, flat))
    assert 0 <= found < 1e-12 * flat.trace()


def bias(covariance):
    """First order of n times the mean distance of a fit to n examples from the truth."""
    s = torch.linalg.eigvalsh(covariance)
    pairs = s * s[:, None] / (s + s[:, None]) * (1 + torch.eye(len(s)))
    return (s.sum() + pairs.sum() / 2).item()


def test_the_bias_of_normal_features_has_the_size_that_is_said():
    normal = random_normal(9, D=3)
    found = torch.tensor([distance(fit(draw(normal, 400, seed)), normal) for seed in range(400)])
    stderr = found.std().item() / 20
    expected = bias(normal.covariance) / 400
    assert stderr < 0.06 * expected
    assert abs(found.mean().item() - expected) < 4 * stderr


def test_the_floor_is_the_bias_of_both_samples():
    normal = random_normal(10, D=3)
    test = fit(draw(normal, 500, seed=1))
    values = [floor(draw(normal, 5000, seed), test, 250) for seed in range(2, 6)]
    mean = sum(value.mean for value in values) / 4
    # The part of the reference's own error is the same in all, so allow for its full scatter.
    own = distance(test, normal)
    expected = bias(normal.covariance) / 250 + own
    stderr = math.hypot(*(value.stderr for value in values)) / 4
    assert stderr < 0.1 * expected
    assert abs(mean - expected) < 4 * stderr


def test_the_subsets_of_the_floor_are_disjoint():
    # Two halves of as many -1 as 1 have opposite means and equal variances: one distance, twice.
    signs = torch.tensor([-1.0, 1.0]).repeat(50)[:, None]
    for seed in range(3):
        value = floor(signs, Normal(double(0.0), double(0.5)[None]), 50, seed=seed)
        assert value.mean > 0
        assert value.stderr == pytest.approx(0, abs=1e-12)


def test_the_floor_takes_no_more_subsets_than_asked_and_the_seed_fixes_them():
    features, normal = draw(random_normal(11), 600, seed=1), random_normal(11)
    assert floor(features, normal, 100) == floor(features, normal, 100, repeats=6)
    assert floor(features, normal, 100) != floor(features, normal, 100, repeats=5)
    assert floor(features, normal, 100) != floor(features, normal, 100, seed=1)


@pytest.mark.parametrize(("shift", "low", "high"), [(1.0, 0.85, 1.15), (0.0, 1.2, 2.0)])
def test_the_bootstrap_knows_the_scatter_far_away_and_overstates_it_at_the_floor(shift, low, high):
    reference = Normal(double(0.0, 0.0), torch.eye(2, dtype=torch.float64))
    normal = Normal(double(shift, 0.0), torch.eye(2, dtype=torch.float64))
    found = torch.tensor([distance(fit(draw(normal, 100, s)), reference) for s in range(500)])
    estimates = [from_sample(draw(normal, 100, s), reference, 60, seed=s) for s in range(50)]
    assert [e.mean for e in estimates] == pytest.approx(found[:50].tolist())
    error = (sum(e.stderr**2 for e in estimates) / 50) ** 0.5
    assert low < error / found.std().item() < high
    covered = sum(abs(e.mean - found.mean().item()) < 1.96 * e.stderr for e in estimates)
    assert covered >= 43  # of 50, where 95 % are 47.5: 3 standard errors less


def test_the_seed_of_the_bootstrap_fixes_it():
    features, normal = draw(random_normal(12), 100, seed=1), random_normal(13)
    assert from_sample(features, normal, 10) == from_sample(features, normal, 10)
    assert from_sample(features, normal, 10) != from_sample(features, normal, 10, seed=1)


@pytest.mark.parametrize("shape", [(5,), (5, 5), (1, 3, 4)])
def test_a_fit_needs_more_examples_than_features(shape):
    with pytest.raises(ValueError, match=r"n > D, got \(.*5|4"):
        fit(torch.zeros(shape))


def test_errors_say_what_came_in():
    features = torch.zeros(6, 2)
    normal = fit(features)
    with pytest.raises(ValueError, match=r"one dimension, got \(2,\) and \(5,\)"):
        distance(normal, random_normal(1))
    with pytest.raises(ValueError, match="2 subsets of 4 from 6 images"):
        floor(features, normal, 4)
    with pytest.raises(ValueError, match="resamples"):
        from_sample(features, normal, 1)
    features[3, 1] = torch.nan
    with pytest.raises(ValueError, match="1 features are not finite"):
        fit(features)
