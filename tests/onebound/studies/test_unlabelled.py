"""Training within a budget of processor time: what it shows, what it keeps, when it ends."""

import pytest
import torch
from torch import nn

from onebound.studies import unlabelled
from onebound.studies.records import load_record


def test_each_pass_shows_every_example_once_in_another_order():
    drawn = unlabelled.batches(torch.arange(10), 3, seed=0)
    first, second = (torch.cat([next(drawn) for _ in range(3)]) for _ in range(2))
    assert len(first.unique()) == len(second.unique()) == 9
    assert not torch.equal(first, second)
    again = unlabelled.batches(torch.arange(10), 3, seed=0)
    assert torch.equal(next(again), first[:3])


@pytest.fixture
def spent():
    """A line fitted for a second: the network, what is kept of it, and its slope at each step."""
    torch.manual_seed(1)
    line = nn.Linear(1, 1)
    slopes = []

    def loss(x):
        slopes.append(line.weight.item())
        return (line(x)[:, 0] - 3 * x[:, 0]) ** 2

    x = torch.linspace(-1, 1, 100)[:, None]
    options = {"batch_size": 10, "earlier": 0.1, "seed": 0, "learning_rate": 0.02}
    return line, unlabelled.spend(line, loss, x, 1.0, **options), slopes


def test_the_trial_leaves_no_trace_in_the_weights(spent):
    _, found, slopes = spent
    trial = 2 * unlabelled.TRIAL
    assert slopes[trial] == slopes[0] != slopes[trial - 1]
    assert len(slopes) == trial + found.steps


def test_the_time_is_spent_and_seen_at_even_moments(spent):
    _, found, _ = spent
    assert found.steps % unlabelled.PARTS == 0
    seconds, losses = torch.tensor(found.curve).T
    assert len(seconds) == unlabelled.PARTS
    assert (seconds.diff() > 0).all()
    assert 0.5 < seconds[-1] < 2  # steps of a microsecond are timed badly
    assert losses[-1] < losses[0]


def test_the_weights_are_averaged_and_the_earlier_ones_are_of_an_earlier_time(spent):
    line, found, slopes = spent
    assert line.weight.item() == pytest.approx(3, abs=0.01)
    assert line.weight.item() != slopes[-1]
    trial, then = 2 * unlabelled.TRIAL, found.steps // 10
    earlier = found.earlier["weight"].item()
    assert min(slopes[trial : trial + then]) < earlier < slopes[trial + then]


def test_recorded_trainings_kept_to_their_budget():
    for runs in load_record(unlabelled).values():
        for run in runs:
            assert run.result["seconds"] == pytest.approx(run.arguments["seconds"], rel=0.1)
            assert run.result["curve"][-1][0] <= run.result["seconds"]


def test_a_group_is_what_is_nearer_to_its_mean_than_to_any_other():
    noise = torch.Generator().manual_seed(0)
    images = torch.randint(256, (300, 1, 4, 4), generator=noise, dtype=torch.uint8)
    found = unlabelled.groups_of(images, 5, seed=1, components=16, rounds=50)
    means = torch.stack([images[found == k].float().mean(0) for k in range(5)]).flatten(1)
    assert torch.equal(torch.cdist(images.float().flatten(1), means).argmin(1), found)
    assert torch.equal(found, unlabelled.groups_of(images, 5, 1, components=16, rounds=50))


def test_groups_are_found_in_the_directions_of_largest_variance():
    noise = torch.Generator().manual_seed(0)
    images = torch.randint(100, 140, (200, 1, 4, 4), generator=noise, dtype=torch.uint8)
    images[::2, 0, 1, 2] = 0  # two heaps, told apart by one pixel
    images[1::2, 0, 1, 2] = 255
    found = unlabelled.groups_of(images, 2, seed=0, components=1)
    assert found[::2].unique().numel() == found[1::2].unique().numel() == 1
    assert found[0] != found[1]


def test_each_image_is_drawn_with_its_own_label():
    shown = torch.arange(300) % 7

    def denoiser_for(y):
        return lambda x_t, t: (y / 7).reshape(-1, 1, 1, 1).expand_as(x_t)

    drawn = unlabelled.draw(denoiser_for, shown, seed=0)
    assert drawn.shape == (300, 1, 28, 28)
    torch.testing.assert_close(drawn[:, 0, 0, 0], shown / 7)
