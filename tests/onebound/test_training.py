import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from onebound.training import train


class Point(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))


def squared(point):
    return lambda x: (x - point.w) ** 2


DATA = torch.arange(100.0) / 100


def test_it_finds_the_minimum():
    point = Point()
    list(train(point, squared(point), DATA, epochs=60, batch_size=10, learning_rate=0.02))
    assert point.w.item() == pytest.approx(DATA.mean().item(), abs=0.01)


def test_the_recorded_loss_is_the_mean_over_all_batches():
    point = Point()
    (epoch,) = train(point, squared(point), DATA, epochs=1, batch_size=20, learning_rate=0.0)
    assert epoch.loss == pytest.approx((DATA**2).mean().item())
    assert epoch.number == 1


def test_the_last_incomplete_batch_is_left_out():
    point, seen = Point(), []

    def loss(x):
        seen.append(len(x))
        return squared(point)(x)

    list(train(point, loss, DATA, epochs=2, batch_size=30))
    assert seen == [30] * 6


def test_every_epoch_has_an_order_of_its_own_without_repetition():
    point, seen = Point(), []

    def loss(x):
        seen.append(x)
        return squared(point)(x)

    list(train(point, loss, DATA, epochs=2, batch_size=10))
    first, second = torch.cat(seen[:10]), torch.cat(seen[10:])
    assert torch.equal(first.sort().values, DATA)
    assert torch.equal(second.sort().values, DATA)
    assert not torch.equal(first, second)


def test_the_rate_follows_half_a_cosine_to_zero():
    # Adam's step under a constant gradient is the rate itself.
    point, places = Point(), [0.0]
    for _ in train(
        point, lambda x: point.w.expand(len(x)), DATA, epochs=4, batch_size=100, learning_rate=0.1
    ):
        places.append(point.w.item())
    steps = [a - b for a, b in pairwise(places)]
    rates = [0.05 * (1 + math.cos(math.pi * i / 4)) for i in range(4)]
    assert steps == pytest.approx(rates, rel=1e-4)


def test_same_seed_same_losses_and_another_seed_others():
    def losses(seed):
        point = Point()
        noisy = lambda x: (x - point.w + torch.randn(len(x))) ** 2  # noqa: E731
        return [e.loss for e in train(point, noisy, DATA, epochs=3, batch_size=10, seed=seed)]

    assert losses(1) == losses(1)
    assert losses(1) != losses(2)


def test_it_pauses_between_epochs_and_counts_training_time_only():
    point = Point()
    run = train(point, squared(point), DATA, epochs=2, batch_size=10)
    first = next(run)
    after_one = point.w.item()
    second = next(run)
    assert after_one != point.w.item()
    assert 0 < first.seconds < second.seconds


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"epochs": 1, "batch_size": 0}, "batch_size must be"),
        ({"epochs": 1, "batch_size": 101}, "got 100 images, fewer than one batch of 101"),
    ],
)
def test_bad_sizes_are_refused(options, message):
    point = Point()
    with pytest.raises(ValueError, match=message):
        next(train(point, squared(point), DATA, **options))


def test_a_diverging_loss_stops_the_run():
    point = Point()
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        next(train(point, lambda x: x * point.w / 0, DATA, epochs=1, batch_size=10))
