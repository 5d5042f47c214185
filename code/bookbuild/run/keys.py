"""A page's key: a hash of everything that its outputs depend on.

Two builds with one key have the same outputs, so an executed page is stored under its key and never
executed again. What the key leaves out on purpose: prose; the metadata of cells (tags, alt text,
captions), which decide how an output looks and not what it is; the MNIST files, because
``onebound.data`` holds their SHA-256 and refuses any others, and a module is part of the key; and
Python's version and the kind of machine, which the record of a run names.
"""

import ast
import functools
import glob
import hashlib
import json
import os
import platform
import re
import sys
import sysconfig
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from bookbuild.source.chapters import Page
from bookbuild.source.memory import Memory, shared

# IPython writes the text of an output and matplotlib-inline its figures. nbclient and ipykernel are
# left out: they carry messages and shape nothing.
SHAPERS = ("ipython", "matplotlib-inline")
# Where a library is not installed, its pin for this kind of machine counts, on any machine: what
# renders alone takes the outputs that are shipped, and those are made on such a one.
REFERENCE = {"platform_machine": "x86_64", "platform_system": "Linux", "sys_platform": "linux"}
LIBRARIES = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")]
# A file that changed less than these seconds ago may change again and keep its time.
RACY = 2
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


def page_inputs(root: Path, page: Page, *, installed: bool = True) -> dict[str, Any]:
    """Return what the key of a page covers, each file by its SHA-256, as plain JSON.

    The versions are those that `versions` returns, without the local part. A build asks seven times
    for each page: as long as no file that could matter is another, the answer is the same.
    """
    sources = tuple(cell.source for cell in page.cells)
    question = root, page.kernel, sources, installed
    state = metadata.version, _state(root)
    if state[1] is None:
        return _page_inputs(*question)
    if question not in _KNOWN or _KNOWN[question][0] != state:
        _KNOWN[question] = state, _page_inputs(*question)
    return dict(_KNOWN[question][1])


_KNOWN: dict[tuple[Path, str, tuple[str, ...], bool], tuple[Any, dict[str, Any]]] = {}


def _state(root: Path) -> tuple[tuple[str, int, int, int], ...] | None:
    """Return what changes when any file does that a key may cover; None while one has just done."""
    named = (root / "pyproject.toml", root / "constraints.txt", *LIBRARIES)
    files = [(str(file), file.stat()) for file in named if file.exists()]
    folders = [str(root / "code")]
    for folder in folders:
        for entry in os.scandir(folder):
            if entry.is_dir():
                folders += [entry.path] * (entry.name != "__pycache__")
            else:
                files.append((entry.path, entry.stat()))
    if time.time() - max(told.st_mtime for _, told in files) < RACY:
        return None
    return tuple((path, told.st_ino, told.st_size, told.st_mtime_ns) for path, told in files)


def _page_inputs(
    root: Path, kernel: str, sources: tuple[str, ...], installed: bool
) -> dict[str, Any]:
    code = root / "code"
    modules = closure(code, imported_by_cells(code, sources))
    data = data_files(modules)
    return {
        "kernel": kernel,
        "cells": [_sha256(source.encode()) for source in sources],
        "files": {
            file.relative_to(root).as_posix(): sha256_of(file)
            for file in sorted({*modules.values(), *data})
        },
        "versions": {
            name: _released(version)
            for name, version in versions(root, installed=installed).items()
            if name != "python"
        },
    }


def key_of(inputs: dict[str, Any]) -> str:
    """Return the key: 16 hexadecimal digits."""
    return _sha256(json.dumps(inputs, sort_keys=True).encode())[:16]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file, which is not read again while it is as it was."""
    state = file.stat()
    if time.time() - state.st_mtime < RACY:
        return _sha256(file.read_bytes())
    return _sha256_as_it_was(file, state.st_ino, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=1000)
def _sha256_as_it_was(file: Path, *_: int) -> str:
    return _sha256(file.read_bytes())


def versions(root: Path, *, installed: bool = True) -> dict[str, str]:
    """Return the versions of Python and of the libraries that outputs depend on.

    That is the installed version or, where a library is not installed, the one that
    ``constraints.txt`` pins; with ``installed=False`` always the latter. The libraries are the
    runtime dependencies in ``pyproject.toml`` itself: an editable installation's metadata keeps
    those of the day it was installed.
    """
    pins = _pins(root)
    found = {"python": platform.python_version()}
    for name in dependencies(root) + list(SHAPERS):
        found[name] = pins.get(canonicalize_name(name), "absent")
        if installed:
            with suppress(metadata.PackageNotFoundError):
                found[name] = _version(metadata.version, name, _installation())
    return found


def dependencies(root: Path) -> list[str]:
    """Return the names of the libraries that the chapters' package needs at run time."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [Requirement(line).name for line in project["dependencies"]]


def not_installed(root: Path) -> list[str]:
    """Return those of the libraries that a page may need and that are not here."""
    installed = {canonicalize_name(one.name) for one in metadata.distributions()}
    return [name for name in dependencies(root) if canonicalize_name(name) not in installed]


def _pins(root: Path) -> dict[str, str]:
    """Return what ``constraints.txt`` pins on the `REFERENCE`, by normalised name."""
    file = root / "constraints.txt"
    return _pinned(file.read_text(encoding="utf-8")) if file.is_file() else {}


@functools.lru_cache(maxsize=10)
def _pinned(text: str) -> dict[str, str]:
    lines = text.splitlines()
    pins = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    return {
        canonicalize_name(pin.name): str(pin.specifier).removeprefix("==")
        for pin in pins
        if pin.marker is None or pin.marker.evaluate(REFERENCE)
    }


def _released(version: str) -> str:
    """Return a version without its local part: 2.14.1+cpu is a build of 2.14.1."""
    return version if version == "absent" else Version(version).public


@functools.lru_cache(maxsize=1000)
def _version(ask: Callable[[str], str], name: str, _: tuple[int, ...]) -> str:
    return ask(name)


def _installation() -> tuple[int, ...]:
    """Return what changes when a library is installed or removed: the times of their folders."""
    return tuple(folder.stat().st_mtime_ns for folder in LIBRARIES)


def closure(code: Path, names: Iterable[str]) -> dict[str, Path]:
    """Return the modules below `code` that importing `names` reaches, and the file of each.

    Names that are no module below `code` are passed over. Imports are found by reading, wherever in
    a module they stand; a name that is only computed at run time can't be found.
    """
    reached: dict[str, Path] = {}
    ours = {path.stem for path in code.iterdir()}
    seen, todo = set(), list(names)
    while todo:
        name = todo.pop()
        if name in seen or name.partition(".")[0] not in ours:
            continue
        seen.add(name)
        parent = name.rpartition(".")[0]
        if parent:
            todo.append(parent)  # Python runs a/__init__.py before a/b.py
        file = _file_of(code, name)
        if file is not None:
            reached[name] = file
            package = name if file.name == "__init__.py" else parent
            todo += _imports_of_module(code, file.read_text(encoding="utf-8"), package)
    return reached


def imported_by_cells(code: Path, sources: Iterable[str]) -> Iterator[str]:
    """Yield every name that the cells may import.

    Each dotted name in a cell counts, not only those after ``import``: that covers
    ``import onebound`` followed by ``onebound.vae.elbo(...)``, ``import_module("onebound.vae")``
    and ``!python -m onebound.data.fetch``. `closure` passes over those that are no module.
    """
    for source in sources:
        yield from _memory(code).recall("cell", source, answer=partial(_names_in_cell, source))


def data_files(modules: dict[str, Path]) -> set[Path]:
    """Return the files that lie beside one of the modules under its name, as a model's weights do.

    A module reads no other files of its own.
    """
    return {
        file
        for module in modules.values()
        for file in module.parent.glob(f"{glob.escape(module.stem)}.*")
        if file.suffix != ".py"
    }


def _file_of(code: Path, name: str) -> Path | None:
    base = code.joinpath(*name.split("."))
    candidates = (base / "__init__.py", base.with_suffix(".py"))  # in Python's own order
    return next((file for file in candidates if file.is_file()), None)


@functools.cache
def _memory(code: Path) -> Memory:
    this = Path(__file__).read_bytes()
    return shared(code.parent, "imports", this, sys.version, metadata.version("ipython"))


def _names_in_cell(source: str) -> list[str]:
    return list(dict.fromkeys([*_DOTTED.findall(source), *_imports(_cell_tree(source), "")]))


def _imports_of_module(code: Path, text: str, package: str) -> list[str]:
    def read() -> list[str]:
        return list(_imports(_parse(text), package))

    return _memory(code).recall("module", package, text, answer=read)


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield the absolute name of everything imported in `tree`, which belongs to `package`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: 1 - node.level or None] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _cell_tree(cell: str) -> ast.AST:
    """Parse a cell, its magics turned into calls and a leading ``%%...`` line dropped."""
    cell = cell.lstrip()
    if cell.startswith("%%"):
        cell = cell.partition("\n")[2]
    return _parse(cell, TransformerManager().transform_cell)


def _parse(text: str, transform: Callable[[str], str] = str) -> ast.AST:
    """Parse `text`; what is no Python imports nothing (running it will say what is wrong)."""
    try:
        return ast.parse(transform(text))
    except SyntaxError:
        return ast.Module(body=[], type_ignores=[])
