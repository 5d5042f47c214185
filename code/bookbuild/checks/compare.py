"""How far the numbers of the book may differ on another machine.

Another machine sums in another order, and a training that differs in a last digit ends elsewhere.
So the numbers of a build have to agree with those written down (`bookbuild.run.values`) within a
tolerance only: ``book/tolerances.toml`` states it.
"""

import math
import re
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

from bookbuild.run.cache import say
from bookbuild.run.values import RECORD, glued, recorded
from bookbuild.source.chapters import BookError

TOLERANCES = Path("book/tolerances.toml")
_POWER = re.compile(r"(?:(\d+(?:\.\d+)?) × )?10(⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
_NUMBER = re.compile(r"(± )?(-?\d[\d,]*(?:\.(\d+))?(?:e-?\d+)?)")
_PLAIN = str.maketrans("−⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "--0123456789")


def compare(root: Path) -> list[str]:
    """Say where the values of this build are not those written down.

    Returns
    -------
    list of str
        One line for each value that is out of its tolerance, for each that is not written down,
        and for each that is and that no cell hands to the prose any more.

    Raises
    ------
    BookError
        If nothing is written down, or the cells of a page have not run as they stand.
    """
    if not (root / RECORD).is_file():
        raise BookError(f"no {RECORD}: run `make numbers`")
    shares = tomllib.loads((root / TOLERANCES).read_text(encoding="utf-8"))["share"]
    then = _flat(recorded(root))
    now = _flat(glued(root))
    both = [name for name in now if name in then]
    share = {name: _share(shares, name[1]) for name in both}
    compared = [name for name in both if share[name] < math.inf]
    faults = {name: disagreement(then[name], now[name], share[name]) for name in compared}
    outside = [
        f"{': '.join(name)}: recorded {then[name]}, built {now[name]}: {fault}"
        for name, fault in faults.items()
        if fault
    ]
    fresh = [
        f"{': '.join(name)}: built {value}, not recorded: run `make numbers`"
        for name, value in now.items()
        if name not in then
    ]
    gone = [
        f"{': '.join(name)}: recorded {value}, not built: run `make numbers`"
        for name, value in then.items()
        if name not in now
    ]
    same = sum(then[name] == now[name] for name in compared)
    say(
        root,
        f"{len(both)} numbers stand in {RECORD} too: {same} are the same, "
        f"{len(compared) - same - len(outside)} within their tolerance, {len(outside)} outside, "
        f"{len(both) - len(compared)} are not compared (times, by {TOLERANCES}); "
        f"{len(fresh)} are new, {len(gone)} gone",
    )
    return outside + fresh + gone


def _flat(values: dict[str, dict[str, str]]) -> dict[tuple[str, str], str]:
    """Return values by page and name together."""
    return {(page, label): text for page, texts in values.items() for label, text in texts.items()}


def _share(shares: dict[str, float], label: str) -> float:
    """Return the tolerance of a value: that of the first pattern that fits its name."""
    return next((share for pattern, share in shares.items() if fnmatchcase(label, pattern)), 0.0)


def disagreement(old: str, new: str, share: float) -> str | None:
    """Say how two texts with numbers disagree: the words exactly, the numbers beyond tolerance.

    A number that states its standard error may differ by four times that of the difference of two
    such numbers; an error may be half a digit larger than printed, so 0.00 is not none. Any other
    may differ by a share of itself. The last digit printed may always differ by one. Standard
    errors may differ by half.
    """
    if old == new:
        return None
    (old_words, old_numbers), (new_words, new_numbers) = _parts(old), _parts(new)
    if old_words != new_words:
        return "no tolerance for words"
    for i, (a, b) in enumerate(zip(old_numbers, new_numbers, strict=True)):
        errors = [
            numbers[i + 1] for numbers in (old_numbers, new_numbers) if _has_error(numbers, i)
        ]
        if a.is_error:
            allowed, why = 0.5 * max(a.value, b.value), "half of a standard error"
        elif errors:
            allowed = 4 * math.hypot(*(e.value + e.last_digit / 2 for e in errors))
            why = "four standard errors of the difference"
        else:
            allowed, why = share * abs(a.value), f"{share:g} of it"
        if abs(a.value - b.value) > allowed + 1.001 * a.last_digit:
            return (
                f"off by {abs(a.value - b.value):.4g}, tolerance {allowed + a.last_digit:.4g} "
                f"({why} and one in the last digit)"
            )
    return None


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
