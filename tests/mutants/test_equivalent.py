"""The list of mutants that no test can kill refers to code that still stands there."""

import tomllib
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CODE = HERE.parents[1] / "code/onebound"
TESTS = HERE.parent / "onebound"
MUTANTS = tomllib.loads((HERE / "mutants.toml").read_text(encoding="utf-8"))
LISTED = tomllib.loads((HERE / "equivalent.toml").read_text(encoding="utf-8")).get("equivalent", [])


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
