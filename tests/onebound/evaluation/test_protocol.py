import pytest
import torch
import torch.nn.functional as F

from onebound.data.images import to_signed
from onebound.data.mnist import MNIST
from onebound.evaluation import frechet
from onebound.evaluation.estimates import Estimate
from onebound.evaluation.protocol import class_balance, evaluate, reference, to_levels
from onebound.evaluation.quality import NOISE
from onebound.networks.classifier import ConvClassifier


class Rows(torch.nn.Module):
    def forward(self, x):
        return x[:, 0, :10, :5].mean(2)


class Bars(ConvClassifier):
    """Knows a digit by the brightest of ten rows; an image that is nearly black is noise."""

    def __init__(self):
        super().__init__(width=1, features=1)
        self.features = Rows()

    def forward(self, x):
        rows = self.features(x)
        return 40 * torch.cat([rows, torch.full_like(rows[:, :1], 0.25)], 1)


def bars(labels, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 60, (len(labels), 1, 28, 28), dtype=torch.uint8, generator=generator)
    x[torch.arange(len(labels)), 0, labels] += 150
    return x


@pytest.fixture(scope="module")
def real():
    generator = torch.Generator().manual_seed(1)
    train, test = (torch.randint(10, (n,), generator=generator) for n in (4000, 1000))
    return reference(Bars(), MNIST(bars(train, 2), train, bars(test, 3), test))


def test_levels_survive_the_way_to_the_signed_range_and_back():
    levels = torch.arange(784).remainder(256).to(torch.uint8).reshape(1, 1, 28, 28)
    assert torch.equal(to_levels(to_signed(levels)), levels)
    step = 2 / 255
    nearly = (to_signed(levels) + 0.49 * step * torch.tensor([-1.0, 1.0]).repeat(14)).float()
    assert torch.equal(to_levels(nearly), levels)


def test_levels_of_any_images():
    levels = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(to_levels(to_signed(levels)), levels)


def test_overshoot_is_cut():
    x = torch.tensor([-1.7, -1.0, 1.0, 1.3]).repeat(196).reshape(1, 1, 28, 28)
    assert to_levels(x).flatten()[:4].tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 1, 28, 28), r"\[-1, 1\], got values from 0 to 0"),
        (torch.full((2, 1, 28, 28), -torch.inf), "from -inf"),
        (torch.full((2, 1, 28, 28), torch.nan), "from nan"),
        (torch.zeros(2, 1, 28, 28, dtype=torch.uint8), r"got torch.uint8 of shape \(2, 1, 28, 28"),
        (torch.zeros(2, 784), r"got torch.float32 of shape \(2, 784\)"),
        (torch.zeros(0, 1, 28, 28), r"B >= 1, got torch.float32 of shape \(0, 1, 28, 28\)"),
    ],
)
def test_samples_are_refused_that_are_not_in_the_signed_range(x, message):
    with pytest.raises(ValueError, match=message):
        to_levels(x)


def test_class_balance_by_hand():
    labels = torch.tensor([0] * 3 + [1] * 6 + [NOISE] * 5 + [9])
    shares = torch.tensor([0.1, 0.3] + [0.05] * 7 + [0.25])
    images = (labels / 10).reshape(-1, 1, 1, 1).expand(-1, 1, 28, 28)

    def classifier(x):
        return F.one_hot((10 * x[:, 0, 0, 0]).round().long(), 11).float()

    classes = class_balance(classifier, images, shares)
    means = [classes[digit].mean for digit in (0, 1, 2, 9)]
    assert means == pytest.approx([3 / 10 / 0.1, 6 / 10 / 0.3, 0, 1 / 10 / 0.25])
    assert classes[0].stderr == pytest.approx((0.3 * 0.7 / 9) ** 0.5 / 0.1)
    assert sum(c.mean * share for c, share in zip(classes, shares.tolist(), strict=True)) == (
        pytest.approx(1)
    )


def test_real_images_are_recognised_balanced_and_at_the_floor(real):
    generator = torch.Generator().manual_seed(4)
    fresh = to_signed(bars(torch.randint(10, (1000,), generator=generator), 5))
    result = evaluate(fresh, real)
    assert result.n == 1000
    assert result.recognised.mean == 1
    assert all(abs(ratio.mean - 1) < 4 * ratio.stderr for ratio in result.classes)
    assert result.imbalance == max(abs(ratio.mean - 1) for ratio in result.classes)
    spread = result.floor.stderr * 2  # of one: there are 4 subsets
    assert abs(result.frechet.mean - result.floor.mean) < 4 * (spread + result.frechet.stderr)
    assert 0.3 < result.ratio < 3
    low, high = result.interval
    assert (low + high) / 2 == pytest.approx(result.frechet.mean)
    assert (high - low) / 2 == pytest.approx(1.96 * result.frechet.stderr)
    assert evaluate(fresh, real) == result


def test_what_is_wrong_with_samples_shows(real):
    few = to_signed(bars(torch.arange(1000) % 5, 6))
    result = evaluate(few, real)
    assert [ratio.mean for ratio in result.classes] == pytest.approx([2] * 5 + [0] * 5, abs=0.5)
    assert result.imbalance == pytest.approx(1, abs=0.5)
    assert result.ratio > 20
    faint = few * 0.1 - 0.9
    assert evaluate(torch.cat([faint[:250], few[:750]]), real).recognised == pytest.approx(
        Estimate(0.75, (0.75 * 0.25 / 999) ** 0.5)
    )


def test_the_distance_is_that_of_the_features(real):
    few = to_signed(bars(torch.arange(1000) % 5, 6))
    features = Bars().features((few + 1) / 2)
    assert evaluate(few, real).frechet.mean == pytest.approx(
        frechet.distance(frechet.fit(features), real.test), rel=1e-4
    )


def test_an_evaluation_prints_what_matters(real):
    text = str(evaluate(to_signed(bars(torch.arange(1000) % 10, 7)), real))
    assert "1000 samples: recognised 100.0 ± 0.0 %" in text
    assert "ratio" in text


def test_a_classifier_in_training_mode_gives_the_same_verdict():
    torch.manual_seed(0)
    classifier = ConvClassifier(width=2, features=4)
    labels = torch.arange(400) % 10
    data = MNIST(bars(labels, 8), labels, bars(labels, 9), labels)
    samples = to_signed(bars(labels, 10))
    classifier(samples)  # moves the running means
    real = {mode: reference(classifier.train(mode), data) for mode in (False, True)}
    assert torch.equal(real[False].train, real[True].train)
    with torch.no_grad():
        classifier.head.bias.normal_(std=3)
        classifier.head.bias[NOISE] = -1e3
    assert class_balance(classifier.train(), (samples + 1) / 2, real[True].shares) == (
        class_balance(classifier.eval(), (samples + 1) / 2, real[True].shares)
    )
