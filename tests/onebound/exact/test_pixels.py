import math

import pytest
import torch

from common import SCHEDULES
from onebound.data.images import to_signed
from onebound.diffusion.process import sample_xt
from onebound.diffusion.schedules import log_snr_schedule
from onebound.exact.finite import optimal_denoiser
from onebound.exact.pixels import IndependentPixels, fit_independent_pixels


def narrow(*levels):
    """Almost all mass on pixel 0 being one of `levels`, repeats counted, and the others level 7."""
    probability = torch.full((784, 256), 1e-13, dtype=torch.float64)
    probability[1:, 7] = 1
    for level in levels:
        probability[0, level] += 1 / len(levels)
    return IndependentPixels(probability / probability.sum(1, keepdim=True))


def images_of(*levels):
    images = torch.full((len(levels), 1, 28, 28), 7, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.tensor(levels, dtype=torch.uint8)
    return images


@pytest.mark.equation("eq-pixel-denoiser")
@pytest.mark.parametrize("make", SCHEDULES)
def test_the_denoiser_is_the_optimal_one_of_the_same_images(make):
    schedule, levels = make(40), (0, 0, 90, 255)
    images = to_signed(images_of(*levels)).double()
    t = torch.arange(1, 41)
    eps = torch.randn(
        40, 1, 28, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    x_t = sample_xt(schedule, images[t % 4], eps, t)
    found = narrow(*levels).denoiser(schedule)(x_t, t)
    expected = optimal_denoiser(schedule, images)(x_t, t)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.equation("eq-pixel-histogram")
def test_log_prob_adds_the_pixels_up():
    levels = (0, 0, 90, 255)
    found = narrow(*levels).log_prob(images_of(0, 90, 255))
    expected = torch.tensor([0.5, 0.25, 0.25]).double().log()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.equation("eq-pixel-histogram")
def test_counting():
    images = torch.zeros(3, 1, 28, 28, dtype=torch.uint8)
    images[0, 0, 0, 1] = 200
    model = fit_independent_pixels(images, weight=2.0)
    share = (1 + 1) / (3 * 784 + 256)
    assert model.probability[1, 200].item() == pytest.approx((1 + 2 * share) / 5)
    assert model.probability[0, 200].item() == pytest.approx(2 * share / 5)
    assert model.probability[28, 0].item() == pytest.approx(
        (3 + 2 * (3 * 784 - 1 + 1) / (3 * 784 + 256)) / 5
    )
    torch.testing.assert_close(model.probability.sum(1), torch.ones(784).double())


def test_more_data_is_explained_better_by_its_own_counts():
    g = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (500, 1, 28, 28), dtype=torch.uint8, generator=g)
    uniform = 784 * math.log(1 / 256)
    assert fit_independent_pixels(images, 1.0).log_prob(images).mean() > uniform
    assert fit_independent_pixels(images, 1e9).log_prob(images).mean().item() == pytest.approx(
        uniform, rel=1e-3
    )


def test_what_is_no_table_or_no_image_is_refused():
    with pytest.raises(ValueError, match=r"\(D, 256\), got \(784, 2\)"):
        IndependentPixels(torch.full((784, 2), 0.5))
    with pytest.raises(ValueError, match="sum 1 in each row"):
        IndependentPixels(torch.full((784, 256), 0.5))
    with pytest.raises(ValueError, match="positive probabilities"):
        IndependentPixels(torch.eye(784, 256) + torch.eye(784, 256).sum(1, keepdim=True).eq(0))
    model = narrow(3)
    with pytest.raises(ValueError, match=r"torch\.uint8"):
        model.log_prob(torch.zeros(1, 1, 28, 28))
    with pytest.raises(ValueError, match=r"torch\.uint8"):
        fit_independent_pixels(torch.zeros(1, 1, 28, 28))
    with pytest.raises(ValueError, match="weight must be positive, got 0"):
        fit_independent_pixels(images_of(1), 0)
    with pytest.raises(ValueError, match="from 1 to 5, got 6 to 6"):
        model.denoiser(log_snr_schedule(5))(torch.zeros(1, 1, 28, 28), torch.tensor([6]))
