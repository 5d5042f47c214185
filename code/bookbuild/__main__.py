"""The command line: ``python -m bookbuild COMMAND``, at the root of the repository."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from bookbuild.archive import fetch, pack
from bookbuild.build import build
from bookbuild.chapters import BookError
from bookbuild.execution import execute
from bookbuild.gate import gate
from bookbuild.links import check_links
from bookbuild.notebooks import write_notebooks

COMMANDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "build": (build, "execute, render and check the book"),
    "execute": (execute, "run the cells of every page whose outputs are out of date"),
    "cache-pack": (pack, "write the outputs of every page into one file"),
    "cache-fetch": (fetch, "take outputs from such a file: a release's, or $ONEBOUND_CACHE"),
    "notebooks": (
        lambda root: write_notebooks(root, root / "_build/notebooks"),
        "write each page with code as a notebook",
    ),
    "links": (check_links, "check that the links out of the book lead somewhere"),
}


def main() -> int:
    """Run one command and return its exit status."""
    parser = argparse.ArgumentParser(prog="bookbuild", description="Build the book in this folder.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (_, about) in COMMANDS.items():
        commands.add_parser(name, help=about)
    checks = commands.add_parser("gate", help="check a built book")
    checks.add_argument("html", nargs="?", type=Path, default=Path("_build/html"))
    arguments = parser.parse_args()
    try:
        if arguments.command == "gate":
            gate(Path.cwd(), arguments.html)
        else:
            COMMANDS[arguments.command][0](Path.cwd())
    except BookError as error:
        print(f"bookbuild: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
