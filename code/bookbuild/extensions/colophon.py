"""The Sphinx extension behind "How this book was built" and "How to cite this book".

Both pages are written by the build: ``{build-record}`` stands for the tables of what executed each
page, when, and at what cost; ``{study-record}`` for when and where the studies ran, and whether
their code has changed since; ``{bibtex-entry}`` for what ``CITATION.cff`` says; ``{releases}`` for
where the book is to be had as one file, and for nothing where no repository is known.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bookbuild.run.cache import current_folder, run_of
from bookbuild.run.records import records
from bookbuild.source.chapters import markdown_config, read_page
from bookbuild.source.repository import Repository

BUILDERS = ("jupyter-book", "sphinx", "myst-nb", "sphinx-book-theme", "sphinx-mathjax-offline")
Cell = str | nodes.Node


class place(nodes.General, nodes.Element):  # named as docutils names its own
    """Stands for what is known only when the page is written: outputs, the repository."""


class Place(SphinxDirective):
    """The directives named in `WRITERS`."""

    def run(self) -> list[nodes.Node]:
        """Leave a place."""
        citation = Path(self.env.srcdir).parent / "CITATION.cff"
        if citation.is_file():
            self.env.note_dependency(str(citation))
        if self.name == "study-record":
            for file in self.env.srcdir.parent.joinpath("code/onebound").rglob("*.*"):
                self.env.note_dependency(str(file))
        return [place(directive=self.name)]


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension; Sphinx calls this."""
    app.add_node(place)
    for name in WRITERS:
        app.add_directive(name, Place)
    app.connect("doctree-resolved", _fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def bibtex(citation: dict[str, Any], site: str | None = None) -> str:
    """Return the BibTeX entry of a ``CITATION.cff``, with the address of the hosted book."""
    names = [
        one.get("name") or f"{one['family-names']}, {one['given-names']}"
        for one in citation["authors"]
    ]
    # An organisation's name in braces, or BibTeX takes it apart.
    authors = " and ".join(name if ", " in name else f"{{{name}}}" for name in names)
    fields = {
        "title": f"{{{citation['title']}}}",
        "author": authors,
        "year": str(date.fromisoformat(str(citation["date-released"])).year),
        "version": citation["version"],
        "url": site or citation.get("repository-code") or citation.get("url"),
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join(["@software{onebound,", *lines, "}"])


def _fill(app: Sphinx, doctree: nodes.document, name: str) -> None:
    for left in list(doctree.findall(place)):
        left.replace_self(list(WRITERS[left["directive"]](app, name)))


def _repository(app: Sphinx) -> Repository | None:
    found = getattr(app.config, "bookbuild_repository", None)
    return Repository(**found) if found else None


def _entry(app: Sphinx, _: str) -> Iterator[nodes.Node]:
    citation = yaml.safe_load(Path(app.srcdir).parent.joinpath("CITATION.cff").read_text("utf-8"))
    repository = _repository(app)
    entry = bibtex(citation, repository.site if repository else None)
    yield nodes.literal_block(entry, entry, language="bibtex")


def _releases(app: Sphinx, _: str) -> Iterator[nodes.Node]:
    if repository := _repository(app):
        link = nodes.reference("", "release", refuri=f"{repository.url}/releases")
        rest = (
            " has the book as one PDF, and all pages as an archive to be read from disk, each with "
            "its SHA-256."
        )
        yield nodes.paragraph("", "", nodes.Text("Each "), link, nodes.Text(rest))


def _record(app: Sphinx, here: str) -> Iterator[nodes.Node]:
    root = Path(app.srcdir).parent
    runs = dict(_runs(app, root))
    machines = list(dict.fromkeys(_machine(run) for run in runs.values()))
    several = len(machines) > 1
    rows: list[list[Cell]] = []
    for name, run in runs.items():
        link = nodes.reference(
            "", app.env.titles[name].astext(), refuri=app.builder.get_relative_uri(here, name)
        )
        link["internal"] = True
        rows.append(
            [
                nodes.inline("", "", link),
                f"{run['seconds']:.0f}",
                "not known"
                if run["processor_seconds"] is None
                else f"{run['processor_seconds']:.0f}",
                f"{run['peak_megabytes']}" if run["peak_megabytes"] else "not known",
                datetime.fromisoformat(run["date"]).strftime("%Y-%m-%d %H:%M"),
                *([str(machines.index(_machine(run)) + 1)] if several else []),
            ]
        )
    total = sum(run["seconds"] for run in runs.values())
    yield nodes.paragraph("", f"All pages together ran for {total / 60:.0f} minutes.")
    head = [
        "Page",
        "Seconds",
        "of the processor",
        "Peak memory (MB)",
        "Executed (UTC)",
        *(["Machine"] if several else []),
    ]
    yield table("When each page last ran, how long, and in how much memory", head, rows)
    yield table(
        "Where the pages ran",
        ["Machine", "Processor", "Cores", "Memory (GB)", "System"],
        [[str(n), *one] for n, one in enumerate(machines, 1)],
    )
    found = _versions(runs.values()) | {name: metadata.version(name) for name in BUILDERS}
    yield table(
        "What ran them, and what made pages of them", ["Software", "Version"], found.items()
    )


def _studies(app: Sphinx, _: str) -> Iterator[nodes.Node]:
    rows: list[list[Cell]] = []
    for one in records(Path(app.srcdir).parent / "code"):
        first, last = (date[:10] for date in one.dates)
        rows.append(
            [
                one.name,
                str(one.runs),
                f"{one.seconds / 60:.0f}",
                first if first == last else f"{first} to {last}",
                ", ".join(one.processors),
                {0: "changed", one.runs: "the same"}.get(
                    one.same, f"changed for {one.runs - one.same}"
                ),
            ]
        )
    head = ["Study", "Runs", "Minutes", "Made (UTC)", "Processor", "Code since"]
    yield table("When and where the studies ran", head, rows)


def _runs(app: Sphinx, root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the record of each page that has code, in the order of the book."""
    markdown = markdown_config(root)
    for name in _in_order(app):
        page = read_page(root, name, markdown)
        if page.cells:
            yield name, run_of(current_folder(root, page))


def _versions(runs: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return the versions of what executed the pages, all of them where they differ."""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        for name, version in run["versions"].items():
            found.setdefault(name, {})[version] = None
    return {name: ", ".join(all_of_them) for name, all_of_them in found.items()}


def _in_order(app: Sphinx) -> Iterable[str]:
    names = [app.config.root_doc]
    for name in names:
        names += app.env.toctree_includes.get(name, [])
    return dict.fromkeys(names)


def _machine(run: dict[str, Any]) -> tuple[str, ...]:
    told = run.get("machine") or {}  # builds before this page did not ask
    parts = [told.get(name) for name in ("processor", "cores", "gigabytes", "system")]
    return tuple("not recorded" if part is None else str(part) for part in parts)


def table(title: str, head: Iterable[Cell], rows: Iterable[Iterable[Cell]]) -> nodes.table:
    """Return a table with a title and one row of headings."""
    head, rows = list(head), [list(row) for row in rows]
    group = nodes.tgroup("", *[nodes.colspec(colwidth=1) for _ in head], cols=len(head))
    group += nodes.thead("", _row(head))
    group += nodes.tbody("", *map(_row, rows))
    return nodes.table("", nodes.title("", title), group, ids=[nodes.make_id(title)])


def _row(cells: Iterable[Cell]) -> nodes.row:
    texts = [nodes.Text(cell) if isinstance(cell, str) else cell for cell in cells]
    return nodes.row("", *[nodes.entry("", nodes.paragraph("", "", text)) for text in texts])


WRITERS: dict[str, Callable[[Sphinx, str], Iterator[nodes.Node]]] = {
    "build-record": _record,
    "study-record": _studies,
    "bibtex-entry": _entry,
    "releases": _releases,
}
