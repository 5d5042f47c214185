"""The command line, ``python -m bookbuild ...``, at the root of the repository."""

import argparse
import sys
from pathlib import Path

from bookbuild.archive import fetch, pack
from bookbuild.build import build
from bookbuild.chapters import BookError
from bookbuild.execution import execute
from bookbuild.gate import gate
from bookbuild.links import check_links
from bookbuild.notebooks import write_notebooks
from bookbuild.pdf import print_book
from bookbuild.values import compare, record


def main() -> int:
    """Run one command and return its exit status."""
    parser = argparse.ArgumentParser(prog="bookbuild", description="Build the book in this folder.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="execute, render and check the book")
    commands.add_parser("cache-pack", help="write the outputs of every page into one file")
    commands.add_parser("cache-fetch", help="take them from a release's, or from $ONEBOUND_CACHE")
    commands.add_parser("notebooks", help="write each page with code as a notebook")
    commands.add_parser("pdf", help="print the built book into _build/onebound.pdf")
    commands.add_parser("links", help="check that the links out of the book lead somewhere")
    commands.add_parser("execute", help="run the cells of every page whose outputs are out of date")
    checks = commands.add_parser("gate", help="check a built book")
    checks.add_argument("html", nargs="?", type=Path, default=Path("_build/html"))
    commands.add_parser("picture", help="draw the digits at the top of README again")
    commands.add_parser("record", help="write down the numbers of this build")
    commands.add_parser("compare", help="compare the numbers of this build with those written down")
    arguments = parser.parse_args()
    try:
        if arguments.command == "build":
            build(Path.cwd())
        elif arguments.command == "cache-pack":
            pack(Path.cwd())
        elif arguments.command == "cache-fetch":
            fetch(Path.cwd())
        elif arguments.command == "notebooks":
            write_notebooks(Path.cwd(), Path.cwd() / "_build/notebooks")
        elif arguments.command == "pdf":
            print(f"printed {print_book(Path.cwd())}")
        elif arguments.command == "links":
            check_links(Path.cwd())
        elif arguments.command == "execute":
            execute(Path.cwd())
        elif arguments.command == "picture":
            from bookbuild.picture import draw_picture  # which needs torch; a build does not

            draw_picture(Path.cwd() / "book/images/samples.png")
        elif arguments.command == "record":
            record(Path.cwd())
        elif arguments.command == "compare":
            if found := compare(Path.cwd()):
                raise BookError("\n".join(["the numbers are not those written down", *found]))
        else:
            gate(Path.cwd(), arguments.html)
    except BookError as error:
        print(f"bookbuild: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
