"""Keep the outputs that are shipped those of the pages as they stand."""

import os
import shutil
from pathlib import Path

from bookbuild.run import shipped
from bookbuild.run.cache import current_folder, executed_notebook, run_of, say
from bookbuild.run.execution import execute
from bookbuild.run.keys import key_of, page_inputs
from bookbuild.source.chapters import Page, read_pages


def renew(root: Path) -> None:
    """Execute the pages that have changed and write their outputs; leave all other files alone.

    In float32 throughout, so that the numbers are those of every processor, and so that
    `times.reference_seconds` can tell what a run costs elsewhere.
    """
    os.environ["ONEBOUND_BFLOAT16"] = "0"
    pages = _with_cells(root)
    changed = [page for page in pages if _key_shipped(root, page) != _key(root, page)]
    for page in changed:
        folder = current_folder(root, page)
        if folder.is_dir() and run_of(folder)["machine"].get("bfloat16"):
            shutil.rmtree(folder)
    execute(root)
    for page in changed:
        folder = current_folder(root, page)
        notebook = executed_notebook(folder)
        shipped.write(root, page.name, _key(root, page), run_of(folder), notebook)
    for file in _strangers(root, pages):
        file.unlink()
    say(root, f"{len(changed)} of {len(pages)} pages have new outputs in {shipped.FOLDER}")


def faults(root: Path) -> list[str]:
    """Say what keeps a fresh clone from taking the outputs of every page.

    The key of a page counts as on a machine with the pinned versions, whatever is installed here.
    """
    pages = _with_cells(root)
    found = [f"{file.relative_to(root)} is of no page" for file in _strangers(root, pages)]
    for page in pages:
        try:
            document = shipped.load(root, page.name)
        except shipped.DamagedError as error:
            found.append(str(error))
            continue
        if document is None:
            found.append(f"{page.name} has no outputs")
        elif document["key"] != key_of(page_inputs(root, page, installed=False)):
            found.append(f"{page.name} has outputs of other cells, code or versions")
    return found


def _with_cells(root: Path) -> list[Page]:
    return [page for page in read_pages(root).values() if page.cells]


def _key(root: Path, page: Page) -> str:
    return key_of(page_inputs(root, page))


def _key_shipped(root: Path, page: Page) -> str | None:
    try:
        document = shipped.load(root, page.name)
    except shipped.DamagedError:
        return None
    return document["key"] if document else None


def _strangers(root: Path, pages: list[Page]) -> list[Path]:
    ours = {shipped.file_of(root, page.name) for page in pages}
    return sorted(set((root / shipped.FOLDER).glob(f"*{shipped.ENDING}")) - ours)
