"""A result in the prose comes from the cell that computed it, and is never typed.

Looked at are numbers with a decimal point, percentages, whole numbers from 100 on, and smaller
ones, in figures or in words, in front of a unit of measurement. All are looked for outside of code,
mathematics, links and roles (what is glued is a role), but in captions and alternative texts.

A number may be typed if it is no result. Either a cell of the page, or of the chapter that the page
solves, has it in its code, so that the prose repeats a setting. Or it stands in
``book/numbers.toml`` with the reason. Or a row of a table cites where it was published.
"""

import ast
import json
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from bookbuild.source.chapters import Page, markdown_config, page_names, read_page

ROOT = Path(__file__).parents[2]
VALUES = json.loads((ROOT / "book/values.json").read_text(encoding="utf-8"))
NO_ERROR = re.compile(r"± 0(\.0+)?(?!\.?\d)")
GIVEN = tomllib.loads((ROOT / "book/numbers.toml").read_text(encoding="utf-8"))
PAGES = page_names(ROOT)
NOT_PROSE = re.compile(
    r"\A---\n.*?\n---\n"  # the header
    r"|^(?P<fence>`{3,})\{code-cell\}.*?^(?P=fence)$"
    r"|\$\$.*?\$\$|(?<!\\)\$[^$]*\$"
    r"|(?:\{[\w:.-]+\})?`[^`]*`"  # code, and roles
    r"|\]\([^)]*\)|<[^>\n]*>|https?://\S+",
    re.DOTALL | re.MULTILINE,
)
NUMBER = re.compile(r"(?<![\w.,])(\d[\d,]*\d(?:\.\d+)?|\d(?:\.\d+)?)( ?%)?")
SMALL = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
MEASURED = re.compile(
    rf"(?<![\w.,-])({'|'.join(SMALL)}|\d\d?)"
    rf"(?: or (?:{'|'.join(SMALL)}))?[ -](?:nats|bits|seconds|minutes|hours|per cent|percentage)\b",
    re.IGNORECASE,
)


@cache
def page(name: str) -> Page:
    return read_page(ROOT, name, markdown_config(ROOT))


def prose(name: str) -> str:
    """Return the text of a page, with what is no prose blanked, and all lines in their place."""
    text = page(name).path.read_text(encoding="utf-8")
    return NOT_PROSE.sub(lambda match: " " + "\n" * match[0].count("\n"), text)


def captions(name: str) -> str:
    """Return captions and alternative texts of a page's cells, one a line, mathematics blanked."""
    options = [cell.metadata.get("mystnb", {}) for cell in page(name).cells]
    texts = [o.get("figure", {}).get("caption", "") for o in options]
    texts += [o.get("image", {}).get("alt", "") for o in options]
    return "\n".join(NOT_PROSE.sub(" ", text.replace("\n", " ")) for text in texts)


@cache
def settings(name: str) -> frozenset[float]:
    """Return the numbers in the code of a page's cells."""
    trees = [ast.parse(TransformerManager().transform_cell(c.source)) for c in page(name).cells]
    nodes = (node for tree in trees for node in ast.walk(tree))
    constants = [node.value for node in nodes if isinstance(node, ast.Constant)]
    return frozenset(float(value) for value in constants if type(value) in (int, float))


def typed(text: str) -> list[tuple[int, str]]:
    """Return line and number of everything that looks like a result."""
    return [
        (line, match[0])
        for line, words in enumerate(text.split("\n"), 1)
        for match in NUMBER.finditer(words)
        if "." in match[1] or match[2] or value(match[0]) >= 100
    ]


def measured(text: str) -> list[tuple[int, str]]:
    """Return line and number of every small one in front of a unit of measurement."""
    return [
        (line, match[1].lower())
        for line, words in enumerate(text.split("\n"), 1)
        for match in MEASURED.finditer(words)
    ]


def value(number: str) -> float:
    return float(number.rstrip(" %").replace(",", ""))


def is_setting(number: str, known: frozenset[float]) -> bool:
    found = value(number)
    shares = {found / 100, round(1 - found / 100, 9)} if number.endswith("%") else set()
    return bool(({found} | shares) & known)


def results(name: str) -> list[str]:
    """Return the numbers of a page that are typed and may not be, with their lines."""
    chapter = name.removeprefix("solutions/")
    known = settings(name) | settings(chapter) if chapter in PAGES else settings(name)
    given = {*GIVEN["everywhere"], *GIVEN.get(name, {})}
    lines = page(name).path.read_text(encoding="utf-8").split("\n")
    published = {n for n, line in enumerate(lines, 1) if line.startswith("|") and "{cite" in line}
    found = [(f"line {n}", number) for n, number in typed(prose(name)) if n not in published]
    found += [("a caption or alt text", number) for _, number in typed(captions(name))]
    found = [(where, number) for where, number in found if not is_setting(number, known)]
    # Small numbers stand in the code of every page, so that a setting would excuse them all.
    found += [(f"line {n}", number) for n, number in measured(prose(name)) if n not in published]
    found += [("a caption or alt text", number) for _, number in measured(captions(name))]
    return [f"{where}: {number}" for where, number in found if number.rstrip(" %") not in given]


@pytest.mark.parametrize("name", PAGES)
def test_no_result_is_typed(name):
    assert results(name) == [], "glue it, or say in book/numbers.toml why it is no result"


def test_every_number_that_is_given_is_used():
    for name, numbers in GIVEN.items():
        pages = PAGES if name == "everywhere" else [name] if name in PAGES else []
        used = {
            n.rstrip(" %")
            for p in pages
            for text in (prose(p), captions(p))
            for _, n in [*typed(text), *measured(text)]
        }
        assert not pages or set(numbers) <= used, name


def test_a_typed_result_is_found():
    text = "It is 1.25 nats, 31 % of 12,345; see `0.1`, $0.2$, {eq}`eq-0.3`, [4.5](x6.7) and 99."
    assert [number for _, number in typed(NOT_PROSE.sub(" ", text))] == [
        "1.25",
        "31 %",
        "12,345",
        "4.5",
    ]
    text = "Two or three nats, 31 bits/dim, about 9 seconds and five per cent; 8-bit, two of 31."
    assert [number for _, number in measured(text)] == ["two", "31", "9", "five"]
    assert is_setting("95 %", frozenset({0.05}))
    assert not is_setting("0.95", frozenset({0.05}))


def test_of_every_error_a_digit_is_left():
    found = [
        f"{page}: {name} is {value}"
        for page, values in VALUES.items()
        for name, value in values.items()
        if NO_ERROR.search(value)
    ]
    assert found == [], "print it with more digits: `Estimate.text` does"


@pytest.mark.parametrize(
    ("text", "none"),
    [("1.2 ± 0.0", True), ("98 ± 0 %", True), ("1 ± 0.00.", True), ("1 ± 0.03", False)],
)
def test_an_error_without_a_digit_is_found(text, none):
    assert bool(NO_ERROR.search(text)) == none
