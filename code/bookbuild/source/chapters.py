"""The pages that the table of contents names, and the cells on them."""

import functools
import json
import pickle
import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from jupyter_book.config import get_final_config
from myst_nb.core.config import NbParserConfig
from myst_nb.core.read import MystMetadataParsingError, create_nb_reader
from myst_parser.config.main import MdParserConfig
from nbformat import NotebookNode, from_dict
from sphinx_external_toc.parsing import MalformedError, parse_toc_yaml

from bookbuild.source.memory import shared

READERS = ("myst-nb", "myst-parser", "markdown-it-py", "mdit-py-plugins", "nbformat", "pyyaml")
_LOADS = re.compile(r"^:?load:", re.MULTILINE)  # a cell from another file


class BookError(Exception):
    """A fault of the book, not of the program: its message is all that the author needs."""


@dataclass(frozen=True)
class Page:
    """One page of the book.

    Attributes
    ----------
    name
        Its name in ``_toc.yml``, which is Sphinx's name for it too.
    path
        Its source file.
    notebook
        The notebook that MyST-NB makes of it; one without cells if the page is plain Markdown.
    """

    name: str
    path: Path
    notebook: NotebookNode

    @property
    def cells(self) -> list[NotebookNode]:
        """The code cells, in order."""
        return code_cells(self.notebook)

    @property
    def kernel(self) -> str:
        """The name of the kernel that its header asks for."""
        return self.notebook.metadata.get("kernelspec", {}).get("name", "python3")


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the code cells of a notebook, in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def read_pages(root: Path) -> dict[str, Page]:
    """Read every page of ``_toc.yml``, by name and in the order of the book.

    Raises
    ------
    BookError
        If ``_toc.yml`` or ``_config.yml`` is missing or malformed, or names an absent page.
    """
    names, markdown = page_names(root), markdown_config(root)
    return {name: read_page(root, name, markdown) for name in names}


def page_names(root: Path) -> list[str]:
    """Return the names of the pages of ``_toc.yml``, in the order of the book.

    Raises
    ------
    BookError
        If ``_toc.yml`` is missing or malformed, or names an absent page.
    """
    try:
        names = list(parse_toc_yaml(_existing(root, "_toc.yml")))
    except (MalformedError, yaml.YAMLError) as error:
        raise BookError(f"_toc.yml: {' '.join(str(error).split())}") from error
    names = [name.removesuffix(".md") for name in names]
    for name in names:
        if not (root / f"book/{name}.md").is_file():
            raise BookError(f"_toc.yml names {name!r}, but book/{name}.md does not exist")
    return names


def markdown_config(root: Path) -> MdParserConfig:
    """Return how the book's Markdown is read: a cell inside another directive is no cell."""
    try:
        config, _ = get_final_config(
            user_yaml=_existing(root, "_config.yml"),
            cli_config={"latex_individualpages": False},
            validate=False,
        )
    except yaml.YAMLError as error:
        raise BookError(f"_config.yml: {' '.join(str(error).split())}") from error
    return MdParserConfig(enable_extensions=set(config["myst_enable_extensions"]))


def read_page(root: Path, name: str, markdown: MdParserConfig) -> Page:
    """Read one page, with the reader that MyST-NB itself uses."""
    path = root / "book" / f"{name}.md"
    text = path.read_text(encoding="utf-8")
    try:
        notebook = _notebook(root, str(path), text, frozenset(markdown.enable_extensions))
    except MystMetadataParsingError as error:
        raise BookError(f"{path.relative_to(root)}: {error}") from error
    return Page(name, path, pickle.loads(notebook))


@functools.lru_cache(maxsize=1000)  # a build asks for each page a dozen times
def _notebook(root: Path, path: str, text: str, extensions: frozenset[str]) -> bytes:
    """Return the notebook of a page, pickled, since whoever executes it writes into it."""
    code = Path(__file__).read_bytes()
    memory = shared(root, "pages", code, *map(version, READERS), *sorted(extensions))

    def read() -> dict[str, Any]:
        markdown = MdParserConfig(enable_extensions=set(extensions))
        reader = create_nb_reader(path, markdown, NbParserConfig(), text)
        notebook = reader.read(text) if reader else {"metadata": {}, "cells": []}
        return json.loads(json.dumps(notebook, default=str))  # a date in the header is text

    told = read() if _LOADS.search(text) else memory.recall(text, answer=read)
    return pickle.dumps(from_dict(told))


def _existing(root: Path, name: str) -> Path:
    if not (root / name).is_file():
        raise BookError(f"no {name} in {root}: run this at the root of the repository")
    return root / name
