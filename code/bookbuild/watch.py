"""Build again whenever a file changes, and let the browser show it: sphinx-autobuild for this book.

That program calls Sphinx itself; here its server is given another thing to call.
"""

import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import uvicorn
from sphinx_autobuild.__main__ import _create_app
from sphinx_autobuild.filter import IgnoreFilter

HOST, PORT = "127.0.0.1", 8000
WATCHED = ("book", "code")
NOT_WATCHED = ("__pycache__", "book/outputs")


def watch(root: Path, name: str | None) -> None:
    """Build the book, or one page of it, now and after each change, until interrupted."""
    command = [sys.executable, "-m", "bookbuild", *(["page", name] if name else ["build"])]
    rebuild = partial(_rebuild, command, root)
    html = root / ("_build/page/html" if name else "_build/html")
    html.mkdir(parents=True, exist_ok=True)
    rebuild(changed_paths=[])
    address = f"{HOST}:{PORT}"
    folders = [root / folder for folder in WATCHED]
    app = _create_app(folders, IgnoreFilter([], [*NOT_WATCHED]), rebuild, html, address)
    print(f"http://{address}/{name or 'index'}.html shows it; Ctrl-C ends this", flush=True)
    uvicorn.run(app, host=HOST, port=PORT, log_level="warning")


def _rebuild(command: list[str], root: Path, changed_paths: Sequence[Path]) -> None:
    for path in changed_paths:
        print(f"{path.relative_to(root.resolve())} has changed", flush=True)
    subprocess.run(
        command, cwd=root
    )  # what is wrong it says itself, and the next change is awaited
