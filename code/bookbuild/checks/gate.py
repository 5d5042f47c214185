"""Read the built pages as a browser would, and refuse them if anything on them is wrong."""

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import lxml
from lxml import etree
from lxml import html as markup
from myst_nb.ext.glue import extract_glue_data_cell
from nbformat import NotebookNode

from bookbuild.checks.limits import shape_faults
from bookbuild.run.cache import current_folder, executed_notebook
from bookbuild.source.chapters import BookError, Page, code_cells, read_pages
from bookbuild.source.memory import Memory

# Sphinx and MyST-NB write an image's own path where an author gives no alternative text.
_FILE_NAME = re.compile(r"\S*/\S*|.*\.(svg|png|jpe?g|gif|webp|avif)|[0-9a-f]{12,}", re.IGNORECASE)

_TEX = re.compile(r"\\[(\[]|\$\$|\\[a-z]{3,}")


def _of_class(name: str) -> str:
    return f"contains(concat(' ', normalize-space(@class), ' '), ' {name} ')"


_ARTICLE = etree.XPath("//article[1]")
_CELLS = etree.XPath(f".//div[{_of_class('cell')}]")
_OUTPUT = etree.XPath(f"boolean(.//*[{_of_class('cell_output')}])")
_TRACEBACK = etree.XPath(f"boolean(.//*[{_of_class('traceback')}])")
# What shows TeX or program text on purpose, and MathJax's own, is no prose.
_PROSE = etree.XPath(
    ".//text()[not(ancestor::code or ancestor::pre or ancestor::script or ancestor::style "
    f"or ancestor::mjx-container or ancestor::*[{_of_class('math')}])]"
)


def gate(root: Path, html: Path) -> None:
    """Check every page of ``_toc.yml`` as built into the folder `html`.

    A file of HTML that was read before is not read again; what a page needs of another is looked up
    in what is known of that one as it is now.

    Raises
    ------
    BookError
        If a page is missing; if a code cell did not run, ended in an error or is not on its page;
        if an image has no alternative text; if TeX stands in the text (a formula with a line that
        begins with a minus becomes a list); if a link leads nowhere; if a page listed in
        ``book/shape.toml`` has lost its shape. One line for each fault.
    """
    site = _Site(root, html.resolve())
    found = [
        page.name + fault
        for page in read_pages(root).values()
        for fault in _faults(root, site, page)
    ]
    found += shape_faults(root)
    site.memory.save(forget=True)
    if found:
        raise BookError("\n".join(["the gate found", *found]))


class _Site:
    """The built pages; each file is read once."""

    def __init__(self, root: Path, html: Path):
        self.html = html
        self.memory = Memory(root, "gate", Path(__file__).read_bytes(), lxml.__version__)
        self.read = functools.cache(self._read)
        self.target = functools.cache(self._target)

    def _read(self, file: Path) -> dict[str, Any]:
        content = file.read_bytes()
        return self.memory.recall(content, answer=lambda: contents(content))

    def _target(self, folder: Path, path: str) -> Path | None:
        """Return the file of the book that a path in a page of `folder` leads to."""
        target = (folder / unquote(path)).resolve()
        if target.is_dir():
            target /= "index.html"
        return target if target.is_file() and target.is_relative_to(self.html) else None


def contents(page: bytes) -> dict[str, Any]:
    """Return what the gate has to know of a file of HTML, and nothing that depends on another.

    The places that a link can lead to; the links; of each code cell whether it shows an output;
    whether there is a traceback; texts with TeX; and of each image its alternative text, its
    source, the number of the block of a cell that it stands in, and whether it is the author's.
    """
    parser = markup.HTMLParser(encoding="utf-8", huge_tree=True)
    tree = markup.document_fromstring(page, parser=parser)
    (article,) = _ARTICLE(tree) or [tree]
    blocks = _CELLS(article)
    block_of = {image: n for n, block in enumerate(blocks) for image in block.iter("img")}
    ours = set(article.iter("img"))
    return {
        "places": sorted(set(tree.xpath("//@id"))),
        "links": sorted({tag.get("href", tag.get("src")) for tag in tree.xpath("//*[@href|@src]")}),
        "cells": [_OUTPUT(block) for block in blocks],
        "traceback": _TRACEBACK(article),
        "tex": [" ".join(text.split()) for text in _PROSE(article) if _TEX.search(text)],
        "images": [
            (image.get("alt"), image.get("src"), block_of.get(image), image in ours)
            for image in tree.iter("img")
        ],
    }


def _faults(root: Path, site: _Site, page: Page) -> Iterator[str]:
    file = site.html / f"{page.name}.html"
    if not file.is_file():
        yield f": no page {file}"
        return
    built = site.read(file)
    shown = [number for number, cell in enumerate(page.cells, 1) if not _left_out(cell)]
    if len(shown) != len(built["cells"]):
        yield f": shows {len(built['cells'])} code cells, but should show {len(shown)}"
        shown = []
    has_output = dict(
        zip(shown, built["cells"], strict=False)
    )  # by the cell's number in the source
    if page.cells:
        yield from _cell_faults(root, page, has_output)
    if built["traceback"]:
        yield ": shows a traceback"
    for text in built["tex"]:
        yield f": shows TeX: {text}"
    for alt, source, block, is_ours in built["images"]:
        if fault := _alt_fault(alt, may_be_empty=not is_ours):
            cell = f", code cell {shown[block]}" if shown and block is not None else ""
            yield f"{cell}: {fault}: {source}"
    for link in built["links"]:
        if fault := _link_fault(link, file, site):
            yield f": {fault}: {link}"


def _left_out(cell: NotebookNode) -> bool:
    """Whether MyST-NB shows nothing of a cell."""
    tags = _tags(cell)
    gone = "remove-cell" in tags or {"remove-input", "remove-output"} <= tags
    return gone or not cell.source.strip()


def _tags(cell: NotebookNode) -> set[str]:
    return {tag.replace("_", "-") for tag in cell.metadata.get("tags", [])}


def _cell_faults(root: Path, page: Page, has_output: dict[int, bool]) -> Iterator[str]:
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
        wanted = cell.outputs and "remove-output" not in _tags(cell)
        if wanted and not has_output.get(number, True):
            yield f", code cell {number}: its output is not on the page"


def _alt_fault(alt: str | None, *, may_be_empty: bool) -> str | None:
    """Say what is wrong with an alternative text; only the theme's own may be empty."""
    if alt is None or not (alt.strip() or may_be_empty):
        return "no alternative text"
    return "its alternative text is a file's name" if _FILE_NAME.fullmatch(alt.strip()) else None


def _link_fault(link: str, file: Path, site: _Site) -> str | None:
    """Say what is wrong with a link in `file`, unless it leaves the book."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    target = site.target(file.parent, parts.path) if parts.path else file
    if target is None:
        return "leads to no file of the book"
    place = unquote(parts.fragment)
    if place and target.suffix == ".html" and place not in site.read(target)["places"]:
        return "leads to no such place on the page"
    return None
