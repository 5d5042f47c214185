"""Each chapter has graded exercises with hints, one of them open-ended, and all are solved."""

import re
from pathlib import Path

import pytest
import yaml

BOOK = Path(__file__).parents[2] / "book"
EXERCISE = re.compile(
    r"^(?P<fence>:{3,})\{exercise\} [^\n]+\n:label: (?P<label>\S+)\n\n(?P<text>.*?)\n(?P=fence)$",
    re.DOTALL | re.MULTILINE,
)
CHAPTERS = sorted(
    path for path in BOOK.glob("*.md") if "\n## Exercises\n" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_exercises_are_graded_and_have_hints_and_solutions(path):
    text = path.read_text(encoding="utf-8")
    found = {match["label"]: match["text"] for match in EXERCISE.finditer(text)}
    assert len(found) == text.count("{exercise}") >= 3
    quick = [label for label, words in found.items() if words.startswith("*Two minutes.* ")]
    for label, words in found.items():
        grades = r"\*(Two minutes|Easy|Medium|Hard|Open-ended)\.\* "
        assert re.match(grades, words), f"{label}: no grade"
        folded = "Answer" if label in quick else "Hint"
        assert f":::{{dropdown}} {folded}\n" in words, f"{label}: no {folded.lower()}"
    assert sum(words.startswith("*Open-ended.*") for words in found.values()) == 1
    solved = re.findall(r"\{solution-start\} (\S+)$", solutions(path), re.MULTILINE)
    assert quick + solved == list(found)  # those of two minutes come first, answered in place


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_an_open_end_says_what_a_good_answer_contains(path):
    *_, last = solutions(path).split("{solution-start}")
    assert "**A good answer**" in last


def solutions(path):
    return (path.parent / "solutions" / path.name).read_text(encoding="utf-8")


def test_every_chapter_is_looked_at():
    parts = yaml.safe_load((BOOK.parent / "_toc.yml").read_text(encoding="utf-8"))["parts"]
    numbered = [one["file"] for part in parts if part.get("numbered") for one in part["chapters"]]
    assert [path.stem for path in CHAPTERS] == sorted(numbered)
