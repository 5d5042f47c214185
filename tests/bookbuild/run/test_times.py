import json
from pathlib import Path

import pytest
from conftest import Book

from bookbuild.run import times
from bookbuild.run.cache import current_folder
from bookbuild.run.times import Progress, expected
from bookbuild.source.chapters import read_pages


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list whose one entry is what time it is."""
    now = [0.0]
    monkeypatch.setattr(times.time, "monotonic", lambda: now[0])
    return now


def test_the_time_left_follows_the_pace_of_what_has_ended(clock: list[float]):
    progress = Progress({"a": (60.0, False), "b": (30.0, False), "c": (90.0, False)}, 1)
    assert progress.announcement(9) == (
        "3 of 9 pages have to execute, 1 at a time: about 3 min, going by the reference machine "
        "(AVX2, float32)"
    )
    progress.start("a")
    clock[0] = 30.0  # twice as fast as said
    progress.end("a")
    assert progress.left() == "2 pages left, about 60 s"
    progress.start("b")
    clock[0] = 40.0  # of the 15 s that b may take now
    assert progress.left() == "2 pages left, about 50 s"
    for name in ("b", "c"):
        progress.start(name)
        progress.end(name)
    assert progress.left() is None


def test_pages_side_by_side_share_the_time_and_the_longest_bounds_it():
    pages = {"a": (100.0, True), "b": (100.0, True), "c": (400.0, True)}
    said = Progress(pages, 2).announcement(3)
    assert said.endswith("2 at a time: about 7 min, going by their last runs here")


def test_a_page_that_never_ran_counts_as_the_others_and_goes_first():
    progress = Progress({"a": (40.0, True), "new": (None, False)}, 1)
    assert "about 80 s" in progress.announcement(2)
    assert "1 of them never ran" in progress.announcement(2)
    assert progress.expected("new") > progress.expected("a")
    assert Progress({"new": (None, False)}, 1).announcement(1).endswith("no earlier run tells")


def test_a_run_here_tells_more_than_a_shipped_one(executed: Book):
    assert expected(executed.root, "new") == (None, False)
    seconds, here = expected(executed.root, "one")
    assert here
    assert seconds > 0
    record = current_folder(executed.root, read_pages(executed.root)["one"]) / "run.json"
    run = json.loads(record.read_text())
    shipped = {"shipped": True, "seconds": 7.0, "processor_seconds": 7.0}
    record.write_text(json.dumps(run | shipped))
    assert expected(executed.root, "one") == (None, False)
    record.write_text("{")
    assert expected(executed.root, "one") == (None, False)


def test_a_build_says_what_it_executes_and_what_is_left(book: Book):
    book.execute()
    log = Path(book.root / "_build/execution.log").read_text().splitlines()
    assert log[0].startswith("2 of 2 pages have to execute, ")
    assert sum(line.startswith("1 page left") for line in log) == 1
    book.execute()  # nothing has to
    assert Path(book.root / "_build/execution.log").read_text().splitlines() == log
