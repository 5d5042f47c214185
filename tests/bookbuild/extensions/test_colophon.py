import json
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup
from conftest import Book

from bookbuild.extensions.colophon import bibtex
from bookbuild.run.records import code_key

ROOT = Path(__file__).parents[3]


def test_the_entry_says_what_the_citation_file_says():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    entry = bibtex(citation)
    assert entry.startswith("@software{onebound,")
    assert f"title = {{{{{citation['title']}}}}}," in entry
    assert "author = {{The One Bound authors}}," in entry
    assert f"year = {{{citation['date-released'][:4]}}}," in entry
    assert f"version = {{{citation['version']}}}," in entry
    assert entry.count("{") == entry.count("}")


def test_people_are_named_family_first():
    authors = [{"family-names": "Bayes", "given-names": "T."}, {"name": "A Society"}]
    entry = bibtex(
        {"title": "T", "authors": authors, "date-released": "1763-12-23", "version": "1"}
    )
    assert "author = {Bayes, T. and {A Society}}," in entry
    assert "year = {1763}," in entry


@pytest.fixture
def recorded(executed: Book) -> Book:
    executed.edit(
        "_config.yml",
        "local_extensions:",
        "local_extensions:\n    bookbuild.extensions.colophon: code",
    )
    executed.write("_toc.yml", (executed.root / "_toc.yml").read_text() + "  - file: built\n")
    executed.write("book/built.md", "# How\n\n```{build-record}\n```\n")
    return executed


def rows(book: Book, number: int) -> list[list[str]]:
    table = BeautifulSoup(book.html("built"), "html.parser").select("table")[number]
    return [[cell.text.strip() for cell in row.select("td")] for row in table.select("tbody tr")]


def test_each_page_that_ran_is_in_the_table(recorded: Book):
    recorded.build()
    runs = {
        path.parent.name.split("-")[0]: json.loads(path.read_text())
        for path in recorded.root.rglob("run.json")
    }
    first, second = rows(recorded, 0)
    assert first[:2] == ["Page one", f"{runs['one']['seconds']:.0f}"]
    assert first[2] == f"{runs['one']['processor_seconds']:.0f}"
    assert first[3] == str(runs["one"]["peak_megabytes"])
    assert first[4] == runs["one"]["date"][:16].replace("T", " ")
    assert second[0] == "Page part/two"
    ((_, processor, cores, *_),) = rows(recorded, 1)
    assert processor == runs["one"]["machine"]["processor"]
    assert int(cores) == runs["one"]["machine"]["cores"]
    assert ["numpy", runs["one"]["versions"]["numpy"]] in rows(recorded, 2)


def test_the_table_is_written_anew_when_a_page_runs_again(recorded: Book):
    recorded.build()
    recorded.edit("book/one.md", "print(WORD)", "import time; time.sleep(2); print(WORD)")
    recorded.build()
    assert int(rows(recorded, 0)[0][1]) >= 2


def test_pages_from_two_machines_say_which(recorded: Book):
    recorded.build()
    (record,) = recorded.root.glob("_build/.jupyter_cache/one-*/run.json")
    run = json.loads(record.read_text())
    del run["machine"]  # as in a cache that was filled before the machine was recorded
    record.write_text(json.dumps(run))
    recorded.edit("book/index.md", "Tiny", "Tinier")
    recorded.build()
    assert [row[-1] for row in rows(recorded, 0)] == ["1", "2"]
    assert rows(recorded, 1)[0][1] == "not recorded"


def test_a_study_says_when_and_where_it_ran_and_whether_its_code_has_changed(recorded: Book):
    folder = "code/onebound/studies"
    recorded.write(f"{folder}/__init__.py", "")
    recorded.write(f"{folder}/tilt.py", "import onebound.studies.shared\n")
    recorded.write(f"{folder}/shared.py", "ONE = 1\n")
    run = {"seconds": 90.0, "date": "2026-11-28T02:51:22+00:00", "machine": {"processor": "Z80"}}
    keyed = [code_key(recorded.root / "code", "tilt"), "another"]
    lines = [json.dumps(run | {"code": key}) for key in keyed]
    recorded.write(f"{folder}/tilt.json", "\n".join(lines))
    recorded.write("book/built.md", "# How\n\n```{study-record}\n```\n")
    recorded.build()
    row = ["tilt", "2", "3", "2026-11-28", "Z80"]
    assert rows(recorded, 0) == [[*row, "changed for 1"]]
    recorded.edit(f"{folder}/shared.py", "1", "2")
    recorded.build()
    assert rows(recorded, 0) == [[*row, "changed"]]


def test_the_book_in_one_file_is_offered_where_it_can_be_had(
    recorded: Book, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    recorded.write("CITATION.cff", (ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    recorded.write("book/built.md", "# How\n\n```{releases}\n```\n\n```{bibtex-entry}\n```\n")
    recorded.build()
    page = BeautifulSoup(recorded.html("built"), "html.parser").article
    assert "PDF" not in page.text
    assert "url =" not in page.text
    # Not a letter has changed, only where the book is published.
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/fork")
    recorded.build()
    page = BeautifulSoup(recorded.html("built"), "html.parser").article
    link = page.find("a", string="release")
    assert link["href"] == "https://github.com/someone/fork/releases"
    assert "PDF" in link.parent.text
    assert "url = {https://someone.github.io/fork/}" in page.text
