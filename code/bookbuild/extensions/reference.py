"""The Sphinx extension that prints the package's reference and leads to it from the code of pages.

Where a page says ``{api} onebound.vae`` stands what that package's modules define, as
`bookbuild.source.api` reads it. In the cells of every page a name that is imported from
``onebound`` is a link to its entry; for that the finished HTML is read, and nothing is imported.
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from html import escape, unescape
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.domains.python import PythonDomain
from sphinx.util.docutils import SphinxDirective

from bookbuild.source.api import Entry, Module, modules

_CITED = re.compile(r"`\[(eq-[\w-]+)\]`")
_CELL = re.compile(r'(<div class="cell_input[^>]*>.*?<pre>)(.*?)(</pre>)', re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_NAME = r'<span class="n\w*">([\w.]+)</span>'
_DOT = r'<span class="o">\.</span>'
_CHAIN = re.compile(rf"(?<!\.</span>){_NAME}(?:{_DOT}{_NAME})*(?!<span class=\"o\">=</span>)")
_PART = re.compile(_NAME)


class _Reference(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        return [
            self._section(one)
            for one in modules(self.env.srcdir.parent / "code", self.arguments[0])
        ]

    def _section(self, module: Module) -> nodes.section:
        self.env.note_dependency(str(module.file))
        section = nodes.section(ids=[nodes.make_id(module.name)], names=[module.name])
        section += nodes.title("", "", nodes.literal("", module.name))
        lines = [f"```{{py:module}} {module.name}", "```", "", *_text(module.text), ""]
        for entry in module.entries:
            lines += _described(entry, 4)
        self.state.nested_parse(StringList(lines, str(module.file)), 0, section)
        return section


def _described(entry: Entry, fence: int) -> Iterator[str]:
    """Yield the MyST of an entry, one fence within the other."""
    typed = entry.kind in ("property", "attribute")
    yield f"{'`' * (fence + 3)}{{py:{entry.kind}}} {entry.name}{'' if typed else entry.signature}"
    if typed and entry.signature:
        yield f":type: {entry.signature}"
    yield ""
    yield from _text(entry.text)
    for one in entry.within:
        yield from ("", *_described(one, fence - 1))
    yield from ("`" * (fence + 3), "")


def _text(docstring: str) -> list[str]:
    return _CITED.sub(r"{eq}`\1`", docstring).splitlines()


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension; Sphinx calls this."""
    app.add_directive("api", _Reference)
    app.connect("html-page-context", _link_names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _link_names(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    if doctree is None or "body" not in context:
        return
    domain = app.env.get_domain("py")
    assert isinstance(domain, PythonDomain)
    known = {**domain.modules, **domain.objects}

    def address(name: str) -> str:
        return f"{app.builder.get_relative_uri(page, known[name].docname)}#{known[name].node_id}"

    context["body"] = with_links(context["body"], known, address)


def with_links(html: str, known: Mapping[str, Any], address: Callable[[str], str]) -> str:
    """Return a page whose cells link the names that are imported from something known."""
    cells = [unescape(_TAG.sub("", cell)) for _, cell, _ in _CELL.findall(html)]
    meant = _imported(cells)

    def link(chain: re.Match[str]) -> str:
        parts = list(_PART.finditer(chain[0]))
        first, *rest = (part[1] for part in parts)
        for length in range(len(rest), -1, -1):
            name = ".".join([meant.get(first, first), *rest[:length]])
            if name in known:
                end = parts[length].end()
                shown, left = chain[0][:end], chain[0][end:]
                href, title = escape(address(name)), escape(name)
                return f'<a class="api" href="{href}" title="{title}">{shown}</a>{left}'
        return chain[0]

    def linked(cell: re.Match[str]) -> str:
        return cell[1] + _CHAIN.sub(link, cell[2]) + cell[3]

    return _CELL.sub(linked, html) if meant else html


def _imported(cells: list[str]) -> dict[str, str]:
    """Return what each imported name stands for, but for those that the page gives to others."""
    meant: dict[str, str] = {}
    given = set()
    for cell in cells:
        try:
            tree = ast.parse(cell)
        except SyntaxError:  # a magic
            continue
        for node in ast.walk(tree):
            match node:
                case ast.ImportFrom(module=str(module), names=names):
                    meant |= {one.asname or one.name: f"{module}.{one.name}" for one in names}
                case ast.Import(names=names):
                    meant |= {one.asname: one.name for one in names if one.asname}
                case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                    given.add(name)
    return {name: full for name, full in meant.items() if name not in given}
