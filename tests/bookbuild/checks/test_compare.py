import json
import math
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from conftest import GLUE, Book, with_outputs_of

from bookbuild.checks.compare import TOLERANCES, compare, disagreement
from bookbuild.run.values import RECORD, record
from bookbuild.source.chapters import BookError


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
        ("5.0 ± 0.3", "7.0 ± 0.3", 0.0, True),  # 4 * 0.35 * 1.414 = 1.98, as errors are rounded
        ("5.0 ± 0.3", "7.1 ± 0.3", 0.5, False),
        ("8.883 ± 0.000", "8.886 ± 0.000", 0.0, True),  # 4 * 0.0005 * 1.414 = 0.0028
        ("8.883 ± 0.000", "8.887 ± 0.000", 0.5, False),
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
    ],
)
def test_what_agrees(old: str, new: str, share: float, expected: bool):
    assert (disagreement(old, new, share) is None) == expected


@pytest.mark.parametrize(
    ("old", "new", "share", "said"),
    [
        ("1.25", "1.50", 0.1, "off by 0.25, tolerance 0.135 (0.1 of it and one in the last digit)"),
        (
            "5.0 ± 0.3",
            "8.0 ± 0.4",
            0.1,
            "off by 3, tolerance 2.38 (four standard errors of the difference and one in the last "
            "digit)",
        ),
        (
            "5.0 ± 0.3",
            "5.0 ± 0.9",
            0.1,
            "off by 0.6, tolerance 0.55 (half of a standard error and one in the last digit)",
        ),
        ("better", "worse", 0.1, "no tolerance for words"),
    ],
)
def test_a_disagreement_says_what_was_allowed(old: str, new: str, share: float, said: str):
    assert disagreement(old, new, share) == said


TWO_VALUES = """import myst_nb
myst_nb.glue("value", "100.0", display=False)
myst_nb.glue("run-seconds", "20", display=False)"""


@pytest.fixture(scope="module")
def _recorded_once(_built_once: Book, tmp_path_factory: pytest.TempPathFactory) -> Book:
    book = with_outputs_of(_built_once, tmp_path_factory.mktemp("recorded"))
    book.write("book/tolerances.toml", '[share]\n"*-seconds" = inf\n"*" = 0.1\n')
    book.edit("book/one.md", GLUE, TWO_VALUES)
    book.execute()
    record(book.root)
    return book


@pytest.fixture
def recorded(_recorded_once: Book, tmp_path: Path) -> Book:
    """The book with a number and a time in it, both written down."""
    return with_outputs_of(_recorded_once, tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "lines", "counts"),
    [
        ("100.0", "100.0", [], "1 are the same, 0 within their tolerance, 0 outside, 1 are not"),
        ("100.0", "109.0", [], "0 are the same, 1 within their tolerance, 0 outside, 1 are not"),
        ('"20"', '"90"', [], "1 are the same, 0 within their tolerance, 0 outside, 1 are not"),
        (
            "100.0",
            "120.0",
            [
                "one: value: recorded 100.0, built 120.0: off by 20, tolerance 10.1 "
                "(0.1 of it and one in the last digit)"
            ],
            "0 are the same, 0 within their tolerance, 1 outside, 1 are not",
        ),
        (
            '"run-seconds"',
            '"other-seconds"',
            [
                "one: other-seconds: built 20, not recorded: run `make numbers`",
                "one: run-seconds: recorded 20, not built: run `make numbers`",
            ],
            "toml); 1 are new, 1 gone",
        ),
    ],
)
def test_another_number_is_found_and_another_time_is_not(
    recorded: Book,
    capsys: pytest.CaptureFixture[str],
    old: str,
    new: str,
    lines: list[str],
    counts: str,
):
    recorded.edit("book/one.md", old, new)
    recorded.execute()
    assert compare(recorded.root) == lines
    assert counts in capsys.readouterr().out


def test_a_page_without_its_values_is_found(recorded: Book):
    recorded.edit("book/one.md", TWO_VALUES, "1 + 1")
    recorded.execute()
    assert [line.split(",")[0] for line in compare(recorded.root)] == [
        "one: value: recorded 100.0",
        "one: run-seconds: recorded 20",
    ]


def test_a_comparison_with_nothing_is_refused(settled: Book):
    with pytest.raises(BookError, match=r"no book/values\.json: run `make numbers`"):
        compare(settled.root)


def test_every_tolerance_decides_for_a_number_and_only_what_follows_from_times_has_none():
    root = Path(__file__).parents[3]
    shares = tomllib.loads((root / TOLERANCES).read_text(encoding="utf-8"))["share"]
    pages = json.loads((root / RECORD).read_text(encoding="utf-8")).values()
    decides = {
        label: next(pattern for pattern in shares if fnmatchcase(label, pattern))
        for labels in pages
        for label in labels
    }
    assert set(decides.values()) == set(shares)
    free = sum(shares[pattern] == math.inf for pattern in decides.values())
    assert free < len(decides) / 10
