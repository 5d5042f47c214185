"""The command line, ``python -m bookbuild ...``, at the root of the repository."""

import argparse
import gc
import sys
from pathlib import Path

from bookbuild.build import build, build_page, faults, renew
from bookbuild.checks.compare import compare
from bookbuild.checks.gate import gate
from bookbuild.checks.limits import report
from bookbuild.checks.links import check_links
from bookbuild.extensions.mathematics import NoEngineError
from bookbuild.notebooks.export import write_notebooks
from bookbuild.pdf import print_book
from bookbuild.run.execution import NotSetUpError, execute
from bookbuild.run.values import record
from bookbuild.source.chapters import BookError

YOUNG = 100_000, 20, 50
"""When Python looks for garbage. A build keeps most of what it reads: by default it looks through
all of that again and again, for a quarter of the time."""
NOT_SET_UP = {NotSetUpError: 3, NoEngineError: 4}
"""The status that lets the Makefile install what pages need to execute, or a formula."""


def main() -> int:
    """Run one command and return its exit status."""
    gc.set_threshold(*YOUNG)
    parser = argparse.ArgumentParser(prog="bookbuild", description="Build the book in this folder.")
    commands = parser.add_subparsers(dest="command", required=True)
    builds = commands.add_parser("build", help="execute, render and check the book")
    builds.add_argument("--fresh", action="store_true", help="execute every page")
    page = commands.add_parser("page", help="execute and render one page, into _build/page")
    page.add_argument("name", help="as in _toc.yml, such as elbo")
    watches = commands.add_parser("watch", help="build whenever a file changes, and show the book")
    watches.add_argument("name", nargs="?", help="of the one page to build")
    outputs = commands.add_parser(
        "outputs", help="build, and renew the outputs and formulas shipped"
    )
    outputs.add_argument("--check", action="store_true", help="only say which are out of date")
    commands.add_parser("notebooks", help="write each page with code as a notebook")
    commands.add_parser("pdf", help="print the built book into _build/onebound.pdf")
    commands.add_parser("links", help="check that the links out of the book lead somewhere")
    commands.add_parser("execute", help="run the cells of every page whose outputs are out of date")
    checks = commands.add_parser("gate", help="check a built book")
    checks.add_argument("html", nargs="?", type=Path, default=Path("_build/html"))
    commands.add_parser("record", help="write down the numbers of this build")
    commands.add_parser("compare", help="compare the numbers of this build with those written down")
    shape = commands.add_parser("shape", help="count what the main line of each page holds")
    shape.add_argument("page", nargs="?", help="one page, and what is wrong with it")
    arguments = parser.parse_args()
    try:
        if arguments.command == "build":
            build(Path.cwd(), fresh=arguments.fresh)
        elif arguments.command == "page":
            print(f"built {build_page(Path.cwd(), arguments.name)}")
        elif arguments.command == "watch":
            from bookbuild.watch import watch  # whose libraries not everyone has who builds

            watch(Path.cwd(), arguments.name)
        elif arguments.command == "outputs":
            if not arguments.check:
                renew(Path.cwd())
            elif found := faults(Path.cwd()):
                raise BookError("\n".join(["run `make outputs`:", *found]))
        elif arguments.command == "notebooks":
            write_notebooks(Path.cwd(), Path.cwd() / "_build/notebooks")
        elif arguments.command == "pdf":
            print(f"printed {print_book(Path.cwd())}")
        elif arguments.command == "links":
            check_links(Path.cwd())
        elif arguments.command == "execute":
            execute(Path.cwd())
        elif arguments.command == "shape":
            print(report(Path.cwd(), arguments.page))
        elif arguments.command == "record":
            record(Path.cwd())
        elif arguments.command == "compare":
            if found := compare(Path.cwd()):
                raise BookError("\n".join(["the numbers are not those written down", *found]))
        else:
            gate(Path.cwd(), arguments.html)
    except BookError as error:
        print(f"bookbuild: {error}", file=sys.stderr)
        return NOT_SET_UP.get(type(error), 1)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
