import json
import math

import pytest
from conftest import GLUE, Book

from bookbuild.chapters import BookError
from bookbuild.values import agree, compare, glued, record


@pytest.mark.parametrize(
    ("old", "new", "share", "expected"),
    [
        # Without a standard error: a share of the number, and the last digit.
        ("100.0", "109.9", 0.1, True),
        ("100.0", "110.3", 0.1, False),
        ("-0.83", "-0.84", 0.0, True),
        ("-0.83", "-0.85", 0.0, False),
        ("-0.83", "0.83", 0.5, False),
        ("−0.27", "-0.27", 0.0, True),
        ("13,803", "13,804", 0.0, True),
        ("13,803", "13,805", 0.0, False),
        # With one: four of the difference's, whatever the share.
        ("5.0 ± 0.3", "6.7 ± 0.3", 0.0, True),  # 4 * 0.424 = 1.697
        ("5.0 ± 0.3", "6.9 ± 0.3", 0.5, False),
        ("5.0 ± 0.3", "5.0 ± 0.6", 0.0, True),
        ("5.0 ± 0.3", "5.0 ± 0.9", 0.0, False),
        ("7 ± 1 %", "12 ± 1 %", 0.0, True),
        # Several numbers, words and powers of ten.
        ("0.646 [0.641, 0.650]", "0.650 [0.645, 0.654]", 0.01, True),
        ("0.646 [0.641, 0.650]", "0.650 [0.601, 0.654]", 0.01, False),
        ("26 of 500", "27 of 500", 0.0, True),
        ("26 of 500", "26 of 400", 0.1, False),
        ("categorical", "squared error", 0.1, False),
        ("2.9 nats better", "2.9 nats worse", 0.1, False),
        ("2.9", "2.9 to 3.0", 0.5, False),
        ("6 × 10⁻⁶", "7 × 10⁻⁶", 0.0, True),
        ("6 × 10⁻⁶", "8 × 10⁻⁶", 0.0, False),
        ("6 × 10⁻⁶", "6 × 10⁻⁵", 0.5, False),
        ("10³⁰", "10³⁰", 0.0, True),
        ("10³⁰", "10³²", 0.5, False),
        ("31", "62", math.inf, True),
    ],
)
def test_what_agrees(old: str, new: str, share: float, expected: bool):
    assert agree(old, new, share) == expected


def test_values_are_recorded_and_compared(settled: Book, capsys: pytest.CaptureFixture[str]):
    assert compare(settled.root) == []  # nothing is recorded yet
    settled.write("book/tolerances.toml", '[share]\n"v*" = 0.1\n"*" = inf\n')
    settled.edit("book/one.md", GLUE, GLUE.replace("forty-two", "100.0"))
    settled.execute()
    record(settled.root)
    assert glued(settled.root) == {"one": {"value": "100.0"}}
    assert json.loads((settled.root / "book/values.json").read_text()) == glued(settled.root)
    assert compare(settled.root) == []
    settled.edit("book/one.md", "100.0", "109.0")
    settled.execute()
    capsys.readouterr()
    assert compare(settled.root) == []
    said = "1 numbers compared with book/values.json: 0 the same, 1 within their tolerance, 0 outsi"
    assert said in capsys.readouterr().out
    settled.edit("book/one.md", "109.0", "120.0")
    settled.execute()
    assert compare(settled.root) == ["one: value was 100.0, is 120.0"]
    settled.edit("book/values.json", '"value"', '"other"')
    capsys.readouterr()
    assert compare(settled.root) == []
    assert "1 are not recorded: run `make numbers`" in capsys.readouterr().out


def test_a_page_that_has_not_run_has_no_values(settled: Book):
    settled.edit("book/one.md", "forty-two", "forty-three")
    with pytest.raises(BookError, match="the cells of one have not run as they stand"):
        glued(settled.root)
