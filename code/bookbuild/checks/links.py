"""Ask every address that the book links to, and report apart from the published pages."""

from pathlib import Path

from jupyter_book.sphinx import build_sphinx

from bookbuild.run.cache import lock
from bookbuild.run.execution import execute
from bookbuild.source.chapters import BookError


def check_links(root: Path) -> None:
    """Check the links out of the book; the report is ``_build/linkcheck/output.txt``.

    Raises
    ------
    BookError
        If an address does not answer, or answers that there is nothing.
    """
    execute(root)
    report = root / "_build/linkcheck"
    with lock(root):
        status = build_sphinx(
            root / "book",
            report,
            noconfig=True,
            path_config=root / "_config.yml",
            confoverrides={
                "external_toc_path": str(root / "_toc.yml"),
                "latex_individualpages": False,
            },
            doctreedir=root / "_build/.linkcheck-doctrees",
            builder="linkcheck",
            quiet=True,
        )
    if status != 0:
        raise BookError(f"some links do not work: see {report / 'output.txt'}")
