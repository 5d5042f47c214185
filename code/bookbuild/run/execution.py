"""Execute the pages whose key is new.

A page whose outputs are not kept (`cache`) takes those that the repository ships for its key
(`shipped`), and executes if there are none. So a fresh clone executes nothing.
"""

import ast
import asyncio
import os
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from bookbuild.run import shipped
from bookbuild.run.cache import (
    CACHE,
    current_folder,
    folder_of,
    is_whole,
    lock,
    run_of,
    say,
    store,
    take_over,
)
from bookbuild.run.keys import key_of, not_installed, page_inputs, versions
from bookbuild.run.times import Progress, expected
from bookbuild.source.chapters import BookError, Page, read_pages
from onebound.machine import cores, machine

CELL_TIMEOUT = 1800  # seconds; a cell that trains needs minutes on a slow machine
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
        while len(times) < 10 or time.perf_counter() < end:  # the first is slow
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


def execute(root: Path, *, fresh: bool = False, only: str | None = None) -> None:
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
    only
        The name of the one page that is to be executed if it has to.

    Raises
    ------
    NotSetUpError
        If a page has to execute, and libraries are missing. No page has executed then.
    BookError
        If a cell failed.
    """
    pages = [page for page in read_pages(root).values() if page.cells]
    with lock(root):
        if fresh:
            shutil.rmtree(root / CACHE)
        asked = [page for page in pages if only in (None, page.name)]
        todo = [page for page in asked if not found(root, page, fresh=fresh)]
        if todo and (missing := not_installed(root)):
            names = ", ".join(sorted(page.name for page in todo))
            raise NotSetUpError(
                f"{names}: outputs have to be computed, and `make setup` has not installed "
                f"{', '.join(missing)}"
            )
        if todo:
            asyncio.run(_execute_all(root, todo, len(pages), fresh))
        if only is None and (line := _as_shipped([run_of(current_folder(root, p)) for p in pages])):
            say(root, line)


async def _execute_all(root: Path, pages: list[Page], of: int, fresh: bool) -> None:
    slots = asyncio.Semaphore(jobs())
    progress = Progress({page.name: expected(root, page.name) for page in pages}, jobs())
    say(root, progress.announcement(of))
    failed = []

    async def one(page: Page) -> None:
        async with slots:
            progress.start(page.name)
            try:
                await _executed(root, page, fresh=fresh)
            except CellFailedError as error:
                say(root, str(error))
                failed.append(page.name)
            progress.end(page.name)
            if line := progress.left():
                say(root, line)

    try:
        # A group ends all of its kernels before it ends itself, on Ctrl-C too.
        async with asyncio.TaskGroup() as group:
            for page in sorted(pages, key=lambda page: progress.expected(page.name), reverse=True):
                group.create_task(one(page))
    except* BookError as errors:
        raise errors.exceptions[0] from None
    if failed:
        raise BookError(f"a cell failed on {', '.join(sorted(failed))}")


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
        return max(1, min(cores(), _memory() // ROOM))
    if not re.fullmatch("[1-9][0-9]*", said):
        raise BookError(f"ONEBOUND_JOBS is {said!r}, but should be a number of pages such as 2")
    return int(said)


def _memory() -> int:
    """Return the bytes of this machine's memory; where the system does not tell, enough for two."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 2 * ROOM


def outputs_folder(root: Path, page: Page) -> Path | None:
    """Return the folder that holds the outputs of a page, executing the page if there is none.

    None if the page has no code cells.
    """
    if not page.cells:
        return None
    if folder := found(root, page):
        return folder
    if not_installed(root):
        raise NotSetUpError(f"{page.name}: outputs have to be computed: run `make setup`")
    return asyncio.run(_executed(root, page, fresh=False))


def found(root: Path, page: Page, *, fresh: bool = False) -> Path | None:
    """Return the folder that holds the outputs of a page, if no cell has to run for that.

    They lie there, or do for the same cells under other metadata, or are shipped; a `fresh` page
    takes none that are shipped.
    """
    inputs = page_inputs(root, page)
    folder = folder_of(root, page, inputs)
    if folder.is_dir():
        if is_whole(folder):
            return folder
        say(root, f"{folder.relative_to(root)} is damaged: thrown away")
        shutil.rmtree(folder)
    (root / CACHE).mkdir(parents=True, exist_ok=True)
    run = take_over(folder, page.notebook) or (None if fresh else _take(root, page, inputs))
    return store(root, page, run) if run else None


async def _executed(root: Path, page: Page, *, fresh: bool) -> Path:
    """Execute a page, again if what it imports changes meanwhile, and keep its outputs."""
    while True:
        inputs = page_inputs(root, page)
        run = await _run(root, page)
        if page_inputs(root, page) == inputs:  # else whose outputs are these?
            break
        say(root, f"{page.name}: what it imports changed meanwhile, so once more")
        if folder := found(root, page, fresh=fresh):
            return folder
    threads = _environment(root)["OMP_NUM_THREADS"]
    return store(root, page, run | {"threads": threads, "inputs": inputs})


def _take(root: Path, page: Page, inputs: dict[str, Any]) -> dict[str, Any] | None:
    """Give a page the outputs that are shipped for its key, if there are any and they are whole."""
    try:
        run = shipped.take(root, page, key_of(inputs))
    except shipped.DamagedError as error:
        say(root, f"{error}: not taken")
        return None
    return run | {"shipped": True, "inputs": inputs} if run else None


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
            async with _kernel(root, page, client, {"IPYTHONDIR": profile}):
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
    threads = str(max(1, cores() // jobs()))
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
async def _kernel(
    root: Path, page: Page, client: NotebookClient, extra: dict[str, str]
) -> AsyncIterator[None]:
    """Start a kernel, again if it dies at that, and end it whatever happens.

    `NotebookClient.async_setup_kernel` would do, but takes over the signals of the whole process,
    and then Ctrl-C ends one kernel of several.
    """
    at_once = True
    try:
        for more in (True, True, False):  # a port that was free may be taken when a kernel wants it
            client.create_kernel_manager()
            await client.async_start_new_kernel(env=_environment(root) | extra)
            try:
                await client.async_start_new_kernel_client()  # clears up if the kernel is dead
                break
            except RuntimeError as error:
                if not more or "died" not in str(error):  # one that is silent has had its time
                    raise DeadKernelError(str(error)) from None
                say(root, f"{page.name}: {error}, so once more")
        yield
        at_once = False
    finally:
        if client.kc is not None:
            client.kc.stop_channels()
        if client.km is not None and client.km.has_kernel:
            await client.km.shutdown_kernel(now=at_once)


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
