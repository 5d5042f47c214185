import json
from types import ModuleType

import pytest

from bookbuild.run import studies as runner
from onebound.studies.records import StudyError, load_record, over_seeds, record_file


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study of two settings and two seeds, which needs no training."""
    made = ModuleType("onebound.studies.example")
    made.__file__ = str(tmp_path / "example.py")
    made.SETTINGS = {"one": {"factor": 1}, "two": {"factor": 2}}
    made.SEEDS = (0, 1)
    made.SMOKE = {}
    made.run = lambda seed, factor: {"value": factor * (seed + 1 / 3)}
    monkeypatch.setattr(runner, "study_of", lambda _: made)
    monkeypatch.setattr(runner, "code_key", lambda *_: "")
    return made


def run_all(study):
    for task in list(runner.missing("example")):
        runner.keep(study, runner.run_one(task))


def test_a_study_runs_what_its_record_lacks(study):
    assert len(list(runner.missing("example"))) == 4
    runner.keep(study, runner.run_one(("example", "two", 1)))
    left = list(runner.missing("example"))
    assert ("example", "two", 1) not in left
    assert len(left) == 3
    run_all(study)
    assert not list(runner.missing("example"))
    runs = load_record(study)
    assert [run.result["value"] for run in runs["two"]] == [0.666667, 2.66667]
    assert over_seeds(runs["one"], "value").mean == pytest.approx(1 / 3 + 0.5, rel=1e-5)


def test_a_setting_that_changed_runs_again(study):
    run_all(study)
    study.SETTINGS["two"] = {"factor": 3}
    assert [task[1] for task in runner.missing("example")] == ["two", "two"]
    with pytest.raises(StudyError, match="lacks 'two', seed 0: run `make studies NAMES=example`"):
        load_record(study)


def test_a_record_that_is_missing_or_damaged_says_what_to_do(study):
    with pytest.raises(StudyError, match=r"has no record .* run `make studies NAMES=example`"):
        load_record(study)
    record_file(study).write_text("{")
    with pytest.raises(StudyError, match="record of example is damaged"):
        load_record(study)


def test_a_record_has_a_line_for_each_run(study):
    run_all(study)
    lines = record_file(study).read_text(encoding="utf-8").splitlines()
    settings = [json.loads(line)["setting"] for line in lines]
    assert settings == ["one", "one", "two", "two"]


def test_a_smoke_run_finds_results_of_another_name(study):
    run_all(study)
    runner.smoke("example")
    study.run = lambda seed, factor: {"other": 0.0}
    with pytest.raises(AssertionError, match=r"gives {.other.}, recorded"):
        runner.smoke("example")


@pytest.mark.parametrize("name", runner.names())
def test_the_record_of_a_study_is_complete(name):
    assert load_record(runner.study_of(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", runner.names())
def test_a_study_runs_at_smoke_size(name):
    runner.smoke(name)
