"""Answers that outlive a build: what follows from the same content is not found out again.

An answer is kept under a hash of everything that it follows from, the code that finds it included.
So it is never out of date, and a file of answers that is lost or damaged costs time and nothing
else. Some travel with the repository, so that a fresh clone need not find them out.
"""

import functools
import gzip
import json
import os
import zlib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

FOLDER = Path("_build/.memory")
ENDING = ".json.gz"
Answer = TypeVar("Answer")


def digest(*parts: str | bytes) -> str:
    """Return a hash of texts and bytes, in their order and each as a whole."""
    found = sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        found.update(len(content).to_bytes(8, "big"))
        found.update(content)
    return found.hexdigest()


class Memory:
    """What one piece of code has found out, kept in a file of its own below `FOLDER`.

    Parameters
    ----------
    root
        The root of the repository.
    name
        Whose memory it is.
    basis
        What all answers follow from: the code, the versions of its libraries.
    shipped
        A file of the repository that has answers too.
    fresh
        Whether to find everything out again.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        *basis: str | bytes,
        shipped: Path | None = None,
        fresh: bool = False,
    ):
        self._file = Path(root) / FOLDER / f"{name}{ENDING}"
        self._basis = digest(*basis)
        self._known: dict[str, Any] = {}
        self._asked: dict[str, Any] = {}
        own = read(self._file)
        # Whether the file lacks an answer, or has those that follow from something else.
        self._stale = bool(own) and own[0] != self._basis
        for found in (shipped and read(shipped), own):
            if found and found[0] == self._basis and not fresh:
                self._known |= found[1]

    def recall(self, *question: str | bytes, answer: Callable[[], Answer]) -> Answer:
        """Return the answer to a question, which is made of all that it follows from besides."""
        key = digest(*question)
        if key not in self._known:
            self._known[key] = answer()
            self._stale = True
        self._asked[key] = self._known[key]
        return self._asked[key]

    def save(self, *, forget: bool) -> None:
        """Write the answers down; `forget` those that nobody has asked for since they were read."""
        if forget and len(self._asked) < len(self._known):
            self._known, self._stale = dict(self._asked), True
        if self._stale:
            _write(self._file, [self._basis, self._known], level=1)
            self._stale = False


def read(file: Path) -> tuple[str, dict[str, Any]] | None:
    """Return the basis and the answers in a file; None if it is not there, or damaged."""
    try:
        basis, known = json.loads(gzip.decompress(file.read_bytes()))
    except (OSError, EOFError, zlib.error, ValueError, TypeError):
        return None
    return (basis, known) if isinstance(known, dict) else None


def _write(file: Path, content: Any, *, level: int) -> None:
    """Write a file in one step: it is there whole, or as it was."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}.part")
    partial.write_bytes(gzip.compress(json.dumps(content).encode(), level, mtime=0))
    partial.replace(file)


def lacking(root: Path, name: str, shipped: Path) -> int:
    """Return how many of the answers that are kept here the repository's file has otherwise."""
    basis, found = read(Path(root) / FOLDER / f"{name}{ENDING}") or ("", {})
    shipped_basis, known = read(shipped) or ("", {})
    same = known if basis == shipped_basis else {}
    return sum(answer != same.get(question) for question, answer in found.items())


def ship(root: Path, name: str, shipped: Path) -> None:
    """Write the answers that are kept here into the repository's file, the same as same bytes."""
    if found := read(Path(root) / FOLDER / f"{name}{ENDING}"):
        _write(shipped, [found[0], dict(sorted(found[1].items()))], level=9)


@functools.cache
def shared(root: Path, name: str, *basis: str | bytes) -> Memory:
    """Return the one memory of this name in this process, which `save_shared` writes down."""
    _SHARED.append((root, memory := Memory(root, name, *basis)))
    return memory


_SHARED: list[tuple[Path, Memory]] = []


def save_shared(root: Path, *, forget: bool) -> None:
    """Save every memory of a root that `shared` has given out."""
    for place, memory in _SHARED:
        if place == root:
            memory.save(forget=forget)
