"""The outputs that travel with the repository: ``book/outputs``, one small file a page.

Such a file is gzipped JSON: the key of the page that was executed, the record of that run, and what
each code cell put out. The cells themselves are not in it, as the key covers them; so a page takes
its outputs exactly if its key is the file's. The same run gives the same bytes.
"""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from bookbuild.source.chapters import Page

FOLDER = Path("book/outputs")
ENDING = ".json.gz"
LARGEST = 1 << 28  # bytes of JSON; the largest page has a hundredth of it
RECORD = {
    "date": str,
    "machine": dict,
    "peak_megabytes": int | None,
    "processor_seconds": float | None,
    "seconds": float,
    "threads": str,
    "versions": dict,
}


class DamagedError(Exception):
    """A file of outputs is not as it was written."""


def file_of(root: Path, name: str) -> Path:
    """Return where the outputs of a page lie."""
    return root / FOLDER / f"{name.replace('/', '--')}{ENDING}"


def load(root: Path, name: str) -> dict[str, Any] | None:
    """Return the ``key``, ``run``, ``language_info`` and ``outputs`` of a page, if it has a file.

    Raises
    ------
    DamagedError
        If the file is cut short, altered or of another form.
    """
    file = file_of(root, name)
    if not file.is_file():
        return None
    try:
        with gzip.open(file) as stream:
            document = json.loads(stream.read(LARGEST))
        key, run, outputs = document["key"], document["run"], document["outputs"]
        document["outputs"] = [nbformat.from_dict(each) for each in outputs]
        cells = [new_code_cell(id=f"cell-{n}", outputs=each) for n, each in enumerate(outputs)]
        nbformat.validate(new_notebook(cells=cells))
        info = document["language_info"]
        if not isinstance(key, str) or not isinstance(info, dict) or not _is_record(run):
            raise ValueError("another form")
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
        raise DamagedError(f"{file.relative_to(root)} is damaged") from None
    return document


def _is_record(run: dict[str, Any]) -> bool:
    return all(isinstance(run[name], form) for name, form in RECORD.items())


def take(root: Path, page: Page, key: str) -> dict[str, Any] | None:
    """Give a page the outputs that are shipped for its key; return the record of that run.

    None, and a page as it was, if there are no such outputs.

    Raises
    ------
    DamagedError
        If the file is damaged.
    """
    document = load(root, page.name)
    if document is None or document["key"] != key:
        return None
    if len(document["outputs"]) != len(page.cells):
        raise DamagedError(f"{file_of(root, page.name).relative_to(root)} is damaged")
    for number, (cell, outputs) in enumerate(zip(page.cells, document["outputs"], strict=True), 1):
        cell.outputs, cell.execution_count = outputs, number
    page.notebook.metadata.language_info = nbformat.from_dict(document["language_info"])
    return document["run"]


def write(root: Path, name: str, key: str, run: dict[str, Any], notebook: NotebookNode) -> None:
    """Write the outputs of a page, in one step: the file is there whole, or as it was."""
    document = {
        "key": key,
        "run": {entry: run[entry] for entry in RECORD},
        "language_info": notebook.metadata.get("language_info", {}),
        "outputs": [cell.outputs for cell in notebook.cells if cell.cell_type == "code"],
    }
    file = file_of(root, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.part")
    partial.write_bytes(gzip.compress(json.dumps(document, sort_keys=True).encode(), mtime=0))
    partial.replace(file)
