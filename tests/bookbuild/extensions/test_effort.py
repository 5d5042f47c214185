import pytest
from bs4 import BeautifulSoup
from conftest import Book

from bookbuild.extensions.effort import amount, duration, effort, minutes
from bookbuild.source.shape import Shape


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (Shape(words=1), 1),
        (Shape(words=1400), 7),
        (Shape(words=1400, lines=12), 8),
        (Shape(words=1400, formulas=3), 8),
        (Shape(words=3500), 20),  # 17.5, in steps of five
        (Shape(words=3500, lines=60, formulas=30), 30),
    ],
)
def test_minutes_to_read(shape: Shape, expected: int):
    assert minutes(shape) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.2, "5 seconds"), (41, "45 seconds"), (90, "2 minutes"), (161, "3 minutes")],
)
def test_time_to_run(seconds: float, expected: str):
    assert duration(seconds) == expected


def test_how_much_mathematics():
    assert [amount(n) for n in (0, 5, 6, 39, 40)] == ["little"] * 2 + ["some"] * 2 + ["much"]


def test_each_part_says_what_it_means():
    line = BeautifulSoup(effort(Shape(words=1400, formulas=20), 30.0), "html.parser")
    reads, runs, mathematics = line.select("p.effort > span")
    assert (reads.text, runs.text) == (
        "15 minutes to read",
        "30 seconds to run",
    )
    assert mathematics.text == "some mathematics"
    assert "displayed mathematics in the main line: 20" in mathematics["title"]
    assert len(BeautifulSoup(effort(Shape(), None), "html.parser").select("span")) == 2


def test_it_stands_under_the_title_of_a_chapter(executed: Book):
    executed.edit(
        "_config.yml",
        "local_extensions:",
        "local_extensions:\n    bookbuild.extensions.effort: code",
    )
    executed.edit("book/one.md", "# Page one", "(ch-one)=\n# Page one")
    executed.build()
    heading = BeautifulSoup(executed.html("one"), "html.parser").article.h1
    line = heading.find_next_sibling("p")
    assert line["class"] == ["effort"]
    assert "seconds to run" in line.text
    assert "effort" not in executed.html("part/two")
