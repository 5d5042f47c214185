"""The outputs that are kept on this machine.

Those of a page lie in a folder of their own, ``_build/.jupyter_cache/<page>-<key>-<hash>``: a
jupyter-cache of one notebook, and ``run.json``, which says how the run went and what its key
covered. ``<hash>`` is jupyter-cache's own, over the cells and their metadata, so MyST-NB finds a
match in this folder and nowhere else. A folder is filled under another name and renamed once
complete: one that exists is right, whenever the process was killed. One that was damaged since is
thrown away. Nothing in it names a path of this machine.
"""

import functools
import json
import pickle
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import nbformat
from filelock import FileLock, Timeout
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from nbformat import NotebookNode

from bookbuild.run.keys import key_of, page_inputs
from bookbuild.source.chapters import BookError, Page, code_cells, read_pages

CACHE = Path("_build/.jupyter_cache")
LOG = Path("_build/execution.log")
_HASHES: dict[tuple[Path, str], str] = {}


@contextmanager
def lock(root: Path) -> Iterator[None]:
    """Let one process at a time write to ``_build``. The system frees the lock of a killed one."""
    (root / CACHE).mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(root / "_build/.lock", timeout=0):
            yield
    except Timeout:
        raise BookError("another build is running in this folder") from None


def store(root: Path, page: Page, run: dict[str, Any]) -> Path:
    """Put a page that has its outputs, and the record of how it got them, into the cache."""
    folder = folder_of(root, page, run["inputs"])
    with tempfile.TemporaryDirectory(dir=root / CACHE, prefix=".") as temporary:
        partial = Path(temporary) / "outputs"
        cache = get_cache(partial)
        cache.cache_notebook_bundle(
            CacheBundleIn(page.notebook, page.name, data={"execution_seconds": run["seconds"]}),
            check_validity=False,  # the gate does that, and says which cell
        )
        cache.db.dispose()
        run |= {"sha256": sha256(_notebook_file(partial).read_bytes()).hexdigest()}
        (partial / "run.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
        partial.rename(folder)
    return folder


def current_folder(root: Path, page: Page) -> Path:
    """Return the folder that holds the outputs of a page once it is executed."""
    return folder_of(root, page, page_inputs(root, page))


def folder_of(root: Path, page: Page, inputs: dict[str, Any]) -> Path:
    """Return the folder that holds, or is to hold, what a page with these inputs puts out."""
    # jupyter-cache hashes source, metadata and kernel; it takes its time over it.
    cells = [(cell.source, cell.metadata) for cell in page.cells]
    text = json.dumps([cells, page.notebook.metadata.get("kernelspec")], sort_keys=True)
    if (root, text) not in _HASHES:
        _, _HASHES[root, text] = get_cache(root / CACHE).create_hashed_notebook(page.notebook)
    hashed = _HASHES[root, text]
    return root / CACHE / f"{stem(page.name)}-{key_of(inputs)}-{hashed[:8]}"


def stem(name: str) -> str:
    """Return the name of a page as part of a file's name."""
    return name.replace("/", "--")


def executed_notebook(folder: Path) -> NotebookNode:
    """Return the code cells, with their outputs, that a folder of the cache holds."""
    if not is_whole(folder):
        raise BookError(f"{folder} is damaged: run `make book`")
    return pickle.loads(_parsed(_notebook_file(folder).read_text(encoding="utf-8")))


@functools.lru_cache(maxsize=1000)  # a build asks for each three times, and may change what it gets
def _parsed(text: str) -> bytes:
    return pickle.dumps(nbformat.reads(text, nbformat.NO_CONVERT))


def run_of(folder: Path) -> dict[str, Any]:
    """Return the record of the run whose outputs a folder of the cache holds."""
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def _notebook_file(folder: Path) -> Path:
    (path,) = folder.glob("executed/*/base.ipynb")
    return path


def is_whole(folder: Path) -> bool:
    """Whether a folder of the cache is as it was stored, in all that a build reads of it."""
    try:
        notebook = _notebook_file(folder)
        database = f"{(folder / 'global.db').resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(database, uri=True)) as opened:
            (sound,) = opened.execute("PRAGMA quick_check").fetchone()
            rows = opened.execute("SELECT hashkey FROM nbcache").fetchall()
        found = sha256(notebook.read_bytes()).hexdigest()
        same = run_of(folder)["sha256"] == found
    except (OSError, ValueError, KeyError, TypeError, sqlite3.Error):
        return False
    return same and sound == "ok" and rows == [(notebook.parent.name,)]


def prune(root: Path) -> None:
    """Remove from the cache everything that no page has a use for now."""
    kept = {current_folder(root, page) for page in read_pages(root).values()}
    for entry in (root / CACHE).iterdir():
        if entry not in kept:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def say(root: Path, line: str) -> None:
    """Print a line, and append it to the log."""
    print(line, flush=True)
    with (root / LOG).open("a", encoding="utf-8") as log:
        log.write(f"{line}\n")


def take_over(folder: Path, notebook: NotebookNode) -> dict[str, Any] | None:
    """Give `notebook` the outputs of the same cells under other metadata, if the cache has them."""
    key, _, _ = folder.name.rpartition("-")
    other = next(filter(is_whole, folder.parent.glob(f"{key}-*")), None)
    if other is None:
        return None
    done = executed_notebook(other)
    for cell, old in zip(code_cells(notebook), code_cells(done), strict=True):
        cell.outputs, cell.execution_count = old.outputs, old.execution_count
    notebook.metadata.language_info = done.metadata.language_info
    return run_of(other)
