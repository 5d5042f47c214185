"""The list of mutants that no test can kill refers to code that still stands there."""

import importlib.util
import tomllib
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CODE = HERE.parents[1] / "code/onebound"
TESTS = HERE.parent / "onebound"
MUTANTS = tomllib.loads((HERE / "mutants.toml").read_text(encoding="utf-8"))
LISTED = tomllib.loads((HERE / "equivalent.toml").read_text(encoding="utf-8")).get("equivalent", [])


def load_run():
    spec = importlib.util.spec_from_file_location("run_mutants", HERE / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("killed", "equivalent", "unexplained", "whole", "expected"),
    [
        (95, 5, 0, True, True),
        (94, 6, 0, True, False),  # too many explained
        (40, 7, 0, False, True),  # of one module, no limit on these
        (99, 0, 1, True, False),
        (99, 0, 1, False, False),
    ],
)
def test_when_the_mutants_are_in_order(killed, equivalent, unexplained, whole, expected):
    assert load_run().in_order(killed, equivalent, unexplained, whole) == expected


def lines(module):
    return [
        line.strip() for line in (CODE / f"{module}.py").read_text(encoding="utf-8").split("\n")
    ]


@pytest.mark.parametrize("entry", LISTED, ids=lambda entry: f"{entry['module']}: {entry['mutant']}")
def test_an_equivalent_mutant_is_one_of_a_line_that_exists(entry):
    assert entry.keys() == {"module", "line", "mutant", "reason"}
    assert entry["module"] in MUTANTS["tests"]
    assert entry["line"] in lines(entry["module"])
    assert entry["mutant"] not in lines(entry["module"])
    assert len(entry["reason"].split()) >= 5


def test_no_mutant_is_listed_twice():
    keys = [(entry["module"], entry["line"], entry["mutant"]) for entry in LISTED]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("module", MUTANTS["tests"])
def test_the_modules_and_their_tests_exist(module):
    assert (CODE / f"{module}.py").exists()
    for name in MUTANTS["tests"][module]:
        assert (TESTS / name).exists()
