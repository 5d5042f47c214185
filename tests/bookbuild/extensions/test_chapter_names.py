from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from conftest import Book, with_outputs_of

import bookbuild
from bookbuild.notebooks.export import make_notebooks

TEXT = """By {ref}`ch-one` (it), as {ref}`ch-one` says, and ({ref}`ch-one`), and
{ref}`there <ch-one>`, and {ref}`place`.

{ref}`ch-one` says so. *It does.* {ref}`ch-one`, and $f($ {ref}`ch-one`, does.

- {ref}`ch-one` (or {ref}`ch-plain`)
- In {ref}`ch-plain`

"""
SAID = [
    "By chapter 1 (it), as chapter 1 (Page one) says, and (chapter 1), and there, and Place.",
    "Chapter 1 says so. It does. Chapter 1, and \\(f(\\) chapter 1, does.",
    "Chapter 1 (or Plain)",
    "In Plain",
]


@pytest.fixture(scope="module")
def named(_built_once: Book, tmp_path_factory: pytest.TempPathFactory) -> Book:
    """Return the tiny book with a numbered chapter, and a page that refers to it."""
    book = with_outputs_of(_built_once, tmp_path_factory.mktemp("named"))
    folder = Path(bookbuild.__file__).parents[1]
    known = f"    bookbuild.extensions.executed: {folder}\n"
    book.edit("_config.yml", known, f"{known}    bookbuild.extensions.chapter_names: {folder}\n")
    book.write(
        "_toc.yml",
        "format: jb-book\nroot: index\nparts:\n  - caption: One\n    numbered: true\n"
        "    chapters: [{file: one}]\n  - caption: Two\n    chapters: [{file: part/two}]\n",
    )
    book.edit("book/one.md", "# Page one", "(ch-one)=\n# Page one")
    book.edit("book/part/two.md", "# Page part/two", "(ch-plain)=\n# Plain")
    book.edit("book/part/two.md", "See {ref}`the place <place>`.\n\n", TEXT)
    book.build()
    return book


def test_a_chapter_is_named_by_its_number_and_once_by_its_title(named: Book):
    page = BeautifulSoup(named.html("part/two"), "html.parser").select("article p")
    assert [" ".join(p.get_text().split()) for p in page][: len(SAID)] == SAID
    assert "../one.html#ch-one" in named.html("part/two")


def test_a_notebook_names_it_as_the_page_does(named: Book):
    cells = make_notebooks(named.root)["part/two"].cells
    text = "\n".join(one.source for one in cells if one.cell_type == "markdown")
    text = text.replace("$f($", "\\(f(\\)").replace("*It does.*", "It does.")
    assert all(line in " ".join(text.split()) for line in SAID)
