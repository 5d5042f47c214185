import json
import math
import os
import re
import runpy
import subprocess
import sys
import textwrap
from itertools import count, pairwise

import pytest
import torch
from torch import nn

from common import Watch
from onebound.checks import check_images
from onebound.training import checkpoint
from onebound.training.optimisers import Average, adam, muon
from onebound.training.precision import mixed_precision
from onebound.training.run import LOOK, _check, train


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
    average = Average(point, memory=1.0)
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
        ({"epochs": 1, "batch_size": 101}, "got 100 examples, fewer than one batch of 101"),
    ],
)
def test_bad_sizes_are_refused(options, message):
    point = Point()
    with pytest.raises(ValueError, match=message):
        next(train(point, squared(point), DATA, **options))


@pytest.mark.parametrize("warm_up", [-1, -5, math.nan, 2.5, True])
def test_a_warm_up_that_is_no_number_of_steps_is_refused(warm_up):
    point = Point()
    with pytest.raises(ValueError, match=f"warm_up must be a whole number .* got {warm_up}"):
        next(train(point, squared(point), DATA, epochs=1, batch_size=10, warm_up=warm_up))


@pytest.mark.parametrize("rate", [-0.1, math.nan, math.inf])
def test_a_rate_that_is_none_is_refused(rate):
    point = Point()
    with pytest.raises(ValueError, match=f"learning_rate must be finite .* got {rate}"):
        next(train(point, squared(point), DATA, epochs=1, batch_size=10, learning_rate=rate))


def test_several_data_are_dealt_out_together():
    point = Point()

    def loss(x, y):
        assert torch.equal(y, 2 * x)
        return squared(point)(x)

    list(train(point, loss, DATA, 2 * DATA, epochs=1, batch_size=10))
    for data in ((DATA, DATA[:50]), ()):
        with pytest.raises(ValueError, match="expected data of one length, got"):
            next(train(point, loss, *data, epochs=1, batch_size=10))


def test_a_diverging_loss_stops_the_run():
    point = Point()
    with pytest.raises(FloatingPointError, match=r"lower learning_rate$"):
        next(train(point, lambda x: x * point.w / 0, DATA, epochs=1, batch_size=10))


class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(16, 16))


@pytest.mark.parametrize(
    "optimiser", [adam, muon, lambda m, r: [torch.optim.SGD(m.parameters(), r)]]
)
@pytest.mark.parametrize("bad", [math.inf, math.nan])
@pytest.mark.parametrize("when", [3, 60, 119])  # of 120 steps; the last is 119
def test_one_gradient_that_is_not_finite_stops_the_run_within_50_steps(
    tmp_path, optimiser, bad, when
):
    path, model, taken = tmp_path / "state", Wide(), count()
    options = {"epochs": 2, "batch_size": 1, "optimiser": optimiser, "checkpoint": path}

    def loss(x):
        step = next(taken)
        ours = model.w * 1.0
        if step == 120 + when:
            ours.register_hook(lambda gradient: torch.full_like(gradient, bad))
        return (x - ours.mean(1).mean()) ** 2  # finite, whatever its gradient is

    epochs = train(model, loss, torch.full((120,), 2.0), **options)
    next(epochs)
    good = path.read_bytes()
    with pytest.raises(FloatingPointError, match=r"not finite at step .* of epoch 2") as caught:
        next(epochs)
    assert next(taken) <= 120 + when + 1 + 50
    assert path.read_bytes() == good
    call = re.search(r"call (model.*\['model'\]\)), and train with", str(caught.value))[1]
    import onebound.training.checkpoint

    fresh = Wide()  # what the message says
    eval(call, {"model": fresh, "onebound": onebound})
    assert torch.isfinite(fresh.w).all()
    assert not torch.equal(fresh.w, Wide().w)
    list(train(fresh, lambda x: (x - fresh.w.mean()) ** 2, torch.ones(5), epochs=1, batch_size=1))


def test_nothing_is_written_between_two_looks_either(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY", -1.0)  # a state after every step
    path, point, taken = tmp_path / "state", Point(), count()

    def loss(x):
        return squared(point)(x) * (math.inf if next(taken) == 4 else 1)

    with pytest.raises(FloatingPointError, match="not finite at step 5 of epoch 1"):
        next(train(point, loss, DATA, epochs=1, batch_size=10, checkpoint=path))
    assert checkpoint.read(path)["place"][:2] == (1, 4)
    assert math.isfinite(checkpoint.read(path)["parts"]["model"]["w"])


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(1)


def test_between_epochs_samples_do_not_move_what_training_measured():
    model = Normed()
    average = Average(model)
    loss = lambda x: model.norm(x[:, None])[:, 0] ** 2  # noqa: E731
    for _ in train(model, loss, DATA, epochs=2, batch_size=10, average=average):
        for part in (model, average.module):
            assert not any(module.training for module in part.modules())
            before = part.norm.running_mean.clone()
            part.norm(torch.ones(3, 1))
            assert torch.equal(part.norm.running_mean, before)
    assert model.norm.num_batches_tracked == 20
    assert average.module.norm.num_batches_tracked == 20


def test_a_checkpoint_of_other_data_or_another_loss_is_refused(tmp_path):
    point = Point()
    options = {"epochs": 1, "batch_size": 10, "checkpoint": str(tmp_path / "state")}
    list(train(point, squared(point), DATA, **options))
    w = point.w.item()
    for loss, data, message in (
        (squared(point), DATA + 1, "data is .*torch.float32 .* there"),
        (squared(point), DATA[:90], r"data is .*\(100,\).* there, .*\(90,\).* here"),
        (lambda x: (x - point.w).abs(), DATA, "loss is 'squared.* there, 'test_.*abs.* here"),
    ):
        with pytest.raises(ValueError, match=message):
            next(train(point, loss, data, **options))
    other = Wide()
    with pytest.raises(ValueError, match=r"part 'model' is 'Point.* there, 'Wide, w \(16, 16\)'"):
        next(train(other, squared(point), DATA, **options))
    assert point.w.item() == w


def test_two_runs_cannot_share_a_checkpoint(tmp_path):
    point = Point()
    options = {"epochs": 2, "batch_size": 10, "checkpoint": tmp_path / "state"}
    first = train(point, squared(point), DATA, **options)
    next(first)
    with pytest.raises(ValueError, match="another run, here or in another process"):
        next(train(point, squared(point), DATA, **options))
    first.close()
    next(train(point, squared(point), DATA, **options))


@pytest.mark.parametrize("optimiser", [adam, muon])
def test_a_step_makes_no_float64_and_reads_nothing_back(optimiser):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 16), nn.SiLU(), nn.Linear(16, 16), nn.BatchNorm1d(16))
    loss = lambda x: model(x[:, None]).square().mean(1)  # noqa: E731
    options = {"epochs": 3, "batch_size": 10, "optimiser": optimiser, "average": Average(model)}
    epochs = train(model, loss, DATA.repeat(12), **options)
    next(epochs)
    with Watch() as watch:
        next(epochs)  # 120 steps
    assert not watch.doubles
    looks = 120 // LOOK + 1
    assert len(watch.reads) <= looks + 2  # and the loss, for the state and for the record


def test_values_are_checked_in_the_first_batch_only():
    point, trusted = Point(), []

    def loss(x):
        try:
            check_images(torch.full((1, 1, 4, 4), 7.0), -1, 1)
            trusted.append(True)
        except ValueError:
            trusted.append(False)
        return squared(point)(x)

    for _ in train(point, loss, DATA, epochs=2, batch_size=50):
        with pytest.raises(ValueError, match="expected finite images"):
            check_images(torch.full((1, 1, 4, 4), 7.0), -1, 1)
    assert trusted == [False, True, True, True]


def noisy(point):
    return lambda x: (x - point.w + torch.randn(len(x))) ** 2


class Killed(Exception):
    pass


def kill_before(kill):
    """What is called at the start of each step, in its place."""

    def called(device):
        kill()
        return mixed_precision(device)

    return called


def test_a_run_stopped_anywhere_ends_as_if_it_had_not_been(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY", -1.0)  # a state after every step
    options = {"epochs": 3, "batch_size": 10, "learning_rate": 0.05}
    whole = Point()
    mean = Average(whole)
    expected = [epoch.loss for epoch in train(whole, noisy(whole), DATA, average=mean, **options)]
    for stop in (1, 10, 14, 29):  # 10 steps an epoch
        path = tmp_path / str(stop)
        cut, steps = Point(), count()

        def kill(*_, steps=steps, stop=stop):
            if next(steps) == stop:
                raise Killed

        mean_of_cut = Average(cut)
        with monkeypatch.context() as patched:
            patched.setattr("onebound.training.run.mixed_precision", kill_before(kill))
            with pytest.raises(Killed):
                list(train(cut, noisy(cut), DATA, checkpoint=path, average=mean_of_cut, **options))
        torch.manual_seed(99)
        resumed = Point()
        average = Average(resumed)
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
    with pytest.raises(ValueError, match=r"learning_rate is 0.1 there, 0.2 here"):
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
    from onebound.training.run import train

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
        _check([torch.zeros(120)], 1, 15, 2, 0.1, 0)
