"""Answers that outlive a build: what follows from the same content is not found out again.

An answer is kept under a hash of everything that it follows from, the code that finds it included.
So it is never out of date, and a file of answers that is lost or damaged costs time and nothing
else.
"""

import functools
import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

FOLDER = Path("_build/.memory")
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
    """What one piece of code has found out, kept as JSON in a file of its own below `FOLDER`.

    Parameters
    ----------
    root
        The root of the repository.
    name
        Whose memory it is.
    basis
        What all answers follow from: the code, the versions of its libraries.
    """

    def __init__(self, root: Path, name: str, *basis: str | bytes):
        self._file = Path(root) / FOLDER / f"{name}.json"
        self._basis = digest(*basis)
        self._known = self._load()
        self._asked: dict[str, Any] = {}
        self._stale = False  # whether the file lacks an answer

    def _load(self) -> dict[str, Any]:
        try:
            basis, known = json.loads(self._file.read_bytes())
        except (OSError, ValueError, TypeError):
            return {}
        return known if basis == self._basis and isinstance(known, dict) else {}

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
            self._file.parent.mkdir(parents=True, exist_ok=True)
            partial = self._file.with_suffix(f".{os.getpid()}.part")
            partial.write_text(json.dumps([self._basis, self._known]), encoding="utf-8")
            partial.replace(self._file)
            self._stale = False


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
