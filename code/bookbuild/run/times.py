"""How long pages take to execute: on the reference machine, and about how long here."""

import glob
import json
import time
from pathlib import Path
from typing import Any

from bookbuild.run import shipped
from bookbuild.run.cache import CACHE, run_of, stem

# What a page may cost on the reference machine: one core with AVX2 and without bfloat16.
BUDGET_SECONDS = 120
BUDGET_MEGABYTES = 1500
# What the convolution of `execution.MEASURE` reaches there: 115 on the machine that imitates it,
# which executes pages about twice as fast.
REFERENCE_GIGAFLOPS = 58


def reference_seconds(run: dict[str, Any]) -> float | None:
    """Return the seconds of one thread that a run would take on the reference machine.

    None where that is not known: the run used bfloat16.
    """
    machine, seconds = run["machine"], run["processor_seconds"]
    if "gigaflops" not in machine:  # a page without PyTorch
        return seconds
    return None if machine["bfloat16"] else seconds * machine["gigaflops"] / REFERENCE_GIGAFLOPS


def expected(root: Path, name: str) -> tuple[float | None, bool]:
    """Return how many seconds a page may take, and whether this machine has shown that.

    What its last run here took, whatever has changed since; else what the shipped run would take on
    the reference machine; None if it has never run.
    """
    digits = "[0-9a-f]"
    pattern = f"{glob.escape(stem(name))}-{digits * 16}-{digits * 8}/run.json"
    runs = []
    for file in (root / CACHE).glob(pattern):
        try:
            runs.append(run_of(file.parent))
        except (OSError, json.JSONDecodeError):
            continue  # damaged: whoever wants its outputs says so
    if here := [run for run in runs if not run.get("shipped")]:
        return max(here, key=lambda run: run["date"])["seconds"], True
    try:
        document = shipped.load(root, name)
    except shipped.DamagedError:
        document = None
    if document is None:
        return None, False
    return reference_seconds(document["run"]) or document["run"]["seconds"], False


class Progress:
    """What is left to execute, and how long that takes by what has been executed.

    Parameters
    ----------
    pages
        What is `expected` of each page.
    jobs
        How many run at a time.
    """

    def __init__(self, pages: dict[str, tuple[float | None, bool]], jobs: int):
        known = [seconds for seconds, _ in pages.values() if seconds is not None]
        mean = sum(known) / len(known) if known else None
        self._unknown = [name for name, (seconds, _) in pages.items() if seconds is None]
        self._seconds = {name: mean if s is None else s for name, (s, _) in pages.items()}
        self._here = all(here for _, here in pages.values())
        self._jobs = jobs
        self._started: dict[str, float] = {}
        self._took: dict[str, float] = {}

    def expected(self, name: str) -> float:
        """Return the seconds of a page; of one that never ran, so many that it goes first."""
        seconds = self._seconds[name]
        return float("inf") if name in self._unknown or seconds is None else seconds

    def start(self, name: str) -> None:
        """Note that a page begins."""
        self._started[name] = time.monotonic()

    def end(self, name: str) -> None:
        """Note that a page has ended."""
        self._took[name] = time.monotonic() - self._started[name]

    def announcement(self, of: int) -> str:
        """Say what is to be done, `of` so many pages in all, and about how long it takes."""
        what = f"{len(self._seconds)} of {of} pages have to execute, {self._jobs} at a time"
        if (seconds := self._remaining()) is None:
            return f"{what}; how long that takes no earlier run tells"
        whose = "their last runs here" if self._here else "the reference machine (AVX2, float32)"
        if self._unknown:
            whose += f", and {len(self._unknown)} of them never ran"
        return f"{what}: about {_in_words(seconds)}, going by {whose}"

    def left(self) -> str | None:
        """Say how many pages are left and about how long they take; None after the last."""
        count = len(self._seconds) - len(self._took)
        if not count:
            return None
        pages = f"{count} page{'s' * (count > 1)} left"
        seconds = self._remaining()
        return pages if seconds is None else f"{pages}, about {_in_words(seconds)}"

    def _remaining(self) -> float | None:
        """Return the seconds until all is done, at the pace of the pages that have ended."""
        if None in self._seconds.values():
            return None
        before = sum(self._seconds[name] for name in self._took)
        pace = sum(self._took.values()) / before if before else 1.0
        left = [
            max(0.0, pace * seconds - self._running(name))
            for name, seconds in self._seconds.items()
            if name not in self._took
        ]
        return max(sum(left) / self._jobs, *left, 0.0)

    def _running(self, name: str) -> float:
        return time.monotonic() - self._started[name] if name in self._started else 0.0


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
