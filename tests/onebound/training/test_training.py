import json
import math
import os
import runpy
import subprocess
import sys
import textwrap
from itertools import count, pairwise

import pytest
import torch
from torch import nn

from onebound.training import checkpoint
from onebound.training.loop import _steps, train
from onebound.training.optimisers import averaged


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


def test_a_warm_up_raises_the_rate_in_proportion():
    point, places = Point(), [0.0]
    for _ in train(
        point,
        lambda x: point.w.expand(len(x)),
        DATA,
        epochs=4,
        batch_size=100,
        learning_rate=0.1,
        warm_up=2,
    ):
        places.append(point.w.item())
    steps = [a - b for a, b in pairwise(places)]
    rise = [1 / 3, 2 / 3, 1, 1]
    rates = [0.05 * r * (1 + math.cos(math.pi * i / 4)) for i, r in enumerate(rise)]
    assert steps == pytest.approx(rates, rel=1e-4)


def test_an_average_takes_in_every_step():
    point = Point()
    average = averaged(point, memory=1.0)
    places = []

    def loss(x):
        places.append(point.w.item())
        return squared(point)(x)

    list(train(point, loss, DATA, epochs=2, batch_size=20, learning_rate=0.1, average=average))
    places = [*places[1:], point.w.item()]
    assert average.module.w.item() == pytest.approx(sum(places) / len(places))


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


def noisy(point):
    return lambda x: (x - point.w + torch.randn(len(x))) ** 2


class Killed(Exception):
    pass


def test_a_run_stopped_anywhere_ends_as_if_it_had_not_been(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY", -1.0)  # a state after every step
    options = {"epochs": 3, "batch_size": 10, "learning_rate": 0.05}
    whole = Point()
    mean = averaged(whole)
    expected = [epoch.loss for epoch in train(whole, noisy(whole), DATA, average=mean, **options)]
    for stop in (1, 10, 14, 29):  # 10 steps an epoch
        path = tmp_path / str(stop)
        cut, steps = Point(), count()

        def loss(x, cut=cut, steps=steps, stop=stop):
            if next(steps) == stop:
                raise Killed
            return noisy(cut)(x)

        with pytest.raises(Killed):
            list(train(cut, loss, DATA, checkpoint=path, average=averaged(cut), **options))
        torch.manual_seed(99)
        resumed = Point()
        average = averaged(resumed)
        rest = list(
            train(resumed, noisy(resumed), DATA, checkpoint=path, average=average, **options)
        )
        assert average.module.w.item() == mean.module.w.item()
        assert resumed.w.item() == whole.w.item()
        assert [epoch.loss for epoch in rest] == pytest.approx(expected[-len(rest) :], rel=1e-6)
        assert rest[0].number == (stop + 9) // 10


def test_the_rate_is_part_of_the_run(tmp_path):
    point = Point()
    options = {"epochs": 1, "batch_size": 10, "checkpoint": tmp_path / "state"}
    list(train(point, squared(point), DATA, learning_rate=0.1, **options))
    with pytest.raises(ValueError, match=r"'learning_rate': 0.1, 'warm_up': 0}, not of"):
        next(train(point, squared(point), DATA, learning_rate=0.2, **options))


def test_a_bar_is_shown_unless_the_build_turns_it_off(capsys, monkeypatch):
    point = Point()
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    list(train(point, squared(point), DATA, epochs=1, batch_size=10))
    assert "epoch 1" in capsys.readouterr().err
    monkeypatch.setenv("TQDM_DISABLE", "1")
    list(train(point, squared(point), DATA, epochs=1, batch_size=10))
    assert capsys.readouterr().err == ""


SHARED = """
    import json, pathlib, sys, torch
    from accelerate import Accelerator
    from onebound.training.loop import train

    torch.manual_seed(0)
    data = torch.randn(120, 4)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.SiLU(), torch.nn.Linear(8, 1))
    loss = lambda x: (model(x)[:, 0] - x.sum(1)) ** 2
    epochs = train(model, loss, data, epochs=3, batch_size=30, learning_rate=0.05)
    losses = [epoch.loss for epoch in epochs]
    if Accelerator().is_main_process:
        weights = torch.cat([p.flatten() for p in model.parameters()]).tolist()
        result = json.dumps([Accelerator().num_processes, losses, weights])
        pathlib.Path(sys.argv[1]).write_text(result)
"""


def test_two_processes_agree_with_one_on_the_same_global_batch(tmp_path, monkeypatch):
    script, alone, shared = tmp_path / "script.py", tmp_path / "one.json", tmp_path / "two.json"
    script.write_text(textwrap.dedent(SHARED))
    monkeypatch.setattr(sys, "argv", ["script.py", alone])
    runpy.run_path(str(script))
    # What `accelerate launch` starts on GPUs; here two processes on the CPU, joined by gloo.
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    subprocess.run([*launch, script, shared], env=environment, check=True, timeout=120)
    one, losses, weights = json.loads(alone.read_text())
    two, shared_losses, shared_weights = json.loads(shared.read_text())
    assert (one, two) == (1, 2)
    # Half batches round otherwise in bfloat16.
    assert shared_losses == pytest.approx(losses, rel=1e-3)
    assert shared_weights == pytest.approx(weights, rel=1e-2, abs=1e-3)
    assert losses[-1] < 0.8 * losses[0]


def test_a_batch_that_the_processes_cannot_share_is_refused():
    with pytest.raises(ValueError, match="a batch of 15 cannot be shared evenly by 2 processes"):
        _steps(120, 1, 15, 2)
