"""The limits of a chapter's shape, and the pages that keep to them."""

import pytest
from conftest import Book

from bookbuild.__main__ import main
from bookbuild.checks import limits
from bookbuild.source.chapters import BookError
from bookbuild.source.shape import Shape

LIMITS = {"words": 20, "lines": 3, "numbers": 2, "before_picture": 12}
RULES = "pages = []\n[limits]\nwords = 1\nlines = 9\nnumbers = 2\nbefore_picture = 9\n"
RIGHT = Shape(words=20, lines=3, sentences=[(2, "Of 1 or 2.")], before_picture=12)


def test_what_keeps_to_the_limits():
    assert list(limits.faults_of(RIGHT, LIMITS, {"page": {"inner"}})) == []


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"words": 21}, "its main line has 21 words, of 20 at most"),
        ({"lines": 4}, "4 lines of code lie open, of 3 at most"),
        ({"before_picture": 13}, "its first picture comes after 13 words, of 12 at most"),
        ({"before_picture": None}, "it has no picture before its first section"),
        ({"sentences": [(3, "1, 2, 3.")]}, "more than 2 numbers in a sentence: 1, 2, 3."),
        ({"open_folds": ["Hint"]}, "a fold is open: Hint"),
        ({"pointed": {"inner", "eq-one"}}, "its main line points into a fold: inner"),
    ],
)
def test_what_does_not(wrong: dict, fault: str):
    shape = Shape(**(vars(RIGHT) | wrong))
    assert list(limits.faults_of(shape, LIMITS, {"another": {"inner"}})) == [fault]


def test_the_gate_knows_the_pages_that_are_done(executed: Book):
    assert list(limits.shape_faults(executed.root)) == []
    executed.write("book/shape.toml", RULES)
    assert list(limits.shape_faults(executed.root)) == []
    executed.write("book/shape.toml", RULES.replace("[]", '["one", "three"]'))
    words, picture, absent = limits.shape_faults(executed.root)
    assert words.startswith("one: its main line has 3 words")
    assert picture == "one: it has no picture before its first section"
    assert absent == "book/shape.toml lists three, which is no page"
    with pytest.raises(BookError, match="one: its main line has 3 words"):
        executed.build()


def test_a_page_is_counted_once(executed: Book, monkeypatch):
    first = limits.shapes(executed.root)
    counted = []
    monkeypatch.setattr(limits, "shape_of", lambda *_: counted.append(1) or RIGHT)
    assert limits.shapes(executed.root) == first
    assert counted == []


def test_the_command_counts(book: Book, monkeypatch, capsys):
    book.write("book/shape.toml", RULES.replace("[]", '["one"]'))
    monkeypatch.chdir(book.root)
    monkeypatch.setattr("sys.argv", ["bookbuild", "shape"])
    assert main() == 0
    table = capsys.readouterr().out
    assert "one *" in " ".join(table.split())
    assert "part/two" in table
    monkeypatch.setattr("sys.argv", ["bookbuild", "shape", "one"])
    assert main() == 0
    assert "no picture" in capsys.readouterr().out
    with pytest.raises(BookError, match="names no page"):
        limits.report(book.root, "three")
