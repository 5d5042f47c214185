"""Execute, render, check: the whole book, into ``_build/html``."""

import shutil
import time
from hashlib import sha256
from pathlib import Path

from jupyter_book.sphinx import build_sphinx

from bookbuild.checks.compare import compare
from bookbuild.checks.gate import gate
from bookbuild.extensions import mathematics
from bookbuild.run import outputs
from bookbuild.run.cache import lock, prune, say
from bookbuild.run.execution import execute
from bookbuild.run.keys import LIBRARIES
from bookbuild.run.values import RECORD
from bookbuild.source.chapters import BookError, page_names, read_pages
from bookbuild.source.equations import check
from bookbuild.source.memory import save_shared

STAMP = Path("_build/.renderer")  # what rendered the pages that lie there


def build(root: Path, *, fresh: bool = False) -> None:
    """Build the book; when this returns, ``_build/html`` is complete and right.

    A build that fails or is killed while rendering leaves a marker, and the next one renders every
    page anew: Sphinx forgets the warnings of a page it has read, and trusts a file half-written. So
    does one whose `bookbuild` or other library is another: they make the pages that Sphinx keeps. A
    `fresh` build executes every page and typesets every formula.
    """
    started = time.monotonic()
    check(root)
    execute(root, fresh=fresh)
    out, marker, stamp = root / "_build", root / "_build/.unfinished", root / STAMP
    renderer = sha256(b"".join(map(Path.read_bytes, sorted(Path(__file__).parent.rglob("*.py")))))
    libraries = {path.name for folder in LIBRARIES for path in folder.glob("*.dist-info")}
    renderer.update("\n".join(sorted(libraries)).encode())
    with lock(root):
        trees = out / ".doctrees"
        rendered = {path.relative_to(trees) for path in trees.rglob("*.doctree")}
        gone = rendered - {Path(f"{name}.doctree") for name in read_pages(root)}
        other = fresh or not stamp.exists() or stamp.read_text() != renderer.hexdigest()
        if marker.exists() or gone or other:  # Sphinx never removes the HTML of a page that is gone
            for folder in ("html", ".doctrees", "jupyter_execute"):
                shutil.rmtree(out / folder, ignore_errors=True)
        marker.touch()
        stamp.write_text(renderer.hexdigest())
        _render(root, out / "html", fresh=fresh)
        save_shared(root, forget=True)
        gate(root, out / "html")
        prune(root)
        marker.unlink()
    if (root / RECORD).is_file():
        for line in compare(root):
            say(root, line)
    say(root, f"built {out / 'html'} in {time.monotonic() - started:.0f} s")


def renew(root: Path) -> None:
    """Renew the outputs that the repository ships, and the formulas if any is new."""
    outputs.renew(root)
    build(root)
    if mathematics.fault(root):
        (root / STAMP).unlink()  # so that every page is rendered, and no formula kept that is gone
        build(root)
        if mathematics.fault(root):
            mathematics.renew(root)


def faults(root: Path) -> list[str]:
    """Say what keeps a fresh clone from taking all outputs, and the formulas that were built."""
    return [*outputs.faults(root), *filter(None, [mathematics.fault(root)])]


def build_page(root: Path, name: str) -> Path:
    """Build one page, into a copy of the book in ``_build/page``; return its file.

    It alone executes, and it alone is written; from the others it takes numbers, titles and what
    they have handed to the prose if they have outputs. Nothing is checked but what Sphinx says.

    Raises
    ------
    BookError
        If there is no such page, or a cell of it failed.
    """
    if name not in (names := page_names(root)):
        raise BookError(f"no page {name}: there are {', '.join(names)}")
    execute(root, only=name)
    folder = root / "_build/page"
    with lock(root):
        whole = (root / "_build/html").is_dir() and not (root / "_build/.unfinished").exists()
        if not folder.exists() and whole:  # then Sphinx has read all pages, but for what is new
            for part in ("html", ".doctrees", "jupyter_execute"):
                shutil.copytree(root / "_build" / part, folder / part)
        _render(root, folder / "html", only=name)
        save_shared(root, forget=False)
    return folder / f"html/{name}.html"


def _render(root: Path, html: Path, *, only: str = "", fresh: bool = False) -> None:
    """Do what ``jupyter-book build book/ -q -W --keep-going`` does, with files at the root.

    In this process, because a child would go on writing after this one is killed.
    """
    status = build_sphinx(
        root / "book",
        html,
        noconfig=True,
        path_config=root / "_config.yml",
        confoverrides={
            "external_toc_path": str(root / "_toc.yml"),
            "latex_individualpages": False,
            "bookbuild_only": only,
            **({"bookbuild_fresh": True} if fresh else {}),
        },
        filenames=[str(root / f"book/{only}.md")] if only else None,
        warningiserror=not only,
        keep_going=True,
        quiet=True,
    )
    for error in (status, getattr(status, "__cause__", None)):  # a template's error has a cause
        if isinstance(error, BookError):
            raise error
    if status != 0:
        raise BookError("Sphinx found the faults above")
