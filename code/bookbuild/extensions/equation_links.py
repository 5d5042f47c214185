"""The Sphinx extension that leads from an equation to its code and its tests, and lists them all.

Under a labelled equation stands one small line of links, and where a page says
``{equation-index}`` the table of all equations. Both are made when a page is written, from
`bookbuild.source.equations`, so no page has to be read or executed again for them. The links lead
to copies of the source files on pages of their own; the table leads to the lines in the repository
too, wherever that is known.
"""

import hashlib
import html
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

from bookbuild.source.equations import Equation, Place, index
from bookbuild.source.repository import Repository

FOLDER = "_modules"  # of the pages that show source files


class equation_index(nodes.General, nodes.Element):
    """The place of the table; docutils names nodes in lower case."""


class _Directive(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        return [equation_index()]


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension; Sphinx calls this."""
    app.add_node(equation_index)
    app.add_directive("equation-index", _Directive)
    app.connect("env-get-outdated", _note_the_index)
    app.connect("doctree-resolved", _show)
    app.connect("html-collect-pages", _source_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _note_the_index(app: Sphinx, env: BuildEnvironment, *_: set[str]) -> list[str]:
    """Note the index: once it is another, `executed` has all pages written."""
    env.bookbuild_equations = index(app.srcdir.parent)
    digest = hashlib.sha256(repr(env.bookbuild_equations).encode())
    for file in _files(env.bookbuild_equations):
        digest.update((app.srcdir.parent / file).read_bytes())
    env.bookbuild_equation_sources = digest.hexdigest()
    return []


def _show(app: Sphinx, doctree: nodes.document, page: str) -> None:
    places = list(doctree.findall(equation_index))
    if app.builder.format != "html":
        for place in places:
            place.parent.remove(place)
        return
    here = {e.label: e for e in app.env.bookbuild_equations if e.page == page}
    for block in list(doctree.findall(nodes.math_block)):
        equation = here.get(block.get("label"))
        if equation and (equation.code or equation.tests):
            block.parent.insert(block.parent.index(block) + 1, _line(app, page, equation))
    for place in places:
        place.replace_self(_table(app, page))


def _line(app: Sphinx, page: str, equation: Equation) -> nodes.paragraph:
    """Return ``code name, name · tests 1, 2``; a link's title says which test it is."""
    line = nodes.paragraph(classes=["equation-links"])
    names = [_link(app, page, place, nodes.literal("", place.called)) for place in equation.code]
    if names:
        line += [nodes.Text("code "), *_with_commas(names)]
    if len(equation.tests) == 1:
        tests = [_link(app, page, equation.tests[0], nodes.Text("test"))]
    else:
        tests = [
            _link(app, page, test, nodes.Text(str(n))) for n, test in enumerate(equation.tests, 1)
        ]
    if tests:
        line += [nodes.Text(" · " if names else ""), nodes.Text("tests " if len(tests) > 1 else "")]
        line += _with_commas(tests)
    return line


def _link(app: Sphinx, page: str, place: Place, shown: nodes.Node) -> nodes.reference:
    uri = app.builder.get_relative_uri(page, _page_of(place.file))
    anchor = f"#{place.name}" if place.name else ""
    title = f"{place.file}: {place.name}"
    return nodes.reference("", "", shown, internal=True, refuri=uri + anchor, reftitle=title)


def _page_of(file: str) -> str:
    return f"{FOLDER}/{file.removesuffix('.py')}"


def _with_commas(parts: list[nodes.Node]) -> list[nodes.Node]:
    return [node for part in parts for node in (nodes.Text(", "), part)][1:]


# ---- the table


def _table(app: Sphinx, page: str) -> nodes.table:
    repository = _repository(app)
    body = nodes.tbody()
    chapter = None
    for equation in app.env.bookbuild_equations:
        if equation.page != chapter:
            chapter = equation.page
            body += _chapter_row(app, page, chapter)
        code = [_entry(app, page, place, repository, place.called) for place in equation.code]
        tests = [_entry(app, page, test, repository, test.sentence) for test in equation.tests]
        kind = nodes.emphasis("", KINDS[equation.kind]) if equation.kind else nodes.Text("")
        body += nodes.row(
            "",
            nodes.entry("", nodes.paragraph("", "", *_equation(app, page, equation))),
            nodes.entry("", *(code or [nodes.paragraph("", "", kind)])),
            nodes.entry("", *tests),
        )
    group = nodes.tgroup("", *(nodes.colspec(colwidth=w) for w in (24, 34, 42)), cols=3)
    heads = ("Equation", "Code", "What is tested")
    row = nodes.row("", *(nodes.entry("", nodes.paragraph("", head)) for head in heads))
    group += [nodes.thead("", row), body]
    return nodes.table("", group, classes=["equation-index"])


KINDS = {"definition": "definition", "derivation": "derivation", "cell": "a cell of the page"}


def _chapter_row(app: Sphinx, page: str, chapter: str) -> nodes.row:
    number = ".".join(map(str, app.env.toc_secnumbers.get(chapter, {}).get("", ())))
    title = f"{number} {app.env.titles[chapter].astext()}".strip()
    uri = app.builder.get_relative_uri(page, chapter)
    link = nodes.reference("", "", nodes.strong("", title), internal=True, refuri=uri)
    return nodes.row("", nodes.entry("", nodes.paragraph("", "", link), morecols=2))


def _equation(app: Sphinx, page: str, equation: Equation) -> list[nodes.Node]:
    domain = app.env.get_domain("math")
    link = domain.resolve_xref(app.env, page, app.builder, "eq", equation.label, None, None)
    return [link, nodes.Text(" " + equation.label.removeprefix("eq-").replace("-", " "))]


def _entry(
    app: Sphinx, page: str, place: Place, repository: str | None, shown: str
) -> nodes.paragraph:
    text = nodes.literal("", shown) if shown == place.called else nodes.Text(shown)
    paragraph = nodes.paragraph("", "", _link(app, page, place, text))
    if repository:
        uri = f"{repository}/{place.file}#L{place.line}"
        line = nodes.reference("", f"line {place.line}", internal=False, refuri=uri)
        paragraph += [nodes.Text(" "), line]
    return paragraph


def _repository(app: Sphinx) -> str | None:
    """Return where the files of this build can be seen, if it is known (`buttons` finds it)."""
    known = getattr(app.config, "bookbuild_repository", None)
    repository = Repository(**known) if known else None
    return f"{repository.url}/blob/{repository.ref}" if repository and repository.ref else None


# ---- pages with source


def _files(equations: list[Equation]) -> dict[str, list[Place]]:
    """Return the files to show, and what is linked in each."""
    files: dict[str, list[Place]] = {}
    for place in sorted({place for e in equations for place in (*e.code, *e.tests)}):
        files.setdefault(place.file, []).append(place)
    return files


def _source_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    if not app.env.bookbuild_all_written and Path(app.outdir, FOLDER).is_dir():
        return
    shutil.rmtree(Path(app.outdir, FOLDER), ignore_errors=True)  # what is no longer linked
    for file, places in _files(app.env.bookbuild_equations).items():
        text = (app.srcdir.parent / file).read_text(encoding="utf-8")
        lines = app.builder.highlighter.highlight_block(text, "python").splitlines()
        for place in places:
            if place.name:
                line = lines[place.line - 1]
                lines[place.line - 1] = (
                    f'<span class="equation-code" id="{place.name}">{line}</span>'
                )
        # A path is one long word, and a phone is narrow.
        title = re.sub("([/_])", r"\1<wbr>", html.escape(file))
        body = "\n".join([f"<h1>{title}</h1>", *lines])
        yield _page_of(file), {"title": file, "body": body}, "page.html"
