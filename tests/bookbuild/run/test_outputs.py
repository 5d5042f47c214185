import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Book, cell, write_tiny_book

from bookbuild.run import outputs, shipped, times
from bookbuild.run.outputs import faults, renew
from bookbuild.run.times import reference_seconds


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEBOUND_BFLOAT16", "1")  # so that what `renew` sets ends with the test


@pytest.fixture
def shipping(executed: Book, tmp_path_factory: pytest.TempPathFactory) -> Book:
    """A fresh clone of a book that has outputs: sources and those alone."""
    renew(executed.root)
    clone = write_tiny_book(tmp_path_factory.mktemp("clone"))
    for file in (executed.root / shipped.FOLDER).iterdir():
        clone.write(f"{shipped.FOLDER}/x", "")
        (clone.root / shipped.FOLDER / file.name).write_bytes(file.read_bytes())
    (clone.root / shipped.FOLDER / "x").unlink()
    pins = json.loads(gzip.decompress(one(clone).read_bytes()))["run"]["versions"]
    lines = [f"{name}=={version}" for name, version in pins.items() if name != "python"]
    clone.write("constraints.txt", "\n".join(lines))
    return clone


def one(book: Book) -> Path:
    return shipped.file_of(book.root, "one")


def ran(book: Book) -> tuple[int, int]:
    return book.ran("one"), book.ran("two")


@pytest.mark.parametrize(
    ("machine", "seconds"),
    [
        ({}, 12.0),
        ({"gigaflops": times.REFERENCE_GIGAFLOPS, "bfloat16": False}, 12.0),
        ({"gigaflops": 2 * times.REFERENCE_GIGAFLOPS, "bfloat16": False}, 24.0),
        ({"gigaflops": times.REFERENCE_GIGAFLOPS, "bfloat16": True}, None),
    ],
)
def test_seconds_are_those_of_the_reference_machine(machine: dict[str, Any], seconds: float | None):
    assert reference_seconds({"processor_seconds": 12.0, "machine": machine}) == seconds


def test_a_fresh_clone_executes_nothing_and_says_whose_outputs_it_shows(
    shipping: Book, capsys: pytest.CaptureFixture[str]
):
    shipping.build()
    assert ran(shipping) == (0, 0)
    assert "forty-two" in shipping.html("index")
    assert "A black square" in shipping.html("one")
    assert "two ran" in shipping.html("part/two")
    said = capsys.readouterr().out
    assert "\n2 pages: 2 as shipped, computed on " in f"\n{said}"
    assert "; `make fresh` computes all\n" in said


def test_without_the_libraries_a_fresh_clone_is_built_too(shipping: Book):
    shipping.edit("pyproject.toml", "numpy>=1", 'numpy>=1", "nobody>=2')
    shipping.write("constraints.txt", "nobody==2.0\n")
    for name in ("one", "part/two"):  # as made where the library was
        file = shipped.file_of(shipping.root, name)
        document = json.loads(gzip.decompress(file.read_bytes()))
        document["key"] = shipping.key(name)
        file.write_bytes(gzip.compress(json.dumps(document).encode()))
    shipping.build()
    assert ran(shipping) == (0, 0)


def test_a_page_that_has_changed_executes_and_no_other(
    shipping: Book, capsys: pytest.CaptureFixture[str]
):
    shipping.edit("code/tiny/words.py", "hello", "hallo")
    shipping.edit("book/part/two.md", "See", "Look at")
    shipping.execute()
    assert ran(shipping) == (1, 0)
    assert "2 pages: 1 as shipped, " in capsys.readouterr().out
    assert faults(shipping.root) == ["one has outputs of other cells, code or versions"]


def test_a_fresh_build_takes_nothing_that_is_shipped(shipping: Book):
    outputs.execute(shipping.root, fresh=True)
    assert ran(shipping) == (1, 1)


def test_only_what_changed_is_renewed_and_to_the_same_bytes(shipping: Book):
    before = {file: file.read_bytes() for file in (shipping.root / shipped.FOLDER).iterdir()}
    times = {file: file.stat().st_mtime_ns for file in before}
    renew(shipping.root)
    assert {file: file.stat().st_mtime_ns for file in before} == times
    one(shipping).unlink()
    renew(shipping.root)
    assert ran(shipping) == (0, 0)  # the cache has them
    assert {file: file.read_bytes() for file in before} == before
    shipping.edit("book/part/two.md", "two ran", "2 ran")
    renew(shipping.root)
    assert ran(shipping) == (0, 1)
    assert one(shipping).read_bytes() == before[one(shipping)]
    assert faults(shipping.root) == []


def test_outputs_of_a_page_that_is_gone_go_too(shipping: Book):
    shipping.edit("_toc.yml", "  - file: part/two\n", "")
    assert faults(shipping.root) == ["book/outputs/part--two.json.gz is of no page"]
    renew(shipping.root)
    assert faults(shipping.root) == []


def test_what_was_computed_in_half_precision_is_computed_again(book: Book):
    book.page("one", cell("import os\nprint(os.environ['ONEBOUND_BFLOAT16'])"))
    book.execute()
    (record,) = book.root.glob("_build/.jupyter_cache/one-*/run.json")
    run = json.loads(record.read_text())
    record.write_text(json.dumps(run | {"machine": run["machine"] | {"bfloat16": True}}))
    renew(book.root)
    assert os.environ["ONEBOUND_BFLOAT16"] == "0"
    (((output,),),) = [shipped.load(book.root, "one")["outputs"]]
    assert output.text == "0\n"


def altered(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def alter(content: bytes) -> bytes:
        document = json.loads(gzip.decompress(content))
        change(document)
        return gzip.compress(json.dumps(document).encode())

    return alter


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGE = {
    "empty": lambda _: b"",
    "no gzip": lambda _: b"not gzip",
    "cut short": lambda content: content[:-9],
    "a flipped bit": flipped,
    "no JSON": lambda _: gzip.compress(b"{"),
    "a list": lambda _: gzip.compress(b"[]"),
    "other JSON": lambda _: gzip.compress(b'{"key": "0"}'),
    "no outputs": altered(lambda document: document.pop("outputs")),
    "outputs of fewer cells": altered(lambda document: document["outputs"].pop()),
    "no outputs of a notebook": altered(lambda document: document["outputs"][0].append({})),
    "a record that lacks its date": altered(lambda document: document["run"].pop("date")),
    "a record of another form": altered(lambda document: document["run"].update(seconds="1")),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_named_and_its_page_executes(
    shipping: Book, capsys: pytest.CaptureFixture[str], damage: Callable[[bytes], bytes]
):
    one(shipping).write_bytes(damage(one(shipping).read_bytes()))
    shipping.execute()
    assert ran(shipping) == (1, 0)
    assert "book/outputs/one.json.gz is damaged: not taken\n" in capsys.readouterr().out
    renew(shipping.root)
    assert faults(shipping.root) == []


def test_no_more_is_read_than_any_page_needs(shipping: Book, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shipped, "LARGEST", 99)
    with pytest.raises(shipped.DamagedError):
        shipped.load(shipping.root, "one")


def test_the_check_names_every_fault(shipping: Book):
    one(shipping).write_bytes(b"")
    shipped.file_of(shipping.root, "part/two").unlink()
    assert faults(shipping.root) == [
        "book/outputs/one.json.gz is damaged",
        "part/two has no outputs",
    ]
    status, _, err = shipping.run("-m", "bookbuild", "outputs", "--check")
    assert (status, err.splitlines()[0]) == (1, "bookbuild: run `make outputs`:")


def test_what_is_installed_here_does_not_matter_to_the_check(
    shipping: Book, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("importlib.metadata.version", lambda _: "99")
    assert faults(shipping.root) == []
