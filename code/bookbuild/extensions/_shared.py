"""What the pages of the book share: what the HTML of one can depend on besides its own source.

Sphinx writes a page from its own document, from the environment, which holds titles, numbers,
labels, the table of contents, citations and so on of all pages, and from files. If all that is as
it was when a page was written, so would be its HTML, and it need not be written again: mostly so
after an edit of prose on another page. Whatever else in the environment changes, known here or not,
has all pages written.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.environment import BuildEnvironment

from bookbuild.source.memory import digest

# What of the environment no page is written from. Sphinx itself compares the configuration.
LEFT_OUT = {
    *("app", "config", "config_status", "config_status_extra", "events", "project", "settings"),
    *("domains", "doctreedir", "srcdir"),  # where the book lies, and what holds `domaindata`
    *("all_docs", "dependencies", "included", "reread_always"),  # when a page is to be read again
    *("ref_context", "temp_data", "titles_old"),  # scratch of reading
    *("nb_metadata", "nb_new_exec_data"),  # MyST-NB's times, for a table that the book lacks
    "mystnb_config",  # the configuration, with where the outputs of the page read last lie
    # Lines on which exercises and solutions begin, for reading and for messages.
    *("sphinx_exercise_gated_registry", "sphinx_exercise_node_order"),
    # Of this build: what is to be written and what was; what `bookbuild_equation_sources` covers.
    *("bookbuild_shared", "bookbuild_all_written", "bookbuild_written"),
    *("bookbuild_equations", "bookbuild_markdown", "bookbuild_pages_with_code"),
}
OF_A_PAGE = {"source_map", "wordcount"}  # metadata: the lines of its cells, its length
FOR_MESSAGES = {"line"}


def shared(env: BuildEnvironment) -> str:
    """Return a hash of it."""
    known = {
        name: value
        for name, value in vars(env).items()
        if name not in LEFT_OUT and not name.startswith("_")
    }
    known["metadata"] = {
        page: {name: told for name, told in metadata.items() if name not in OF_A_PAGE}
        for page, metadata in env.metadata.items()
    }
    domains = dict(env.domaindata)
    if cite := domains.get("cite"):  # whose citations come in the order in which pages were read
        refs = sorted(cite["citation_refs"], key=lambda ref: ref.docname)
        domains["cite"] = {**cite, "citation_refs": refs}
    math = domains.get("math", {})  # of the pages that have equations, each asks for itself alone
    domains["math"] = {name: told for name, told in math.items() if name != "has_equations"}
    known["domaindata"] = domains
    return digest(canonical(known), *_files(Path(env.srcdir)))


def _files(book: Path) -> Iterable[str | bytes]:
    """Yield what lies beside the pages: style sheets, pictures, the bibliography."""
    for file in sorted(book.rglob("*")):
        if file.is_file() and file.suffix != ".md":
            yield from (file.relative_to(book).as_posix(), file.read_bytes())


def canonical(value: Any) -> str:
    """Return a text that is the same for equal values, whatever order they were built in."""
    match value:
        case nodes.Text():
            return f"text {str(value)!r}"
        case nodes.Node():
            return value.pformat()
        case str() | int() | float() | bytes() | None:
            return repr(value)
        case Mapping():
            pairs = ((canonical(k), canonical(v)) for k, v in value.items())
            return f"{{{', '.join(f'{k}: {v}' for k, v in sorted(pairs))}}}"
        case set() | frozenset():
            return f"{{{', '.join(sorted(map(canonical, value)))}}}"
        case tuple() if hasattr(value, "_asdict"):
            return _of_parts(value, value._asdict())
        case list() | tuple():
            return f"[{', '.join(map(canonical, value))}]"
        case type():
            return value.__qualname__
        case Path():
            return repr(str(value))
        case _ if hasattr(value, "__dict__"):
            return _of_parts(value, vars(value))
        case _ if hasattr(value, "__slots__"):
            names = [name for name in value.__slots__ if hasattr(value, name)]
            return _of_parts(value, {name: getattr(value, name) for name in names})
    return repr(value)  # of what is unknown it may hold an address, and then all is written


def _of_parts(value: Any, parts: Mapping[str, Any]) -> str:
    said = {name: part for name, part in parts.items() if name not in FOR_MESSAGES}
    return f"{type(value).__qualname__} {canonical(said)}"
