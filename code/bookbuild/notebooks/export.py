"""Each page with code as a notebook without outputs, for Colab, JupyterLab or wherever.

A notebook depends on the page, on the values that its cells have handed to the prose when the book
was built, else on those written down, and on where the book is published; the same of these gives
the same bytes.
"""

import functools
import shutil
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import nbformat
import pybtex
import pybtex.plugin
import yaml
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from pybtex.database import BibliographyData, parse_file

from bookbuild.notebooks import myst, targets
from bookbuild.notebooks import plain as plain_
from bookbuild.notebooks.plain import Context, caption, inline, plain
from bookbuild.notebooks.targets import chapter_numbers, figure_name, find_targets
from bookbuild.run.cache import current_folder
from bookbuild.run.values import glued_by, recorded
from bookbuild.source.chapters import Page, read_pages
from bookbuild.source.memory import Memory
from bookbuild.source.repository import Repository, find_repository

FOLDER = "notebooks"  # within the site
BRANCH = "notebooks"  # the branch that holds them, for Colab reads them from there

INSTALL = """\
# Install the book's package, unless it is here. Whatever PyTorch is installed stays as it is.
import importlib.metadata
import importlib.util
import pathlib
import subprocess
import sys
import tempfile

if importlib.util.find_spec("{name}") is None:
    with tempfile.TemporaryDirectory() as folder:
        kept = [n for n in ("torch", "torchvision") if importlib.util.find_spec(n)]
        pins = pathlib.Path(folder, "pins.txt")
        pins.write_text("".join(f"{{n}}=={{importlib.metadata.version(n)}}\\n" for n in kept))
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", str(pins)]
        subprocess.run([*pip, "{name} @ git+{url}@{ref}"], check=True)
    importlib.invalidate_caches()"""

NO_INSTALL = """\
# This notebook comes from an unpublished copy of the book: install the package from there.
import {name}"""

_HIDDEN = {"hide-input", "remove-input", "hide-cell", "remove-cell"}


def write_notebooks(root: Path, folder: Path) -> list[Path]:
    """Fill `folder` with the notebook of every page with code; return the files."""
    memory = Memory(root, "notebooks", *_basis())
    texts = {
        name: memory.recall(question, answer=functools.partial(_text, make))
        for name, (question, make) in _notebooks(root).items()
    }
    memory.save(forget=True)
    shutil.rmtree(folder, ignore_errors=True)
    written = []
    for name, text in texts.items():
        path = folder / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def make_notebooks(root: Path) -> dict[str, NotebookNode]:
    """Return the notebook of every page with code, by the page's name."""
    return {name: make() for name, (_, make) in _notebooks(root).items()}


def _basis() -> list[bytes | str]:
    """Return what all notebooks follow from besides their pages: the code that makes them."""
    modules = (sys.modules[__name__], myst, plain_, targets)
    code = [Path(module.__file__).read_bytes() for module in modules]
    return [*code, nbformat.__version__, pybtex.__version__]


def _text(make: Callable[[], NotebookNode]) -> str:
    notebook = make()
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def _notebooks(root: Path) -> dict[str, tuple[str, Callable[[], NotebookNode]]]:
    """Return for each page with code what its notebook follows from, and what makes it."""
    pages = read_pages(root)
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    repository = find_repository(root)
    bibliography = [root / "book" / file for file in config.get("bibtex_bibfiles", [])]
    known = {
        "targets": find_targets(root, pages.values()),
        "values": recorded(root) | _values(root, pages),
        "macros": _macros(config),
        "site": repository.site if repository else None,
    }
    first = _install_cell(root, repository)
    chapters = chapter_numbers(root)
    entries = functools.cache(lambda: _bibliography(bibliography))
    shared = repr((known, first, [file.read_bytes() for file in bibliography]))
    notebooks = {}
    for name, page in pages.items():
        if page.cells:
            about = _about(name, chapters, config["title"], repository)

            def make(name: str = name, page: Page = page, about: str = about) -> NotebookNode:
                return _notebook(page, first, about, Context(name, entries=entries(), **known))

            notebooks[name] = repr((name, about, page.path.read_bytes(), shared)), make
    return notebooks


def _notebook(page: Page, first: str, about: str, context: Context) -> NotebookNode:
    cells = [new_code_cell(first), new_markdown_cell(about)]
    for cell in page.notebook.cells:
        if cell.cell_type == "code":
            cells.append(new_code_cell(cell.source, metadata=_metadata(cell)))
            figure = cell.metadata.get("mystnb", {}).get("figure", {})
            if "caption" in figure:
                text = inline(figure["caption"], context)
                cells.append(new_markdown_cell(caption(figure_name(cell), text, context)))
        elif text := plain(cell.source, context):
            cells.append(new_markdown_cell(text))
    if context.cited:
        cells.append(new_markdown_cell(_works(context)))
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(
        cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}}
    )


def _metadata(cell: NotebookNode) -> dict[str, object]:
    """Return metadata that folds the code of a cell that the page folds or leaves out."""
    tags = {tag.replace("_", "-") for tag in cell.metadata.get("tags", [])}
    return {"jupyter": {"source_hidden": True}} if tags & _HIDDEN else {}


def _install_cell(root: Path, repository: Repository | None) -> str:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    if repository is None or repository.ref is None:
        return NO_INSTALL.format(name=project["name"])
    return INSTALL.format(name=project["name"], url=repository.url, ref=repository.ref)


def _about(
    name: str, chapters: Mapping[str, str], title: str, repository: Repository | None
) -> str:
    """Say where the notebook comes from."""
    place = f"Chapter {chapters[name]} of" if name in chapters else "From"
    book = f"[{title}]({repository.site}{name}.html)" if repository else title
    return (
        f"*{place} {book}, as a notebook: run its cells from the first on. Numbers in the text are "
        "those of the run that made the book.*"
    )


def _values(root: Path, pages: Mapping[str, Page]) -> dict[str, dict[str, str]]:
    """Return what the cells of each page that has run handed to the prose."""
    folders = {name: current_folder(root, page) for name, page in pages.items() if page.cells}
    return {name: glued_by(folder) for name, folder in folders.items() if folder.is_dir()}


def _bibliography(files: list[Path]) -> BibliographyData:
    entries = BibliographyData()
    for file in files:
        entries.add_entries(parse_file(str(file)).entries.items())
    return entries


def _macros(config: dict[str, object]) -> dict[str, object]:
    place = config.get("sphinx", {}).get("config", {}).get("mathjax3_config", {})
    return place.get("tex", {}).get("macros", {})


def _works(context: Context) -> str:
    """Return the list of what a page cites, one work a line, in the order of the citations."""
    style = pybtex.plugin.find_plugin("pybtex.style.formatting", "plain")()
    markdown = pybtex.plugin.find_plugin("pybtex.backends", "markdown")()
    known = [key for key in context.cited if key in context.entries.entries]
    works = style.format_entries([context.entries.entries[key] for key in known])
    lines = [f"- {' '.join(work.text.render(markdown).split())}" for work in works]
    return "\n".join(["## Works cited", "", *lines])
