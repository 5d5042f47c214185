import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Book, write_tiny_book

from bookbuild import archive
from bookbuild.archive import NAME, fetch, pack
from bookbuild.chapters import BookError


@pytest.fixture
def packed(built: Book, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of the tiny book, beside its checksum and nothing else."""
    path = pack(built.root)
    folder = tmp_path_factory.mktemp("release")
    for name in (NAME, f"{NAME}.sha256"):
        path.with_name(name).rename(folder / name)
    return folder / NAME


@pytest.fixture
def clone(tmp_path_factory: pytest.TempPathFactory) -> Book:
    """A fresh clone: sources alone."""
    return write_tiny_book(tmp_path_factory.mktemp("clone"))


@pytest.fixture(autouse=True)
def _source(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEBOUND_CACHE", str(packed))


def seal(path: Path, content: bytes) -> None:
    """Write an archive with the right checksum."""
    path.write_bytes(content)
    path.with_name(f"{NAME}.sha256").write_text(f"{hashlib.sha256(content).hexdigest()}  {NAME}\n")


def forge(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the document in an archive, and seal it again."""
    document = json.loads(gzip.decompress(path.read_bytes()))
    change(document)
    seal(path, gzip.compress(json.dumps(document).encode()))


def refused(book: Book, message: str) -> None:
    """The archive is refused, and nothing is left of it."""
    with pytest.raises(BookError, match=message) as caught:
        fetch(book.root)
    assert "\n" not in str(caught.value)
    assert not list(book.root.glob("_build/.jupyter_cache/*"))


@pytest.mark.parametrize("address", ["{}", "file://{}"])
def test_a_fresh_clone_with_it_executes_nothing(
    clone: Book, packed: Path, monkeypatch: pytest.MonkeyPatch, address: str
):
    monkeypatch.setenv("ONEBOUND_CACHE", address.format(packed))
    fetch(clone.root)
    clone.build()
    assert (clone.ran("one"), clone.ran("two")) == (0, 0)
    assert "forty-two" in clone.html("index")
    assert "A black square" in clone.html("one")
    assert "two ran" in clone.html("part/two")


def test_what_came_from_an_archive_packs_to_the_same_bytes(clone: Book, packed: Path):
    fetch(clone.root)
    assert pack(clone.root).read_bytes() == packed.read_bytes()
    assert pack(clone.root).with_name(f"{NAME}.sha256").read_bytes() == (
        packed.with_name(f"{NAME}.sha256").read_bytes()
    )


def test_a_page_that_has_changed_since_runs_and_no_other(
    clone: Book, capsys: pytest.CaptureFixture[str]
):
    clone.edit("code/tiny/words.py", "hello", "hallo")
    fetch(clone.root)
    assert "one will run: its cells or the code that they import have changed" in (
        capsys.readouterr().out
    )
    clone.execute()
    assert (clone.ran("one"), clone.ran("two")) == (1, 0)


def test_other_alt_text_needs_no_run(clone: Book):
    clone.edit("book/one.md", "A black square", "A square")
    fetch(clone.root)
    clone.build()
    assert clone.ran() == 0
    assert "A square" in clone.html("one")


def test_a_damaged_archive_is_refused_and_the_build_goes_on(clone: Book, packed: Path):
    content = bytearray(packed.read_bytes())
    content[len(content) // 2] ^= 1
    packed.write_bytes(content)
    refused(clone, "is damaged: its SHA-256 is [0-9a-f]{64}, but should be [0-9a-f]{64}$")
    clone.execute()
    assert (clone.ran("one"), clone.ran("two")) == (1, 1)


@pytest.mark.parametrize("suffix", ["", ".sha256"])
def test_half_a_pair_is_refused(clone: Book, packed: Path, suffix: str):
    packed.with_name(f"{NAME}{suffix}").unlink()
    refused(clone, "can't read .*No such file")


FORMED = b'{"format": "bookbuild-cache-1", "pages": {"one": %s}}'
NO_ARCHIVE = {
    "empty": b"",
    "not gzip": b"not gzip",
    "cut short": gzip.compress(FORMED * 9)[:-9],
    "not JSON": gzip.compress(b"{"),
    "a list": gzip.compress(b"[]"),
    "an empty entry": gzip.compress(FORMED % b"{}"),
    "an entry of another form": gzip.compress(FORMED % b"[]"),
}


@pytest.mark.parametrize("content", NO_ARCHIVE.values(), ids=NO_ARCHIVE)
def test_what_is_no_archive_is_refused(clone: Book, packed: Path, content: bytes):
    seal(packed, content)
    refused(clone, "is no archive of an execution cache$")


def test_another_format_is_refused(clone: Book, packed: Path):
    forge(packed, lambda document: document.update(format="bookbuild-cache-2"))
    refused(clone, "format 'bookbuild-cache-2', not 'bookbuild-cache-1'")


def test_too_large_an_archive_is_refused(
    clone: Book, packed: Path, monkeypatch: pytest.MonkeyPatch
):
    fits = len(gzip.decompress(packed.read_bytes()))
    monkeypatch.setattr(archive, "LARGEST", fits - 1)
    refused(clone, "is no archive")
    monkeypatch.setattr(archive, "LARGEST", fits)
    fetch(clone.root)


def test_an_archive_of_another_book_is_refused(clone: Book):
    for name in ("one", "part/two"):
        clone.edit(f"book/{name}.md", "print", "len")
    refused(clone, "fits no page of this book: one: its cells or the code")


def test_outputs_of_other_versions_are_refused_by_name(clone: Book, packed: Path):
    def age(document: dict[str, Any]) -> None:
        for entry in document["pages"].values():
            entry["run"]["inputs"]["versions"]["numpy"] = "1.0"

    forge(packed, age)
    refused(clone, "one: made with numpy 1.0, here is ")


def test_outputs_of_other_cells_under_the_key_of_a_page_are_refused(clone: Book, packed: Path):
    def forged(document: dict[str, Any]) -> None:
        document["pages"]["part/two"]["notebook"]["cells"][-1]["source"] = "print('forged')"

    forge(packed, forged)
    refused(clone, "gives outputs of other cells for part/two")  # and page one is not taken either


def test_no_entry_can_name_a_place_to_write_to(clone: Book, packed: Path):
    def escape(document: dict[str, Any]) -> None:
        document["pages"]["../../evil"] = document["pages"]["one"]
        document["pages"]["/evil"] = document["pages"]["one"]

    forge(packed, escape)
    before = {path for path in clone.root.parent.rglob("*") if "_build" not in path.parts}
    fetch(clone.root)
    assert {path for path in clone.root.parent.rglob("*") if "_build" not in path.parts} == before
    assert {name.split("-")[0] for name in clone.cached()} == {"one", "part"}


def test_a_page_that_has_not_run_is_not_packed(clone: Book):
    with pytest.raises(BookError, match="one has not run as it stands"):
        pack(clone.root)


def test_by_default_the_latest_release_is_fetched(clone: Book, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def refuse(address: str, timeout: float) -> None:
        asked.append(address)
        raise OSError("no network in a test")

    monkeypatch.delenv("ONEBOUND_CACHE")
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/fork")
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    refused(clone, "no network")
    assert asked == [f"https://github.com/someone/fork/releases/latest/download/{NAME}"]
    monkeypatch.delenv("GITHUB_REPOSITORY")
    refused(clone, "set ONEBOUND_CACHE")


def test_an_address_without_encryption_is_not_asked(clone: Book, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ONEBOUND_CACHE", "http://127.0.0.1/cache")
    refused(clone, "can't read http://")
