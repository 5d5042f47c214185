"""Read the built pages as a browser would, and refuse them if anything on them is wrong."""

import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag
from myst_nb.ext.glue import extract_glue_data_cell
from nbformat import NotebookNode

from bookbuild.chapters import BookError, Page, code_cells, read_pages
from bookbuild.execution import current_folder, executed_notebook

# Sphinx and MyST-NB write an image's own path where an author gives no alternative text.
_FILE_NAME = re.compile(r"\S*/\S*|.*\.(svg|png|jpe?g|gif|webp|avif)|[0-9a-f]{12,}", re.IGNORECASE)

# What shows TeX or program text on purpose, and MathJax's own.
_NOT_PROSE = "code, pre, script, style, .math, mjx-container"
_TEX = re.compile(r"\\[(\[]|\$\$|\\[a-z]{3,}")

Reader = Callable[[Path], tuple[BeautifulSoup, set[str]]]


def gate(root: Path, html: Path) -> None:
    """Check every page of ``_toc.yml`` as built into the folder `html`.

    Raises
    ------
    BookError
        If a page is missing; if a code cell did not run, ended in an error or is not on its page;
        if an image has no alternative text; if TeX stands in the text (a formula with a line that
        begins with a minus becomes a list); if a link leads nowhere. One line for each fault.
    """
    read = functools.cache(_read)
    pages = read_pages(root).values()
    found = [page.name + fault for page in pages for fault in _faults(root, html, page, read)]
    if found:
        raise BookError("\n".join(["the gate found", *found]))


def _read(file: Path) -> tuple[BeautifulSoup, set[str]]:
    """Return what a file of HTML holds, and the places in it that a link can lead to."""
    soup = BeautifulSoup(file.read_bytes(), "html.parser")
    return soup, {tag["id"] for tag in soup.select("[id]")}


def _faults(root: Path, html: Path, page: Page, read: Reader) -> Iterator[str]:
    file = (html / f"{page.name}.html").resolve()
    if not file.is_file():
        yield f": no page {file}"
        return
    soup, _ = read(file)
    article = soup.find("article") or soup
    shown = [number for number, cell in enumerate(page.cells, 1) if not _left_out(cell)]
    blocks = article.select("div.cell")
    if len(shown) != len(blocks):
        yield f": shows {len(blocks)} code cells, but should show {len(shown)}"
        blocks = []
    block_of = dict(zip(shown, blocks, strict=False))  # by the cell's number in the source
    if page.cells:
        yield from _cell_faults(root, page, block_of)
    if article.select(".traceback"):
        yield ": shows a traceback"
    for text in article.find_all(string=_TEX):
        if not text.parent.css.closest(_NOT_PROSE):
            yield f": shows TeX: {' '.join(text.split())}"
    cell_of = {id(image): n for n, block in block_of.items() for image in block.select("img")}
    ours = {id(image) for image in article.select("img")}
    for image in soup.select("img"):
        if fault := _alt_fault(image.get("alt"), may_be_empty=id(image) not in ours):
            cell = f", code cell {cell_of[id(image)]}" if id(image) in cell_of else ""
            yield f"{cell}: {fault}: {image.get('src')}"
    for link in sorted({tag.get("href", tag.get("src")) for tag in soup.select("[href], [src]")}):
        if fault := _link_fault(link, file, html.resolve(), read):
            yield f": {fault}: {link}"


def _left_out(cell: NotebookNode) -> bool:
    """Whether MyST-NB shows nothing of a cell."""
    tags = _tags(cell)
    gone = "remove-cell" in tags or {"remove-input", "remove-output"} <= tags
    return gone or not cell.source.strip()


def _tags(cell: NotebookNode) -> set[str]:
    return {tag.replace("_", "-") for tag in cell.metadata.get("tags", [])}


def _cell_faults(root: Path, page: Page, block_of: dict[int, Tag]) -> Iterator[str]:
    """Compare the cells that ran with those that the page shows."""
    folder = current_folder(root, page)
    if not folder.is_dir():
        yield ": its cells have not run as they stand: run `make book`"
        return
    for number, cell in enumerate(code_cells(executed_notebook(folder)), 1):
        if cell.execution_count is None:
            yield f", code cell {number}: did not run"
        if any(output.output_type == "error" for output in cell.outputs):
            yield f", code cell {number}: ended in an error"
        extract_glue_data_cell(cell)  # takes away the outputs that only the prose shows
        block = block_of.get(number)
        wanted = cell.outputs and "remove-output" not in _tags(cell)
        if wanted and block and not block.select(".cell_output"):
            yield f", code cell {number}: its output is not on the page"


def _alt_fault(alt: str | None, *, may_be_empty: bool) -> str | None:
    """Say what is wrong with an alternative text; only the theme's own may be empty."""
    if alt is None or not (alt.strip() or may_be_empty):
        return "no alternative text"
    return "its alternative text is a file's name" if _FILE_NAME.fullmatch(alt.strip()) else None


def _link_fault(link: str, file: Path, html: Path, read: Reader) -> str | None:
    """Say what is wrong with a link in `file`, unless it leaves the book."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
    if target.is_dir():
        target /= "index.html"
    if not target.is_file() or not target.is_relative_to(html):
        return "leads to no file of the book"
    place = unquote(parts.fragment)
    if place and target.suffix == ".html" and place not in read(target)[1]:
        return "leads to no such place on the page"
    return None
