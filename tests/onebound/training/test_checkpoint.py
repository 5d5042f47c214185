import copy
import functools
import os
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn

from onebound.training.checkpoint import Checkpoint, fingerprint, name_of, read

RUN = {"epochs": 2, "rate": 0.1}


def parts(seed):
    torch.manual_seed(seed)
    model = nn.Linear(3, 2)
    return {"model": model, "adam": torch.optim.Adam(model.parameters(), 0.1)}


def test_without_a_file_there_is_nothing_to_go_on_from(tmp_path):
    assert Checkpoint(tmp_path / "state", RUN, parts(0)).restore() is None
    assert Checkpoint(None, RUN, parts(0)).restore() is None


def test_everything_saved_comes_back_the_noise_too(tmp_path):
    ours, others = parts(0), parts(1)
    ours["model"](torch.ones(3)).sum().backward()
    ours["adam"].step()
    Checkpoint(tmp_path / "new" / "state", RUN, ours).save((3, 7, 0.25))
    noise = torch.rand(5)
    assert Checkpoint(tmp_path / "new" / "state", RUN, others).restore() == (3, 7, 0.25)
    assert torch.equal(torch.rand(5), noise)
    assert torch.equal(others["model"].weight, ours["model"].weight)
    saved, loaded = (part["adam"].state_dict()["state"][0] for part in (ours, others))
    assert torch.equal(saved["exp_avg"], loaded["exp_avg"])
    assert saved["exp_avg"].abs().sum() > 0


def test_only_the_process_that_writes_leaves_a_file_and_takes_the_noise(tmp_path):
    path = tmp_path / "state"
    reader = Checkpoint(path, RUN, parts(0), writes=False)
    reader.save((1,))
    assert not path.exists()
    Checkpoint(path, RUN, parts(0)).save((1,))
    torch.manual_seed(5)
    assert reader.restore() == (1,)
    noise = torch.rand(5)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(5), noise)


def test_a_save_that_dies_leaves_the_last_state(tmp_path, monkeypatch):
    path = tmp_path / "state"
    kept = Checkpoint(path, RUN, parts(0))
    kept.save((1,))

    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(OSError, match="no space left"):
        kept.save((2,))
    assert [file.name for file in tmp_path.iterdir()] == ["state"]
    assert kept.restore() == (1,)


@pytest.mark.parametrize(
    ("run", "others", "message"),
    [
        (RUN | {"rate": 0.2}, {}, "another run: rate is 0.1 there, 0.2 here. .*delete .*state"),
        (RUN | {"more": 1}, {}, "more is None there, 1 here"),
        (RUN, {"average": nn.Linear(3, 2)}, "part 'average' is None there, 'Linear, weight"),
        (RUN, {"model": nn.Linear(3, 4)}, r"part 'model' is .*weight \(2, 3\).*weight \(4, 3\)"),
        (RUN, {"adam": torch.optim.SGD([torch.zeros(1)])}, "part 'adam' is 'Adam' there, 'SGD' h"),
    ],
)
def test_another_run_is_refused_by_name_before_anything_changes(tmp_path, run, others, message):
    Checkpoint(tmp_path / "state", RUN, parts(0)).save((1,))
    mine = parts(1) | others
    before = {name: copy.deepcopy(part.state_dict()) for name, part in mine.items()}
    noise = torch.get_rng_state()
    with pytest.raises(ValueError, match=message):
        Checkpoint(tmp_path / "state", run, mine).restore()
    assert torch.equal(noise, torch.get_rng_state())
    for name, part in mine.items():
        for key, value in part.state_dict().items():
            if torch.is_tensor(value):
                assert torch.equal(value, before[name][key]), (name, key)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", "cut", "flipped"])
def test_a_damaged_file_is_refused_and_named(tmp_path, content):
    path = tmp_path / "state"
    kept = Checkpoint(path, RUN, parts(0))
    kept.save((1,))
    whole = path.read_bytes()
    flipped = whole[:700] + bytes([whole[700] ^ 1]) + whole[701:]
    path.write_bytes({"cut": whole[:-100], "flipped": flipped}.get(content, content))
    with pytest.raises(
        ValueError, match=r"cannot read a checkpoint .*delete .*state to start anew"
    ):
        kept.restore()


def test_every_bit_of_a_file_counts(tmp_path):
    path = tmp_path / "state"
    kept = Checkpoint(path, RUN, {})
    kept.save((1,))
    whole = path.read_bytes()
    for place in range(0, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(ValueError, match="cannot read a checkpoint"):
            read(path)


def test_a_path_may_be_a_text(tmp_path):
    Checkpoint(str(tmp_path / "state"), RUN, parts(0)).save((1,))
    assert Checkpoint(str(tmp_path / "state"), RUN, parts(1)).restore() == (1,)
    assert read(str(tmp_path / "state"))["place"] == (1,)


def test_what_another_device_wrote_is_read_on_the_cpu(tmp_path, monkeypatch):
    asked = {}
    load = torch.load
    monkeypatch.setattr("torch.load", lambda *a, **k: asked.update(k) or load(*a, **k))
    kept = Checkpoint(tmp_path / "state", RUN, parts(0))
    kept.save((1,))
    kept.restore()
    assert asked["map_location"] == "cpu"


class Device:
    """A stand-in for `torch.cuda` on a machine with two of them."""

    def __init__(self):
        self.states = [torch.tensor([1]), torch.tensor([2])]

    def is_available(self):
        return True

    def device_count(self):
        return len(self.states)

    def get_rng_state(self):
        return self.states[0]

    def get_rng_state_all(self):
        return list(self.states)

    def set_rng_state(self, state, device):
        self.states[device] = state


def test_the_noise_of_every_device_is_kept(tmp_path, monkeypatch):
    device = Device()
    kept = Checkpoint(tmp_path / "state", RUN, parts(0))
    monkeypatch.setattr(torch, "cuda", device)
    kept.save((1,))
    device.states = [torch.tensor([7]), torch.tensor([8])]
    kept.restore()
    assert [state.item() for state in device.states] == [1, 2]
    device.states = [torch.tensor([7])]  # a machine with one: it takes what is for that
    kept.restore()
    assert [state.item() for state in device.states] == [1]


def test_two_runs_cannot_have_one_file(tmp_path):
    path = tmp_path / "state"
    with Checkpoint(path, RUN, parts(0)):
        with pytest.raises(ValueError, match=r"another run, here or .* keeps its state in .*state"):
            Checkpoint(path, RUN, parts(0)).__enter__()
        with Checkpoint(path, RUN, parts(0), writes=False):  # its own other processes may read
            pass
    with Checkpoint(path, RUN, parts(0)):
        pass
    with Checkpoint(None, RUN, parts(0)), Checkpoint(None, RUN, parts(0)):
        pass


HOLD = """
    import sys, time
    from onebound.training.checkpoint import Checkpoint

    with Checkpoint(sys.argv[1], {}, {}):
        print("held", flush=True)
        time.sleep(60)
"""


def test_another_process_is_refused_too_and_a_killed_one_holds_nothing(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", textwrap.dedent(HOLD), tmp_path / "state"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ValueError, match="another run"):
            Checkpoint(tmp_path / "state", {}, {}).__enter__()
        other.kill()
        other.wait()
    with Checkpoint(tmp_path / "state", {}, {}):
        pass


def test_a_function_is_known_by_its_name_and_the_names_that_it_uses():
    scale = 2.0
    one, other = (lambda x: torch.sin(x) * scale), (lambda x: torch.cos(x) * scale)
    assert name_of(one) != name_of(other)
    assert name_of(one) == name_of(lambda x: torch.sin(x) * scale)  # wherever it is written
    assert name_of(one).endswith("<lambda> of scale, sin, torch")
    assert name_of(nn.Linear(1, 1)) == "Linear"
    assert name_of(functools.partial(one)) == "partial"


def test_data_are_known_by_type_shape_and_values():
    x = torch.arange(6.0)
    others = [x.double(), x.reshape(2, 3), x + 1, x[:5]]
    assert len({fingerprint(y) for y in (x, *others)}) == 5
    assert fingerprint(x) == fingerprint(x.clone())
    assert fingerprint(x.reshape(2, 3).T) != fingerprint(x.reshape(2, 3))


def test_it_is_due_after_half_a_minute(tmp_path, monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    kept, nothing = Checkpoint(tmp_path / "state", RUN, parts(0)), Checkpoint(None, RUN, parts(0))
    assert not kept.due()
    now = 131.0
    assert kept.due()
    assert not nothing.due()
    kept.save((1,))
    assert not kept.due()
