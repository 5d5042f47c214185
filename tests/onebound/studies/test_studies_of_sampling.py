"""What the studies of sampling share: their noise, their judge, and what they change."""

import pytest
import torch

from onebound.data.images import to_signed
from onebound.data.mnist import MNIST, load_mnist
from onebound.diffusion.schedules import cosine_schedule
from onebound.evaluation import protocol
from onebound.studies import sampling, sampling_labels
from onebound.zoo import digits
from onebound.zoo.cards import load_model


def test_the_first_samples_of_many_start_as_those_of_a_few():
    many, few, other = (
        [(x_T, torch.randn(3, generator=noise)) for x_T, noise in sampling.starts(n, seed)]
        for n, seed in ((120, 1), (50, 1), (50, 2))
    )
    assert [len(x_T) for x_T, _ in many] == [50, 50, 20]
    assert all(torch.equal(a, b) for a, b in zip(many[0], few[0], strict=True))
    assert not torch.equal(few[0][0], other[0][0])
    assert not torch.equal(many[0][0], many[1][0])


def test_the_judge_is_the_protocol():
    images, labels, test, test_labels = load_mnist()
    noise = torch.randn(500, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    drawn = to_signed(images[:500]) + 0.3 * noise
    classifier, _ = load_model(digits)
    few = MNIST(images[:1000], labels[:1000], test, test_labels)
    judged = protocol.evaluate(drawn, protocol.reference(classifier, few))
    found = sampling.judged(drawn, seed=0)
    assert found["recognised"] == pytest.approx(judged.recognised.mean)
    assert found["frechet"] == pytest.approx(judged.frechet.mean)
    shares = labels.bincount() / len(labels)
    assert sum(
        ratio * share.item() for ratio, share in zip(found["classes"], shares, strict=True)
    ) == (pytest.approx(1))
    assert found["floor"] < found["first_frechet"]
    assert found["outside"] == pytest.approx((drawn.abs() > 1).double().mean().item())


def test_steps_even_in_log_snr_rise_to_the_last():
    schedule = cosine_schedule(1000)
    steps = sampling.even_log_snr(schedule, 10)
    assert steps[0] == 10
    assert steps[-1] == 1000
    gaps = schedule.log_snr[steps[:-1]].diff()
    assert (gaps / gaps.mean() - 1).abs().max() < 0.2


def test_the_spread_is_what_lies_within_the_classes_and_between_their_means():
    features = torch.tensor([[0.0, 1], [2, 1], [10, 5], [10, 9]], dtype=torch.float64)
    within, between = sampling_labels.spreads(features, torch.tensor([0, 0, 1, 1]))
    assert within == pytest.approx((1 + 4) / 2)
    assert between == pytest.approx(4.5**2 + 3**2)


def test_each_seed_asks_for_labels_of_its_own():
    one, other = sampling_labels.labels_of(100, 0), sampling_labels.labels_of(100, 1)
    assert not torch.equal(one, other)
    assert torch.equal(sampling_labels.labels_of(50, 0), one[:50])
