"""The zoo's classifier: what it is trained on, and whether it does what its card says."""

import math

import pytest
import torch

from onebound.data.images import to_unit
from onebound.data.mnist import load_mnist
from onebound.evaluation import frechet
from onebound.evaluation.estimates import per_example
from onebound.evaluation.quality import recognised
from onebound.zoo import digits
from onebound.zoo.cards import load_model

MIDDLE = 13.5


def spots(n, down=0.0, right=0.0):
    """Draw n images of one spot, smooth enough that its centre of mass is not that of a pixel."""
    rows = torch.arange(28.0) - MIDDLE
    spot = torch.exp(-0.5 * (rows - down) ** 2)[:, None] * torch.exp(-0.5 * (rows - right) ** 2)
    return spot.expand(n, 1, 28, 28)


def centre(images):
    mass = images.sum((1, 2, 3))
    rows = torch.arange(28.0) - MIDDLE
    down = (images * rows[:, None]).sum((1, 2, 3)) / mass
    right = (images * rows).sum((1, 2, 3)) / mass
    return down, right


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_nothing_moves_by_nothing():
    images = torch.rand(4, 1, 28, 28)
    torch.testing.assert_close(
        digits.moved(images, degrees=0, stretch=0, pixels=0), images, atol=1e-4, rtol=0
    )


def test_shifts_fill_a_square_of_pixels():
    for way in centre(digits.moved(spots(1000), degrees=0, stretch=0, pixels=2)):
        assert 1.95 < way.max() < 2.01
        assert -2.01 < way.min() < -1.95


def test_turns_keep_the_radius_and_fill_an_angle():
    down, right = centre(digits.moved(spots(1000, right=8), degrees=12, stretch=0, pixels=0))
    torch.testing.assert_close(torch.hypot(down, right), torch.full((1000,), 8.0), atol=0.1, rtol=0)
    angles = torch.atan2(down, right).rad2deg()
    assert 11.5 < angles.max() < 12.3
    assert -12.3 < angles.min() < -11.5


def test_each_side_is_stretched_by_itself():
    down, right = centre(digits.moved(spots(1000, 6, 6), degrees=0, stretch=0.2, pixels=0))
    for way in (down, right):
        assert 6 / 0.8 - 0.1 < way.max() < 6 / 0.8 + 0.05
        assert 6 / 1.2 - 0.05 < way.min() < 6 / 1.2 + 0.1
    assert abs(torch.corrcoef(torch.stack([down, right]))[0, 1]) < 4 / math.sqrt(1000)


def test_noise_has_every_strength_and_stays_in_the_range():
    noise = digits.noisy(2000)
    assert noise.min() == 0
    assert noise.max() == 1
    # For a weak image half of the mass of N(0, s^2) is cut to 0: the mean is s / sqrt(2 pi).
    means = noise.mean((1, 2, 3))
    assert means.min() < 0.005
    assert 0.3 < means.max() < 1 / math.sqrt(2 * math.pi)


@pytest.fixture(scope="module")
def classifier():
    model, card = load_model(digits)
    return model.requires_grad_(False), card


def test_the_card_says_what_is_asked_of_the_classifier(classifier):
    metrics = classifier[1].metrics
    assert metrics["accuracy"][0] >= 0.994
    assert abs(metrics["recognised"][0] - 0.98) < 0.01
    assert abs(metrics["overconfidence"][0]) < 0.005


def test_real_digits_are_named_and_recognised_as_the_card_says(classifier):
    model, card = classifier
    images, labels = load_mnist().test_images[-2000:], load_mnist().test_labels[-2000:]
    unit = to_unit(images)
    wrong = (per_example(model, unit).argmax(1) != labels).float().mean()
    missed = 1 - per_example(lambda x: recognised(model, x), unit).mean()
    for found, (share, _) in (
        (wrong, card.metrics["accuracy"]),
        (missed, card.metrics["recognised"]),
    ):
        assert abs(found - (1 - share)) < 4 * (share * (1 - share) / 2000) ** 0.5


def test_no_noise_is_recognised(classifier):
    assert recognised(classifier[0], digits.noisy(500)).sum() == 0
    assert recognised(classifier[0], torch.rand(500, 1, 28, 28)).sum() == 0
    flat = torch.linspace(0, 1, 5).reshape(5, 1, 1, 1).expand(5, 1, 28, 28)
    assert recognised(classifier[0], flat).sum() == 0


def test_smudges_pass_for_digits_but_their_features_are_far_away(classifier):
    model, _ = classifier
    images = to_unit(load_mnist().train_images)
    chosen = torch.randint(len(images), (3000,))
    smudges = images[chosen].reshape(300, 10, 1, 28, 28).mean(1)
    assert recognised(model, smudges).mean() > 0.7  # what `onebound.evaluation` warns of
    test = frechet.fit(model.features(to_unit(load_mnist().test_images[-2000:])))
    real, far = (frechet.fit(model.features(x)) for x in (images[chosen[:300]], smudges))
    assert frechet.distance(far, test) > 20 * frechet.distance(real, test)


def test_half_the_digits_in_place_of_all_ten_show_in_the_distance(classifier):
    model, _ = classifier
    images, labels = load_mnist().test_images[:4000], load_mnist().test_labels[:4000]
    features = model.features(to_unit(images))
    test, all_ten = frechet.fit(features[2000:]), frechet.fit(features[:500])
    half = frechet.fit(features[:2000][labels[:2000] < 5][:500])
    assert frechet.distance(half, test) > 10 * frechet.distance(all_ten, test)
