import math
from dataclasses import FrozenInstanceError

import pytest
import torch

from onebound.diffusion.schedules import cosine_schedule
from onebound.exact.gaussian import GaussianData
from onebound.exact.mixture import Mixture, mixture_1d, mixture_2d
from onebound.exact.toy import grid

EXAMPLES = [mixture_1d, mixture_2d]
A, SIGMA = 0.6, 0.5


def generator(seed):
    return torch.Generator().manual_seed(seed)


def lattice(mixture):
    size = mixture.means.shape[1]
    points, log_cell = grid(2001 if size == 1 else 301, size, 4.0)
    return points, torch.tensor(log_cell, dtype=torch.float64).exp()


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_have_mean_0_and_variances_near_1(example):
    mean, covariance = example().moments
    assert mean.abs().max() < 1e-12
    assert ((covariance.diagonal() > 0.8) & (covariance.diagonal() < 1.0)).all()


# A cluster of the plane: its weight and mean, the direction in radians and the deviation of one
# axis, and the deviation across. Records and figures in the page depend on them.
PLANE = [
    (0.3, (-1.1, -0.6), 0.9, 0.4, 0.12),
    (0.25, (1.0, 0.9), 0.0, 0.2, 0.2),
    (0.2, (0.8, -1.2), -0.5, 0.35, 0.1),
    (0.15, (-0.4, 1.4), 0.2, 0.3, 0.12),
    (0.1, (-0.2, -0.15), 0.0, 0.1, 0.1),
]


def test_the_clusters_of_the_examples():
    line, plane = mixture_1d(), mixture_2d()
    assert line.weights.tolist() == [0.5, 0.3, 0.2]
    assert line.means.flatten().tolist() == [-0.9, 0.5, 1.5]
    assert line.covariances.flatten().sqrt().tolist() == pytest.approx([0.2, 0.3, 0.1])
    assert plane.weights.tolist() == [weight for weight, *_ in PLANE]
    assert plane.means.tolist() == [list(mean) for _, mean, *_ in PLANE]
    for covariance, (_, _, angle, along, across) in zip(plane.covariances, PLANE, strict=True):
        direction = torch.tensor([math.cos(angle), math.sin(angle)]).double()
        torch.testing.assert_close(covariance @ direction, along**2 * direction, rtol=1e-6, atol=0)
        trace = covariance.diagonal().sum().item()
        assert trace == pytest.approx(along**2 + across**2)


@pytest.mark.equation("eq-clusters")
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_density_integrates_to_1_and_has_the_moments(example):
    mixture = example()
    points, cell = lattice(mixture)
    mass = mixture.log_prob(points).exp() * cell
    torch.testing.assert_close(mass.sum(), torch.ones(()).double(), rtol=1e-6, atol=0)
    mean, covariance = mixture.moments
    torch.testing.assert_close(mass @ points, mean, rtol=0, atol=1e-6)
    second = (points * mass[:, None]).T @ points
    torch.testing.assert_close(second, covariance, rtol=1e-5, atol=1e-6)


@pytest.mark.equation("eq-clusters")
def test_a_moved_mixture_has_a_moved_mean_and_the_same_covariance():
    mixture, by = mixture_2d(), torch.tensor([3.0, -2.0]).double()
    mean, covariance = Mixture(mixture.weights, mixture.means + by, mixture.covariances).moments
    torch.testing.assert_close(mean, mixture.moments[0] + by)
    torch.testing.assert_close(covariance, mixture.moments[1])


@pytest.mark.equation("eq-clusters")
def test_a_cluster_without_weight_is_none():
    alone, other = mixture_1d(), mixture_1d().noised(0.7, 0.2)
    both = Mixture(
        torch.cat([alone.weights, 0 * other.weights]),
        torch.cat([alone.means, other.means]),
        torch.cat([alone.covariances, other.covariances]),
    )
    x = alone.sample(4, generator(10))
    for name in ("log_prob", "score"):
        torch.testing.assert_close(getattr(both, name)(x), getattr(alone, name)(x))


def test_a_mixture_stays_what_it_is_and_is_equal_to_no_other():
    mixture = mixture_1d()
    with pytest.raises(FrozenInstanceError):
        mixture.means = 2 * mixture.means
    assert mixture != Mixture(mixture.weights, mixture.means, mixture.covariances)


@pytest.mark.equation("eq-clusters")
def test_the_density_of_correlated_clusters_is_that_of_torch():
    mixture = mixture_2d()
    x = torch.randn(7, 2, dtype=torch.float64, generator=generator(0))
    normals = torch.distributions.MultivariateNormal(mixture.means, mixture.covariances)
    expected = (normals.log_prob(x[:, None]) + mixture.weights.log()).logsumexp(1)
    torch.testing.assert_close(mixture.log_prob(x), expected)


@pytest.mark.parametrize("example", EXAMPLES)
def test_draws_have_the_moments_and_the_clusters_their_shares(example):
    n, mixture = 100_000, example()
    x = mixture.sample(n, generator(1))
    mean, covariance = mixture.moments
    assert ((x.mean(0) - mean).abs() < 4 * x.std(0) / n**0.5).all()
    products = x[:, :, None] * x[:, None, :]
    error = (products.mean(0) - covariance).abs()
    assert (error < 4 * products.std(0) / n**0.5).all()
    shares = mixture.responsibilities(x)
    assert ((shares.mean(0) - mixture.weights).abs() < 4 * shares.std(0) / n**0.5).all()


@pytest.mark.equation("eq-clusters-noised")
@pytest.mark.parametrize("example", EXAMPLES)
def test_noise_widens_each_cluster(example):
    mixture = example()
    points, cell = lattice(mixture)
    mass = mixture.log_prob(points).exp() * cell
    x = mixture.sample(3, generator(2))
    size = x.shape[1]
    # The density of a x_0 + sigma eps is the mean over x_0 of the normal density of the noise.
    squares = ((x[:, None] - A * points) ** 2).sum(2) / SIGMA**2
    expected = (-squares / 2).exp() @ mass / (2 * torch.pi * SIGMA**2) ** (size / 2)
    found = mixture.log_prob(x, A, SIGMA)
    torch.testing.assert_close(found.exp(), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(mixture.noised(A, SIGMA).log_prob(x), found)


@pytest.mark.equation("eq-clusters-score")
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_score_is_the_gradient_of_the_log_density(example):
    mixture = example()
    x = mixture.sample(20, generator(3)).requires_grad_()
    for noise in [(1.0, 0.0), (A, SIGMA)]:
        (expected,) = torch.autograd.grad(mixture.log_prob(x, *noise).sum(), x)
        torch.testing.assert_close(mixture.score(x.detach(), *noise), expected)
        if noise == (1.0, 0.0):  # what holds when no noise is named
            torch.testing.assert_close(mixture.score(x.detach()), expected)


@pytest.mark.equation("eq-clusters-denoiser")
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_denoiser_is_the_mean_of_x_0_by_quadrature(example):
    mixture = example()
    points, cell = lattice(mixture)
    mass = mixture.log_prob(points).exp() * cell
    x = mixture.noised(A, SIGMA).sample(4, generator(4))
    squares = ((x[:, None] - A * points) ** 2).sum(2) / SIGMA**2
    weights = (-squares / 2).exp() * mass
    expected = weights @ points / weights.sum(1, keepdim=True)
    torch.testing.assert_close(mixture.x_0_mean(x, A, SIGMA), expected, rtol=1e-5, atol=1e-7)


def test_each_point_may_have_its_own_noise():
    mixture = mixture_2d()
    x = mixture.sample(5, generator(5))
    a, sigma = torch.linspace(0.1, 0.9, 5).double(), torch.linspace(0.2, 1.1, 5).double()
    for method in (mixture.log_prob, mixture.score, mixture.x_0_mean, mixture.responsibilities):
        together = method(x, a, sigma)
        for i in range(5):
            alone = method(x[i : i + 1], float(a[i]), float(sigma[i]))
            torch.testing.assert_close(together[i : i + 1], alone)


def test_the_denoiser_of_a_schedule_takes_its_steps_and_answers_in_the_type_of_x():
    mixture, schedule = mixture_2d(), cosine_schedule(10)
    x, t = mixture.sample(10, generator(6)), torch.arange(1, 11)
    found = mixture.denoiser(schedule)(x, t)
    signal, noise = schedule.amplitudes
    torch.testing.assert_close(found, mixture.x_0_mean(x, signal[t], noise[t]))
    in_single = mixture.denoiser(schedule)(x.float(), t)
    assert in_single.dtype == torch.float32
    torch.testing.assert_close(in_single.double(), found, rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match="steps t from 1 to 10"):
        mixture.denoiser(schedule)(x, t + 1)


def test_one_cluster_is_gaussian_data():
    root = torch.randn(3, 3, dtype=torch.float64, generator=generator(7))
    data = GaussianData(root[0], root @ root.T)
    alone = Mixture(torch.ones(1).double(), data.mean[None], data.covariance[None])
    x, t, schedule = root, torch.tensor([1, 4, 9]), cosine_schedule(10)
    torch.testing.assert_close(alone.denoiser(schedule)(x, t), data.denoiser(schedule)(x, t))


@pytest.mark.equation("eq-clusters-posterior")
def test_the_posterior_is_bayes_rule_at_every_point():
    mixture = mixture_2d()
    points, cell = lattice(mixture)
    for operator, y in [
        (torch.tensor([[1.0, 0.0]]), torch.tensor([0.4])),
        (torch.tensor([[0.5, -0.3], [1.0, 2.0]]), torch.tensor([0.4, -0.2])),
    ]:
        operator, y = operator.double(), y.double()
        posterior = mixture.posterior(y, operator, 0.3)
        squares = ((y - points @ operator.T) ** 2).sum(1) / 0.3**2
        joint = (mixture.log_prob(points) - squares / 2).exp()
        expected = joint / (joint.sum() * cell)
        found = posterior.log_prob(points).exp()
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-8)


@pytest.mark.equation("eq-clusters-posterior")
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_posterior_of_x_0_has_the_mean_of_the_denoiser(example):
    mixture = example()
    x = mixture.noised(A, SIGMA).sample(1, generator(8))
    posterior = mixture.x_0_posterior(x[0], A, SIGMA)
    torch.testing.assert_close(posterior.moments[0], mixture.x_0_mean(x, A, SIGMA)[0])


def test_what_is_no_mixture_is_refused():
    whole = mixture_2d()
    weights, means, covariances = whole.weights, whole.means, whole.covariances
    eyes = torch.eye(2).double().expand(5, 2, 2, 2)
    shaped = r"expected weights \(K,\), means \(K, D\) and covariances \(K, D, D\), got "
    wrong = [
        (weights[:3], means, covariances, shaped + r"\(3,\), \(5, 2\) and \(5, 2, 2\)"),
        (torch.ones(6).double() / 6, means, covariances, shaped + r"\(6,\), "),
        (weights, means, covariances[:, :1], shaped + r"\(5,\), \(5, 2\) and \(5, 1, 2\)"),
        (weights, means, weights, shaped + r"\(5,\), \(5, 2\) and \(5,\)"),
        (weights, weights, covariances, shaped + r"\(5,\), \(5,\) and"),
        (weights, eyes[:, 0], eyes, shaped + r"\(5,\), \(5, 2, 2\) and \(5, 2, 2, 2\)"),
        (weights * 2, means, covariances, "add up to 1"),
        (torch.tensor([1.25, -0.25, 0, 0, 0]).double(), means, covariances, "not be negative"),
        (weights, means / 0, covariances, "must be finite"),
        (weights, means, covariances / 0, "must be finite"),
        (weights, means, -covariances, "positive definite"),
        (weights, means, 0 * covariances, "positive definite"),
        (weights, means, covariances + torch.tensor([[0, 0.1], [0, 0]]), "symmetric"),
    ]
    for *parts, sentence in wrong:
        with pytest.raises(ValueError, match=sentence):
            Mixture(*parts)


def test_points_and_observations_that_do_not_fit_are_refused():
    mixture = mixture_2d()
    for shape in [(3, 1), (3, 3), (2,), (3, 2, 1)]:
        with pytest.raises(ValueError, match=r"expected points of shape \(B, 2\), got \("):
            mixture.score(torch.zeros(shape).double())
    for seen, shape in [((1,), (1, 3)), ((1,), (1, 1)), ((), (2,)), ((3, 1), (3, 1, 2))]:
        with pytest.raises(ValueError, match=r"expected y \(M,\) and an operator \(M, 2\), got"):
            mixture.posterior(torch.zeros(seen).double(), torch.ones(shape).double(), 0.1)
    for sigma in (0.0, -0.1, math.nan):
        with pytest.raises(ValueError, match=f"sigma must be positive, got {sigma}"):
            mixture.posterior(torch.zeros(1).double(), torch.ones(1, 2).double(), sigma)
