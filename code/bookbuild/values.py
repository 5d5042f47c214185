"""The numbers of the book, written down, and how far they may differ on another machine.

``book/values.json`` holds every value that a cell hands to the prose, as one build had it. Another
machine sums in another order, and a training that differs in a last digit ends elsewhere. So the
numbers of another build have to agree within a tolerance only: ``book/tolerances.toml`` states it.
"""

import ast
import json
import math
import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from bookbuild.chapters import BookError, read_pages
from bookbuild.execution import current_folder, executed_notebook, say

RECORD = Path("book/values.json")
TOLERANCES = Path("book/tolerances.toml")
_PREFIX = "application/papermill.record/"
_POWER = re.compile(r"(?:(\d+(?:\.\d+)?) × )?10(⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
_NUMBER = re.compile(r"(± )?(-?\d[\d,]*(?:\.(\d+))?(?:e-?\d+)?)")
_PLAIN = str.maketrans("−⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "--0123456789")


def glued(root: Path) -> dict[str, dict[str, str]]:
    """Return the values that the cells of each page hand to the prose, by page and name.

    Raises
    ------
    BookError
        If the cells of a page have not run as they stand.
    """
    found = {}
    for name, page in read_pages(root).items():
        if page.cells:
            folder = current_folder(root, page)
            if not folder.is_dir():
                raise BookError(f"the cells of {name} have not run as they stand: run `make book`")
            found[name] = dict(_values(folder))
    return {name: values for name, values in found.items() if values}


def _values(folder: Path) -> Iterator[tuple[str, str]]:
    for cell in executed_notebook(folder).cells:
        for output in cell.outputs:
            label = output.get("metadata", {}).get("scrapbook", {}).get("name")
            text = output.get("data", {}).get(f"{_PREFIX}text/plain")
            if label and text:
                yield label, str(ast.literal_eval(text))


def record(root: Path) -> None:
    """Write the values of this build down, for others to be compared with."""
    text = json.dumps(glued(root), indent=1, ensure_ascii=False)
    (root / RECORD).write_text(f"{text}\n", encoding="utf-8")


def compare(root: Path) -> list[str]:
    """Say how the values of this build differ from those written down.

    Returns
    -------
    list of str
        One line for each value that is out of its tolerance.
    """
    if not (root / RECORD).is_file():
        return []
    then = json.loads((root / RECORD).read_text(encoding="utf-8"))
    shares = tomllib.loads((root / TOLERANCES).read_text(encoding="utf-8"))["share"]
    now = glued(root)
    pairs = [
        (page, label, then[page][label], value)
        for page, values in now.items()
        for label, value in values.items()
        if label in then.get(page, {})
    ]
    outside = [
        f"{page}: {label} was {old}, is {new}"
        for page, label, old, new in pairs
        if not agree(old, new, _share(shares, label))
    ]
    same = sum(old == new for *_, old, new in pairs)
    fresh = sum(map(len, now.values())) - len(pairs)
    say(
        root,
        f"{len(pairs)} numbers compared with {RECORD}: {same} the same, "
        f"{len(pairs) - same - len(outside)} within their tolerance, {len(outside)} outside"
        + (f"; {fresh} are not recorded: run `make numbers`" if fresh else ""),
    )
    return outside


def _share(shares: dict[str, float], label: str) -> float:
    """Return the tolerance of a value: that of the first pattern that fits its name."""
    return next((share for pattern, share in shares.items() if fnmatchcase(label, pattern)), 0.0)


def agree(old: str, new: str, share: float) -> bool:
    """Say whether two texts with numbers agree: the words exactly, the numbers within tolerance.

    A number that states its standard error may differ by four times that of the difference of two
    such numbers. Any other may differ by a share of itself. The last digit printed may always
    differ by one. Standard errors may differ by half.
    """
    if old == new or math.isinf(share):
        return True
    (old_words, old_numbers), (new_words, new_numbers) = _parts(old), _parts(new)
    if old_words != new_words:
        return False
    for i, (a, b) in enumerate(zip(old_numbers, new_numbers, strict=True)):
        errors = [
            numbers[i + 1] for numbers in (old_numbers, new_numbers) if _has_error(numbers, i)
        ]
        if a.is_error:
            allowed = 0.5 * max(a.value, b.value)
        elif errors:
            allowed = 4 * math.hypot(*(error.value for error in errors))
        else:
            allowed = share * abs(a.value)
        if abs(a.value - b.value) > allowed + 1.001 * a.last_digit:
            return False
    return True


class _Number:
    """A number in a text: its value, what its last digit is worth, and whether it follows a ±."""

    def __init__(self, match: re.Match[str]) -> None:
        self.value = float(match[2].replace(",", ""))
        exponent = int(match[2].partition("e")[2] or 0)
        self.last_digit = 10.0 ** (exponent - len(match[3] or ""))
        self.is_error = bool(match[1])


def _has_error(numbers: list[_Number], i: int) -> bool:
    return i + 1 < len(numbers) and numbers[i + 1].is_error


def _parts(text: str) -> tuple[str, list[_Number]]:
    """Return the words of a text, with a mark where a number stands, and the numbers."""
    text = _POWER.sub(lambda match: f"{match[1] or 1}e{match[2].translate(_PLAIN)}", text)
    text = text.translate(_PLAIN)
    return _NUMBER.sub("#", text), [_Number(match) for match in _NUMBER.finditer(text)]
