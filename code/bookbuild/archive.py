"""The execution cache as one file that travels, so that a fresh clone executes nothing.

`pack` writes the outputs of every page, with what their keys covered, into one file of ``_build``
and its SHA-256 beside it, as ``sha256sum`` writes it. `fetch` reads such a pair from a path or an
address. The archive is one document and not a tree of files: nothing in it is unpacked under a name
that it chose. Its pages enter the cache in the way that an executed page does, each only if its key
is the one that the page has here and now. Whatever is wrong with an archive, all of it is refused
before anything is written, and the build goes on by executing.

The checksum tells a whole archive from a damaged one. It comes from the same place, so it does not
tell an honest archive from a forged one: fetch from a place that you would clone from.
"""

import gzip
import hashlib
import json
import os
import sys
import urllib.request
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat

from bookbuild.chapters import BookError, Page, code_cells, read_pages
from bookbuild.execution import current_folder, executed_notebook, lock, say, store
from bookbuild.keys import key_of, page_inputs
from bookbuild.repository import find_repository

FORMAT = "bookbuild-cache-1"
LARGEST = 1 << 30  # bytes of JSON; the book has a hundredth of it
NAME = f"cache-py{sys.version_info.major}.{sys.version_info.minor}.json.gz"  # keys cover it


def pack(root: Path) -> Path:
    """Write the archive and its checksum; return the archive's path.

    The same cache gives the same bytes.

    Raises
    ------
    BookError
        If a page has not been executed as it stands.
    """
    pages = {}
    with lock(root):
        for page in _with_cells(root):
            folder = current_folder(root, page)
            if not folder.is_dir():
                raise BookError(f"{page.name} has not run as it stands: run `make book`")
            notebook = executed_notebook(folder)
            for number, cell in enumerate(notebook.cells):
                cell.id = f"cell-{number}"  # the cache's are random
            run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
            pages[page.name] = {"run": run, "notebook": notebook}
        text = json.dumps({"format": FORMAT, "pages": pages}, sort_keys=True)
        content = gzip.compress(text.encode(), mtime=0)
        path = root / "_build" / NAME
        _write(path, content)
        _write(_checksum_of(path), f"{_sha256(content)}  {NAME}\n".encode())
    say(root, f"packed {len(pages)} pages into {path} ({len(content) / 1e6:.1f} MB)")
    return path


def fetch(root: Path) -> None:
    """Fill the cache from the archive at ``$ONEBOUND_CACHE``, a path or an address.

    By default that is the asset of the repository's latest release.

    Raises
    ------
    BookError
        If there is no archive, or it is damaged, or it is none of this book as it stands here. The
        cache is then as it was.
    """
    pages = _with_cells(root)
    source = os.environ.get("ONEBOUND_CACHE") or _released(root)
    archive = _unpack(_read_verified(source), source)
    fitting, others = [], {}
    with lock(root):
        for page in pages:
            inputs = page_inputs(root, page)
            entry = archive.get(page.name)
            if reason := _unfit(entry, inputs):
                others[page.name] = reason
            elif not current_folder(root, page).is_dir():
                fitting.append((page, _take(page, entry, source)))
            else:
                fitting.append((page, None))
        if not fitting:
            name, reason = next(iter(others.items()), ("this book", "it has no code cells"))
            raise BookError(f"{source} fits no page of this book: {name}: {reason}")
        for page, run in fitting:
            if run:
                store(root, page, run)
    say(root, f"the cache holds {len(fitting)} pages of {source}")
    for name, reason in others.items():
        say(root, f"{name} will run: {reason}")


def _with_cells(root: Path) -> list[Page]:
    return [page for page in read_pages(root).values() if page.cells]


def _released(root: Path) -> str:
    repository = find_repository(root)
    if repository is None:
        raise BookError("no known repository to fetch a cache from: set ONEBOUND_CACHE")
    return f"{repository.url}/releases/latest/download/{NAME}"


def _read_verified(source: str) -> bytes:
    """Return the bytes of an archive that has the checksum it says it has."""
    content = _read(source)
    wanted = _read(f"{source}.sha256")[:64].decode("ascii", "replace")
    found = _sha256(content)
    if wanted != found:
        raise BookError(f"{source} is damaged: its SHA-256 is {found}, but should be {wanted}")
    return content


def _read(source: str) -> bytes:
    """Read a file or an address, no more of it than any archive needs."""
    try:
        if source.startswith(("https://", "file://")):
            with urllib.request.urlopen(source, timeout=60) as stream:
                return stream.read(LARGEST)
        with Path(source).open("rb") as stream:
            return stream.read(LARGEST)
    except OSError as error:  # an HTTP status, no network and no file are all of this kind
        raise BookError(f"can't read {source}: {error}") from None


def _unpack(content: bytes, source: str) -> dict[str, Any]:
    """Return the entries of an archive by page, once all of them are of the right form."""
    try:
        with gzip.GzipFile(fileobj=BytesIO(content)) as stream:
            text = stream.read(LARGEST)
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise BookError(f"{source} is of the format {document['format']!r}, not {FORMAT!r}")
        for entry in document["pages"].values():
            entry["notebook"] = nbformat.from_dict(entry["notebook"])
            nbformat.validate(entry["notebook"])
            run = entry["run"]
            forms = (run["inputs"]["versions"], dict), (run["seconds"], float), (run["date"], str)
            if not all(isinstance(value, form) for value, form in forms):
                raise ValueError("a record of a run is malformed")
    except (
        OSError,
        EOFError,
        zlib.error,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        nbformat.ValidationError,
    ):
        raise BookError(f"{source} is no archive of an execution cache") from None
    return document["pages"]


def _unfit(entry: dict[str, Any] | None, inputs: dict[str, Any]) -> str | None:
    """Say why an entry is not for the page whose key covers `inputs`, if it is not."""
    if entry is None:
        return "the archive lacks it"
    theirs = entry["run"]["inputs"]
    if key_of(theirs) == key_of(inputs):
        return None
    ours, made = inputs["versions"], theirs.get("versions", {})
    if ours != made:
        other = next(name for name in sorted({*ours, *made}) if ours.get(name) != made.get(name))
        return f"made with {other} {made.get(other)}, here is {ours.get(other)}"
    return "its cells or the code that they import have changed"


def _take(page: Page, entry: dict[str, Any], source: str) -> dict[str, Any]:
    """Give a page the outputs of an entry with its key; return the record of that run."""
    theirs = code_cells(entry["notebook"])
    if [cell.source for cell in theirs] != [cell.source for cell in page.cells]:
        raise BookError(f"{source} gives outputs of other cells for {page.name}")
    for cell, done in zip(page.cells, theirs, strict=True):
        cell.outputs, cell.execution_count = done.outputs, done.execution_count
    page.notebook.metadata.language_info = entry["notebook"].metadata.get("language_info", {})
    return entry["run"]


def _checksum_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Write a file in one step: it is there whole, or not at all."""
    partial = path.with_name(f".{path.name}.part")
    partial.write_bytes(content)
    partial.replace(path)
