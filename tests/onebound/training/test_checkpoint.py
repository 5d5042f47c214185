import pytest
import torch
from torch import nn

from onebound.training.checkpoint import Checkpoint

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


def test_another_run_is_refused_and_named(tmp_path):
    Checkpoint(tmp_path / "state", RUN, parts(0)).save((1,))
    other = Checkpoint(tmp_path / "state", RUN | {"rate": 0.2}, parts(0))
    with pytest.raises(ValueError, match=r"'rate': 0.1}, not of .*'rate': 0.2}: delete .*state"):
        other.restore()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", "cut"])
def test_a_damaged_file_is_refused_and_named(tmp_path, content):
    path = tmp_path / "state"
    kept = Checkpoint(path, RUN, parts(0))
    kept.save((1,))
    path.write_bytes(path.read_bytes()[:-100] if content == "cut" else content)
    with pytest.raises(
        ValueError, match=r"cannot read a checkpoint .*delete .*state to start anew"
    ):
        kept.restore()


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
