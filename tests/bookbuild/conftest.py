"""A tiny book of two pages, with a tiny package, in a folder of its own."""

import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import ipykernel.kernelapp  # noqa: F401 - so there is its bytecode: kernels write none
import pytest
from myst_nb.ext.glue.crossref import read_glue_cache

import bookbuild
from bookbuild.build import build, build_page
from bookbuild.run.execution import execute
from bookbuild.run.keys import key_of, page_inputs
from bookbuild.source.chapters import read_pages

HEADER = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

"""

FILES = {
    "pyproject.toml": '[project]\nname = "tiny"\nversion = "0"\ndependencies = ["numpy>=1"]\n',
    "_toc.yml": "format: jb-book\nroot: index\nchapters:\n  - file: one\n  - file: part/two\n",
    "_config.yml": f"""
title: Tiny
only_build_toc_files: true
execute:
  execute_notebooks: cache
parse:
  myst_enable_extensions: [colon_fence, dollarmath]
sphinx:
  local_extensions:
    bookbuild.extensions.buttons: {Path(bookbuild.__file__).parents[1]}
    bookbuild.extensions.executed: {Path(bookbuild.__file__).parents[1]}
""",
    "book/index.md": "# Tiny\n\nThe value is {glue:}`one.md::value`.\n",
    "code/tiny/__init__.py": "",
    "code/tiny/text.py": "from tiny.words import WORD\n",
    "code/tiny/words.py": "WORD = 'hello'\n",
    "code/tiny/other.py": "",
}

# Each page says that it ran by a line in a file beside the book.
ONE = """
from tiny.text import WORD
with open("../ran-one", "a") as ran:
    ran.write("x")
print(WORD)
"""
PICTURE = """
from IPython.display import SVG
SVG("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>")
"""
GLUE = 'import myst_nb\nmyst_nb.glue("value", "forty-two", display=False)'
PLACE = "(place)=\n## Place\n\n"
TWO = 'with open("../../ran-two", "a") as ran:\n    ran.write("x")\nprint("two ran")'


# A page with two equations, and what computes and tests the first.
EQUATIONS = "$$\na = b\n$$ (eq-one)\n\n$$\nc = d\n$$ (eq-two)\n"
CODE = '''"""A module about nothing."""


class Sum:
    def value(self):
        """Add up (`[eq-one]`)."""
'''
TESTS = """import pytest


@pytest.mark.equation("eq-one")
@pytest.mark.parametrize("n", [1])
def test_it_adds_up(n):
    assert n == 1
"""
MARKS = '[one]\ndefinition = ["eq-two"]\n'


def cell(source: str, *options: str) -> str:
    """Return a code cell as an author writes it."""
    return "\n".join(["```{code-cell} ipython3", *options, source.strip("\n"), "```\n\n"])


@contextmanager
def _in_a_process_of_its_own() -> Iterator[None]:
    read_glue_cache.cache_clear()  # MyST-NB trusts that a process builds once
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of Sphinx and its extensions are theirs
        yield


class Book:
    """The tiny book at `root`, and what an author does to it."""

    def __init__(self, root: Path):
        self.root = root

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new))

    def page(self, name: str, *parts: str) -> None:
        self.write(f"book/{name}.md", HEADER + f"# Page {name}\n\n" + "".join(parts))

    def key(self, name: str = "one") -> str:
        return key_of(page_inputs(self.root, read_pages(self.root)[name]))

    def execute(self) -> None:
        execute(self.root)

    def build(self) -> None:
        with _in_a_process_of_its_own():
            build(self.root)

    def build_page(self, name: str) -> Path:
        with _in_a_process_of_its_own():
            return build_page(self.root, name)

    def ran(self, name: str = "one") -> int:
        """How often a page has been executed."""
        file = self.root / f"ran-{name}"
        return len(file.read_text()) if file.exists() else 0

    def html(self, name: str) -> str:
        return (self.root / f"_build/html/{name}.html").read_text(encoding="utf-8")

    def cached(self) -> list[str]:
        return sorted(path.name for path in (self.root / "_build/.jupyter_cache").iterdir())

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command line, such as ``-m bookbuild build``."""
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.root,
            env=os.environ | {"PYTHONPATH": str(Path(bookbuild.__file__).parents[1])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell without job control starts what it puts behind deaf to interrupts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def kill(self, process: subprocess.Popen[str], when: Callable[[], bool]) -> None:
        """Kill a process, as ``kill -9`` does, once `when()` holds."""
        deadline = time.monotonic() + 60
        while not when():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()


def write_tiny_book(root: Path) -> Book:
    book = Book(root)
    for name, text in FILES.items():
        book.write(name, text)
    picture = cell(PICTURE, ":mystnb: {image: {alt: A black square}}")
    book.page(
        "one", "(place)=\n## Place\n\n", cell(ONE, ":tags: [hide-input]"), picture, cell(GLUE)
    )
    book.page("part/two", "See {ref}`the place <place>`.\n\n", cell(TWO))
    return book


@pytest.fixture
def book(tmp_path: Path) -> Book:
    """Return the tiny book, as written and not yet built."""
    return write_tiny_book(tmp_path)


@pytest.fixture(scope="session")
def _built_once(tmp_path_factory: pytest.TempPathFactory) -> Book:
    book = write_tiny_book(tmp_path_factory.mktemp("built"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GITHUB_REPOSITORY", raising=False)  # this book is published nowhere
        book.build()
    return book


@pytest.fixture
def built(_built_once: Book, tmp_path: Path) -> Book:
    """Return the tiny book, built, and moved since: nothing in it may name the folder it was in."""
    shutil.copytree(_built_once.root, tmp_path, dirs_exist_ok=True)
    return Book(tmp_path)


def with_outputs_of(book: Book, root: Path) -> Book:
    """Copy a book that was built to `root`, but for what Sphinx wrote: a kernel takes a second."""
    rendered = shutil.ignore_patterns("html", ".doctrees")
    shutil.copytree(book.root, root, dirs_exist_ok=True, ignore=rendered)
    return Book(root)


@pytest.fixture
def executed(_built_once: Book, tmp_path: Path) -> Book:
    """Return the tiny book, executed and not yet rendered."""
    return with_outputs_of(_built_once, tmp_path)


@pytest.fixture
def settled(built: Book) -> Book:
    """Return the tiny book, built where it lies, so that Sphinx reads only what changes now."""
    built.build()
    return built


def write_equations(book: Book) -> Book:
    """Give the tiny book an equation that is computed and tested, and one that is a definition."""
    book.page("one", "(place)=\n## Place\n\n", EQUATIONS)
    book.edit("book/index.md", "{glue:}`one.md::value`", "2")
    book.write("code/tiny/sums.py", CODE)
    book.write("tests/test_sums.py", TESTS)
    book.write("book/equations.toml", MARKS)
    return book


@pytest.fixture
def with_equations(book: Book) -> Book:
    """Return the tiny book with equations, not yet built."""
    return write_equations(book)
