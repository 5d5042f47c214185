"""Execute the pages whose key is new, and keep the outputs of the others.

The outputs of a page lie in a folder of their own, ``_build/.jupyter_cache/<page>-<key>-<hash>``:
a jupyter-cache of one notebook, and ``run.json``, which says how the run went and what its key
covered. ``<hash>`` is jupyter-cache's own, over the cells and their metadata, so MyST-NB finds a
match in this folder and nowhere else. A folder is filled under another name and renamed once
complete: one that exists is right, whenever the process was killed. One that was damaged since is
thrown away. Nothing in it names a path of this machine.

A page that has no such folder takes the outputs that the repository ships for its key (`shipped`),
and executes if there are none. So a fresh clone executes nothing.
"""

import ast
import asyncio
import glob
import json
import math
import os
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import nbformat
import psutil
from filelock import FileLock, Timeout
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from bookbuild.run import shipped
from bookbuild.run.keys import key_of, not_installed, page_inputs, versions
from bookbuild.run.machine import machine
from bookbuild.source.chapters import BookError, Page, code_cells, read_pages

CELL_TIMEOUT = 1800  # seconds; a cell that trains needs minutes on a slow machine
CACHE = Path("_build/.jupyter_cache")
LOG = Path("_build/execution.log")
ROOM = 2 << 30  # bytes; no chapter needs more
# Where glibc allocates: up to a gigabyte that a step frees is kept for the next. Else it goes back
# to the system, and comes back in pages of 4 kB each time: up to half of a chapter's time.
KEPT = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # torch's, then numpy's

# What a page's processor seconds are worth: the fastest of many convolutions, one thread, float32.
MEASURE = """
def _measured():
    import sys, time
    if "torch" not in sys.modules:
        return {}
    import torch
    half = sys.modules.get("onebound.training.precision")
    torch.set_num_threads(1)
    images = torch.ones(32, 32, 28, 28, dtype=torch.float32)
    images = images.contiguous(memory_format=torch.channels_last)
    kernels = torch.ones(32, 32, 3, 3, dtype=torch.float32)
    times, end = [], time.perf_counter() + 0.3
    with torch.inference_mode(), torch.autocast("cpu", enabled=False):
        while time.perf_counter() < end:
            start = time.perf_counter()
            torch.conv2d(images, kernels, padding=1)
            times.append(time.perf_counter() - start)
    return {
        "bfloat16": bool(half and half.computes_in_bfloat16(torch.device("cpu"))),
        "gigaflops": round(2 * 9 * images.numel() * 32 / min(times) / 1e9, 1),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }
"""


class CellFailedError(BookError):
    """A cell raised, or took longer than `CELL_TIMEOUT`."""


class NotSetUpError(BookError):
    """A page has to execute, and the libraries that it may need are not installed."""


class _ThisPython(AsyncKernelManager):
    """Knows one kernel, ``python3``, which runs the interpreter that runs this.

    A ``python3`` installed by the user elsewhere would run the cells with other versions than the
    key records.
    """

    def _kernel_spec_manager_default(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[], parent=self)


def execute(root: Path, *, fresh: bool = False) -> None:
    """Execute every page whose outputs are not here; raise at the end if a cell failed.

    Several run at a time, each with its share of the cores: two kernels of one thread finish sooner
    than one after the other of two threads, since the operations of the chapters are small. The
    longest goes first, by the times of earlier runs.

    Parameters
    ----------
    root
        The folder of the book.
    fresh
        Execute every page, whatever is stored here or shipped.

    Raises
    ------
    NotSetUpError
        If a page has to execute, and libraries are missing. No page has executed then.
    BookError
        If a cell failed.
    """
    pages = [page for page in read_pages(root).values() if page.cells]
    with lock(root):
        pages.sort(key=lambda page: _seconds_before(root, page), reverse=True)
        if fresh:
            shutil.rmtree(root / CACHE)
        asyncio.run(_execute_all(root, pages, fresh))
        if line := _as_shipped([run_of(current_folder(root, page)) for page in pages]):
            say(root, line)


async def _execute_all(root: Path, pages: list[Page], fresh: bool) -> None:
    slots = asyncio.Semaphore(jobs())
    failed, waiting = [], []

    async def one(page: Page) -> None:
        try:
            await _outputs_folder(root, page, slots, fresh)
        except CellFailedError as error:
            say(root, str(error))
            failed.append(page.name)
        except NotSetUpError:
            waiting.append(page.name)

    try:
        # A group ends all of its kernels before it ends itself, on Ctrl-C too.
        async with asyncio.TaskGroup() as group:
            for page in pages:
                group.create_task(one(page))
    except* BookError as errors:
        raise errors.exceptions[0] from None
    if failed:
        raise BookError(f"a cell failed on {', '.join(sorted(failed))}")
    if waiting:
        raise NotSetUpError(
            f"{', '.join(sorted(waiting))}: outputs have to be computed, and `make setup` has not "
            f"installed {', '.join(not_installed(root))}"
        )


def _as_shipped(runs: list[dict[str, Any]]) -> str | None:
    """Say whose the outputs of the book are, if any of them came with it."""
    theirs = [run for run in runs if run.get("shipped")]
    if not theirs:
        return None
    where = " and ".join(sorted({run["machine"]["processor"] for run in theirs}))
    days = sorted({run["date"][:10] for run in theirs})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    ours = f", {len(runs) - len(theirs)} computed here" * (len(runs) > len(theirs))
    return (
        f"{len(runs)} pages: {len(theirs)} as shipped, computed on {where} on {when}{ours}; "
        "`make fresh` computes all"
    )


def jobs() -> int:
    """Return how many pages run at a time: ``$ONEBOUND_JOBS``, or what this machine has room for.

    By default a core and `ROOM` for each.
    """
    said = os.environ.get("ONEBOUND_JOBS")
    if said is None:
        return max(1, min(_cores(), _memory() // ROOM))
    if not re.fullmatch("[1-9][0-9]*", said):
        raise BookError(f"ONEBOUND_JOBS is {said!r}, but should be a number of pages such as 2")
    return int(said)


def _cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> int:
    """Return the bytes of this machine's memory; where the system does not tell, enough for two."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 2 * ROOM


def _seconds_before(root: Path, page: Page) -> float:
    """Return how long a page took when last executed; one that never was may take any time."""
    digits = "[0-9a-f]"
    pattern = f"{glob.escape(_stem(page))}-{digits * 16}-{digits * 8}"
    runs = [run_of(folder) for folder in (root / CACHE).glob(pattern) if _is_whole(folder)]
    try:
        document = shipped.load(root, page.name)
        runs += [document["run"]] if document else []
    except shipped.DamagedError:
        pass
    return max(runs, key=lambda run: run["date"])["seconds"] if runs else math.inf


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
    return asyncio.run(_outputs_folder(root, page, asyncio.Semaphore(1)))


async def _outputs_folder(
    root: Path, page: Page, slots: asyncio.Semaphore, fresh: bool = False
) -> Path | None:
    """Do the same, waiting for one of the `slots` before executing; `fresh` takes none shipped."""
    if not page.cells:
        return None
    inputs = page_inputs(root, page)
    folder = _folder(root, page, inputs)
    if folder.is_dir():
        if _is_whole(folder):
            return folder
        say(root, f"{folder.relative_to(root)} is damaged: thrown away")
        shutil.rmtree(folder)
    (root / CACHE).mkdir(parents=True, exist_ok=True)
    run = _take_over(folder, page.notebook) or (None if fresh else _take(root, page, inputs))
    if run is None:
        if not_installed(root):
            raise NotSetUpError(f"{page.name}: outputs have to be computed: run `make setup`")
        async with slots:
            inputs = page_inputs(root, page)  # it may have waited long
            run = await _run(root, page)
            run |= {"threads": _environment(root)["OMP_NUM_THREADS"], "inputs": inputs}
        if page_inputs(root, page) != inputs:  # whose outputs are these?
            say(root, f"{page.name}: what it imports changed meanwhile, so once more")
            return await _outputs_folder(root, page, slots, fresh)
    return store(root, page, run)


def _take(root: Path, page: Page, inputs: dict[str, Any]) -> dict[str, Any] | None:
    """Give a page the outputs that are shipped for its key, if there are any and they are whole."""
    try:
        run = shipped.take(root, page, key_of(inputs))
    except shipped.DamagedError as error:
        say(root, f"{error}: not taken")
        return None
    return run | {"shipped": True, "inputs": inputs} if run else None


def store(root: Path, page: Page, run: dict[str, Any]) -> Path:
    """Put a page that has its outputs, and the record of how it got them, into the cache."""
    folder = _folder(root, page, run["inputs"])
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
    return _folder(root, page, page_inputs(root, page))


def _folder(root: Path, page: Page, inputs: dict[str, Any]) -> Path:
    _, hashed = get_cache(root / CACHE).create_hashed_notebook(page.notebook)
    return root / CACHE / f"{_stem(page)}-{key_of(inputs)}-{hashed[:8]}"


def _stem(page: Page) -> str:
    return page.name.replace("/", "--")


def executed_notebook(folder: Path) -> NotebookNode:
    """Return the code cells, with their outputs, that a folder of the cache holds."""
    if not _is_whole(folder):
        raise BookError(f"{folder} is damaged: run `make book`")
    return nbformat.read(_notebook_file(folder), nbformat.NO_CONVERT)


def run_of(folder: Path) -> dict[str, Any]:
    """Return the record of the run whose outputs a folder of the cache holds."""
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def _notebook_file(folder: Path) -> Path:
    (path,) = folder.glob("executed/*/base.ipynb")
    return path


def _is_whole(folder: Path) -> bool:
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


def _take_over(folder: Path, notebook: NotebookNode) -> dict[str, Any] | None:
    """Give `notebook` the outputs of the same cells under other metadata, if the cache has them."""
    key, _, _ = folder.name.rpartition("-")
    other = next(filter(_is_whole, folder.parent.glob(f"{key}-*")), None)
    if other is None:
        return None
    done = executed_notebook(other)
    for cell, old in zip(code_cells(notebook), code_cells(done), strict=True):
        cell.outputs, cell.execution_count = old.outputs, old.execution_count
    notebook.metadata.language_info = done.metadata.language_info
    return run_of(other)


async def _run(root: Path, page: Page) -> dict[str, Any]:
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
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as profile:  # none of the user's start-up files
            async with _kernel(client, _environment(root) | {"IPYTHONDIR": profile}):
                await _run_cells(root, page, client)
                peak = _peak_megabytes(client.km.provisioner.pid)
                processor = _processor_seconds(client.km.provisioner.pid)
                measured = await _measured(client)
    except (DeadKernelError, NoSuchKernel) as error:
        if asyncio.current_task().cancelling():  # nbclient takes that for the kernel's death
            raise asyncio.CancelledError from None
        raise BookError(f"{page.name}: {error}") from None
    seconds = time.monotonic() - started
    of_processor = f", {processor:.0f} s of the processor" if processor else ""
    say(root, f"{page.name}: {seconds:.0f} s{of_processor}, {peak} MB")
    date = datetime.now(UTC).isoformat(timespec="seconds")
    record = {"seconds": round(seconds, 1), "processor_seconds": processor}
    record |= {"peak_megabytes": peak, "date": date, "versions": versions(root)}
    return record | {"machine": machine() | measured}


async def _measured(client: NotebookClient) -> dict[str, Any]:
    """Return what `MEASURE` finds in a kernel; nothing if the page does without PyTorch."""
    asked = client.kc.execute(MEASURE, silent=True, user_expressions={"found": "_measured()"})
    reply = (await client.async_wait_for_reply(asked))["content"]
    found = reply.get("user_expressions", {}).get("found", {}).get("data", {})
    return ast.literal_eval(found.get("text/plain", "{}"))


def _environment(root: Path) -> dict[str, str]:
    """Return the environment of a kernel."""
    # The cells import the very files that the key covers, whatever else is installed.
    search = [str(root / "code"), *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = str(max(1, _cores() // jobs()))
    return {
        **dict.fromkeys(THREADS, threads),
        **dict.fromkeys(KEPT, str(1 << 30)),
        **os.environ,
        "PYTHONPATH": os.pathsep.join(search),
        # A kernel that has read a file just before it changed must not leave that to the next.
        "PYTHONDONTWRITEBYTECODE": "1",
        "TQDM_DISABLE": "1",
    }


@asynccontextmanager
async def _kernel(client: NotebookClient, environment: dict[str, str]) -> AsyncIterator[None]:
    """Start a kernel, and end it whatever happens.

    `NotebookClient.async_setup_kernel` would do, but takes over the signals of the whole process,
    and then Ctrl-C ends one kernel of several.
    """
    manager = client.create_kernel_manager()
    at_once = True
    try:
        await client.async_start_new_kernel(env=environment)
        await client.async_start_new_kernel_client()
        yield
        at_once = False
    finally:
        if client.kc is not None:
            client.kc.stop_channels()
        if manager.has_kernel:
            await manager.shutdown_kernel(now=at_once)


async def _run_cells(root: Path, page: Page, client: NotebookClient) -> None:
    info = await client.async_wait_for_reply(client.kc.kernel_info())
    page.notebook.metadata.language_info = info["content"]["language_info"]
    number = 0
    for index, cell in enumerate(page.notebook.cells):
        if cell.cell_type != "code":
            continue
        number += 1
        try:
            count = client.code_cells_executed + 1
            await client.async_execute_cell(cell, index, execution_count=count)
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


def _processor_seconds(process: int) -> float | None:
    """Return how long a process has kept processors busy, all threads added up."""
    try:
        times = psutil.Process(process).cpu_times()
    except psutil.Error:
        return None
    return round(times.user + times.system, 1)
