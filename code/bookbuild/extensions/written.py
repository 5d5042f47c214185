"""The Sphinx extension that notes which files of HTML this build has written.

What another extension does to a finished page it need not do again to one that an earlier build has
finished.
"""

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension; Sphinx calls this, or an extension that needs it."""
    app.connect("builder-inited", _forget)
    app.connect("html-page-context", _note)
    return {"parallel_read_safe": True, "parallel_write_safe": False}


def _forget(app: Sphinx) -> None:
    app.env.bookbuild_written = set()


def _note(app: Sphinx, name: str, *_: Any) -> None:
    app.env.bookbuild_written.add(Path(app.builder.get_outfilename(name)))


def written(app: Sphinx) -> list[Path]:
    """Return the files written so far."""
    return sorted(app.env.bookbuild_written)
