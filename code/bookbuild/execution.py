"""Execute the pages whose key is new, and keep the outputs of the others.

The outputs of a page lie in a folder of their own, ``_build/.jupyter_cache/<page>-<key>-<hash>``:
a jupyter-cache of one notebook, and ``run.json``, which says how the run went and what its key
covered. ``<hash>`` is jupyter-cache's own, over the cells and their metadata, so MyST-NB finds a
match in this folder and nowhere else. A folder is filled under another name and renamed once
complete: one that exists is right, whenever the process was killed. Nothing in it names a path of
this machine.
"""

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from filelock import FileLock, Timeout
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from bookbuild.chapters import BookError, Page, code_cells, read_pages
from bookbuild.keys import key_of, page_inputs
from bookbuild.machine import machine

CELL_TIMEOUT = 1800  # seconds; a cell that trains needs minutes on a slow machine
CACHE = Path("_build/.jupyter_cache")
LOG = Path("_build/execution.log")


class CellFailedError(BookError):
    """A cell raised, or took longer than `CELL_TIMEOUT`."""


class _ThisPython(AsyncKernelManager):
    """Knows one kernel, ``python3``, which runs the interpreter that runs this.

    A ``python3`` installed by the user elsewhere would run the cells with other versions than the
    key records.
    """

    def _kernel_spec_manager_default(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[], parent=self)


def execute(root: Path) -> None:
    """Execute every page whose outputs are not in the cache; raise at the end if a cell failed."""
    failed = []
    pages = read_pages(root)
    with lock(root):
        for page in pages.values():
            try:
                outputs_folder(root, page)
            except CellFailedError as error:
                say(root, str(error))
                failed.append(page.name)
    if failed:
        raise BookError(f"a cell failed on {', '.join(failed)}")


@contextmanager
def lock(root: Path) -> Iterator[None]:
    """Let one process at a time write to ``_build``. The system frees the lock of a killed one."""
    (root / CACHE).mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(root / "_build/.lock", timeout=0):
            yield
    except Timeout:
        raise BookError("another build is running in this folder") from None


def outputs_folder(root: Path, page: Page) -> Path | None:
    """Return the folder that holds the outputs of a page, executing the page if there is none.

    None if the page has no code cells.
    """
    if not page.cells:
        return None
    inputs = page_inputs(root, page)
    folder = _folder(root, page, inputs)
    if folder.is_dir():
        return folder
    (root / CACHE).mkdir(parents=True, exist_ok=True)
    run = _take_over(folder, page.notebook)
    if run is None:
        run = _run(root, page) | {"inputs": inputs}
        if page_inputs(root, page) != inputs:  # whose outputs are these?
            say(root, f"{page.name}: what it imports changed meanwhile, so once more")
            return outputs_folder(root, page)
    with tempfile.TemporaryDirectory(dir=root / CACHE, prefix=".") as temporary:
        partial = Path(temporary) / "outputs"
        cache = get_cache(partial)
        cache.cache_notebook_bundle(
            CacheBundleIn(page.notebook, page.name, data={"execution_seconds": run["seconds"]}),
            check_validity=False,  # the gate does that, and says which cell
        )
        cache.db.dispose()
        (partial / "run.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
        partial.rename(folder)
    return folder


def current_folder(root: Path, page: Page) -> Path:
    """Return the folder that holds the outputs of a page once it is executed."""
    return _folder(root, page, page_inputs(root, page))


def _folder(root: Path, page: Page, inputs: dict[str, Any]) -> Path:
    _, hashed = get_cache(root / CACHE).create_hashed_notebook(page.notebook)
    return root / CACHE / f"{page.name.replace('/', '--')}-{key_of(inputs)}-{hashed[:8]}"


def executed_notebook(folder: Path) -> NotebookNode:
    """Return the code cells, with their outputs, that a folder of the cache holds."""
    (path,) = folder.glob("executed/*/base.ipynb")
    return nbformat.read(path, nbformat.NO_CONVERT)


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


def _take_over(folder: Path, notebook: NotebookNode) -> dict[str, Any] | None:
    """Give `notebook` the outputs of the same cells under other metadata, if the cache has them."""
    key, _, _ = folder.name.rpartition("-")
    other = next(folder.parent.glob(f"{key}-*"), None)
    if other is None:
        return None
    done = executed_notebook(other)
    for cell, old in zip(code_cells(notebook), code_cells(done), strict=True):
        cell.outputs, cell.execution_count = old.outputs, old.execution_count
    notebook.metadata.language_info = done.metadata.language_info
    return json.loads((other / "run.json").read_text(encoding="utf-8"))


def _run(root: Path, page: Page) -> dict[str, Any]:
    """Execute a page in place, in the folder it lies in, and say how that went."""
    say(root, f"executing {page.name} ...")
    # Python takes bytecode for fresh if its source has the same size and, in whole seconds, time.
    for bytecode in (root / "code").rglob("__pycache__"):
        shutil.rmtree(bytecode, ignore_errors=True)
    client = NotebookClient(
        page.notebook,
        kernel_manager_class=_ThisPython,
        extra_arguments=["--log-level=ERROR"],
        startup_timeout=CELL_TIMEOUT,
        timeout=CELL_TIMEOUT,
        record_timing=False,  # timings would go into the metadata that jupyter-cache hashes
        resources={"metadata": {"path": str(page.path.parent)}},
    )
    client.reset_execution_trackers()
    # The cells import the very files that the key covers, whatever else is installed.
    search = [str(root / "code"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(search), "TQDM_DISABLE": "1"}
    started = time.monotonic()
    try:
        # client.execute() would do, but answers Ctrl-C with a dead kernel and three tracebacks.
        with (
            tempfile.TemporaryDirectory() as profile,  # none of the user's start-up files
            client.setup_kernel(env=environment | {"IPYTHONDIR": profile}),
        ):
            _run_cells(root, page, client)
            peak = _peak_megabytes(client.km.provisioner.pid)
    except (DeadKernelError, NoSuchKernel) as error:
        raise BookError(f"{page.name}: {error}") from None
    seconds = time.monotonic() - started
    say(root, f"{page.name}: {seconds:.0f} s")
    date = datetime.now(UTC).isoformat(timespec="seconds")
    record = {"seconds": round(seconds, 1), "peak_megabytes": peak, "date": date}
    return record | {"machine": machine()}


def _run_cells(root: Path, page: Page, client: NotebookClient) -> None:
    info = client.wait_for_reply(client.kc.kernel_info())
    page.notebook.metadata.language_info = info["content"]["language_info"]
    number = 0
    for index, cell in enumerate(page.notebook.cells):
        if cell.cell_type != "code":
            continue
        number += 1
        try:
            client.execute_cell(cell, index, execution_count=client.code_cells_executed + 1)
        except (CellExecutionError, CellTimeoutError) as error:
            line = page.notebook.metadata.source_map[index] + 1
            where = f"{page.path.relative_to(root)}:{line}: code cell {number} failed"
            traceback = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
            raise CellFailedError(f"{where}\n{traceback}") from None


def _peak_megabytes(process: int) -> int | None:
    """Return the most memory that a process has held so far; only Linux tells."""
    status = Path(f"/proc/{process}/status")
    found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.exists() else None
    return round(int(found[1]) / 1024) if found else None
