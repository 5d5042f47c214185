import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from conftest import Book

from bookbuild.run.keys import closure, data_files, imported_by_cells

Edit = Callable[[Book, pytest.MonkeyPatch], None]

PACKAGE = {
    "pkg/__init__.py": "",
    "pkg/a.py": "from pkg.deep import leaf",
    "pkg/deep/__init__.py": "",
    "pkg/deep/leaf.py": "import os",
    "pkg/deep/up.py": "from ..b import x",
    "pkg/deep/upper.py": "from .. import b",
    "pkg/deep/side.py": "def f():\n    from . import leaf",
    "pkg/b.py": "'''Not an import: pkg.a.'''",
    "pkg/loop.py": "import pkg.pool",
    "pkg/pool.py": "import pkg.loop",
    "pkg/broken.py": "import pkg.a (",
    "pkg/both.py": "",
    "pkg/both/__init__.py": "from . import inner",
    "pkg/both/inner.py": "",
    "bare/mod.py": "",
}
A = {"pkg", "pkg.a", "pkg.deep", "pkg.deep.leaf"}
B = {"pkg", "pkg.b"}


@pytest.fixture
def code(tmp_path: Path) -> Path:
    for name, text in PACKAGE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("source", "reached"),
    [
        ("import os.path", set()),
        ("import pkg", {"pkg"}),
        ("import pkg.a", A),
        ("import pkg.a as x, os", A),
        ("import os, pkg.a", A),
        ("from pkg import a", A),
        ("from pkg import b, a", A | B),
        ("from pkg.a import f", A),
        ("from pkg.a import *", A),
        ("from pkg import nothing", {"pkg"}),
        ("def f():\n    if x:\n        from pkg import a", A),
        ("import pkg.deep.up", {"pkg", "pkg.deep", "pkg.deep.up", "pkg.b"}),
        ("import pkg.deep.upper", {"pkg", "pkg.deep", "pkg.deep.upper", "pkg.b"}),
        ("import pkg.deep.side", {"pkg", "pkg.deep", "pkg.deep.side", "pkg.deep.leaf"}),
        ("import pkg.b", B),
        ("import pkg.loop", {"pkg", "pkg.loop", "pkg.pool"}),
        ("import pkg.broken", {"pkg", "pkg.broken"}),
        ("import pkg.both", {"pkg", "pkg.both", "pkg.both.inner"}),
        ("import bare.mod", {"bare.mod"}),
        # What only a notebook has.
        ("import pkg\npkg.a.f()", A),
        ("%matplotlib inline\nfrom pkg import a", A),
        ("files = !ls\nfrom pkg import a", A),
        ("f?\nfrom pkg import a", A),
        ("%%time\nfrom pkg import a", A),
        ("\n%%timeit -n 1\nfrom pkg import a", A),
        ("%time from pkg.a import f", A),
        ("!python -m pkg.a --steps 3", A),
        ("from importlib import import_module\nimport_module('pkg.a')", A),
        ("await x\nfrom pkg import a", A),
        ("from pkg import a (", {"pkg"}),
    ],
)
def test_closure_of_a_cell(code: Path, source: str, reached: set[str]):
    assert set(closure(code, imported_by_cells(code, [source]))) == reached


def test_a_package_wins_over_a_module_of_its_name_as_in_python(code: Path):
    assert closure(code, ["pkg.both"])["pkg.both"] == code / "pkg/both/__init__.py"


ZOO = {
    "onebound/__init__.py": "",
    "onebound/metrics.py": "from onebound.zoo import judge",
    "onebound/zoo/__init__.py": "",
    "onebound/zoo/vae.py": "",
    "onebound/zoo/vae.safetensors": "",
    "onebound/zoo/vae.json": "",
    "onebound/zoo/vae_wide.py": "",
    "onebound/zoo/vae_wide.json": "",
    "onebound/zoo/judge.py": "",
    "onebound/zoo/judge.safetensors": "",
    "onebound/vae.json": "",
}
VAE = {"vae.safetensors", "vae.json"}
JUDGE = {"judge.safetensors"}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("from onebound.zoo import load, vae\nload(vae)", VAE),
        ("from onebound import zoo\nzoo.load(zoo.vae)", set()),  # fails when run: not imported
        ("import onebound.zoo.vae", VAE),
        ("from onebound.zoo import vae_wide", {"vae_wide.json"}),
        ("%%time\nfrom onebound.zoo import vae", VAE),
        ("from onebound.zoo import vae\nimport onebound.metrics", VAE | JUDGE),
        ("import onebound.metrics", JUDGE),
        ("import onebound.zoo\n'vae'", set()),
    ],
)
def test_data_files_of_a_cell(tmp_path: Path, source: str, names: set[str]):
    code = tmp_path / ".in a [hidden] folder"
    for name, text in ZOO.items():
        (code / name).parent.mkdir(parents=True, exist_ok=True)
        (code / name).write_text(text)
    modules = closure(code, imported_by_cells(code, [source]))
    assert {file.name for file in data_files(modules)} == names


def newer(book: Book, patch: pytest.MonkeyPatch, name: str) -> None:
    version = metadata.version
    patch.setattr(metadata, "version", lambda other: version(other) + ".1" * (other == name))


def other_build(book: Book, patch: pytest.MonkeyPatch, name: str) -> None:
    version = metadata.version
    patch.setattr(metadata, "version", lambda other: version(other) + "+cpu" * (other == name))


def other_python(book: Book, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("platform.python_version", lambda: "3.99.1")


def pinned(book: Book, patch: pytest.MonkeyPatch, pin: str) -> None:
    """Pin a library, and have it no longer installed."""
    name, version_is_given, _ = pin.partition("==")
    version = metadata.version

    def without(other: str) -> str:
        if other == name:
            raise metadata.PackageNotFoundError(other)
        return version(other)

    patch.setattr(metadata, "version", without)
    line = pin if version_is_given else ""
    book.write("constraints.txt", f"# a comment\n{line}\nscipy==1.0\n")


NUMPY = metadata.version("numpy")
SAME = {
    "prose": lambda book, _: book.edit("book/one.md", "# Page", "New words.\n\n# Page"),
    "alt text": lambda book, _: book.edit("book/one.md", "A black square", "A square"),
    "tag": lambda book, _: book.edit("book/one.md", "hide-input", "remove-input"),
    "unrelated module": lambda book, _: book.edit("code/tiny/other.py", "", "x = 1"),
    "unrelated weights": lambda book, _: book.write("code/tiny/elsewhere.json", "{}"),
    "cell of another page": lambda book, _: book.edit("book/part/two.md", "two ran", "2 ran"),
    "version of no dependency": lambda book, patch: newer(book, patch, "sphinx"),
    "Python": other_python,
    "another build of a version": lambda book, patch: other_build(book, patch, "numpy"),
    "pinned instead of installed": lambda book, patch: pinned(book, patch, f"numpy=={NUMPY}"),
    "pin of what is installed": lambda book, _: book.write("constraints.txt", "numpy==1.0\n"),
    "pin of another machine": lambda book, patch: pinned(
        book,
        patch,
        f'numpy==1.0 ; platform_machine == "aarch64"\nnumpy=={NUMPY} '
        '; platform_machine != "aarch64"',
    ),
}
NEW = {
    "cell": lambda book, _: book.edit("book/one.md", "print(WORD)", "print( WORD)"),
    "boundary of cells": lambda book, _: book.edit("book/one.md", "import myst_nb\n", SPLIT),
    "direct import": lambda book, _: book.edit("code/tiny/text.py", "WORD", "WORD as WORD"),
    "transitive import": lambda book, _: book.edit("code/tiny/words.py", "hello", "hallo"),
    "package": lambda book, _: book.edit("code/tiny/__init__.py", "", "x = 1"),
    "weights": lambda book, _: book.edit("code/tiny/text.safetensors", "1", "2"),
    "card": lambda book, _: book.edit("code/tiny/text.json", "1", "2"),
    "version": lambda book, patch: newer(book, patch, "numpy"),
    "version of IPython": lambda book, patch: newer(book, patch, "ipython"),
    "dependency": lambda book, _: book.edit("pyproject.toml", "numpy>=1", "sphinx>=1"),
    "other pin of what is not installed": lambda book, patch: pinned(book, patch, "numpy==1.0"),
    "neither pinned nor installed": lambda book, patch: pinned(book, patch, "numpy"),
    "kernel": lambda book, _: book.edit("book/one.md", "name: python3", "name: python4"),
}
SPLIT = "import myst_nb\n```\n\n```{code-cell} ipython3\n"


@pytest.mark.parametrize(
    ("edit", "is_new"),
    [pytest.param(edit, False, id=name) for name, edit in SAME.items()]
    + [pytest.param(edit, True, id=name) for name, edit in NEW.items()],
)
def test_key(book: Book, monkeypatch: pytest.MonkeyPatch, edit: Edit, is_new: bool):
    for suffix in ("safetensors", "json"):
        book.write(f"code/tiny/text.{suffix}", "1")
    before = book.key()
    edit(book, monkeypatch)
    assert (book.key() != before) == is_new


def test_key_does_not_depend_on_the_folder(book: Book, tmp_path: Path):
    shutil.copytree(tmp_path, tmp_path / "moved", ignore=lambda *_: ["moved"])
    assert Book(tmp_path / "moved").key() == book.key()
