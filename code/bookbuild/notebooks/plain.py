"""MyST Markdown as plain Markdown and LaTeX, for readers whose Jupyter knows no MyST.

References become the number or title that they stand for, linked to the hosted page if they lead to
another one; citations become author and year; a value that a cell has handed to the prose becomes
that value; the book's own TeX commands are written out, since no notebook knows them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pybtex.database import BibliographyData, Entry

from bookbuild.notebooks.myst import Code, Directive, Label, Maths, Prose, blocks
from bookbuild.notebooks.targets import KINDS, Target, chapter_in_words

# The first alternative that matches at a place wins: nothing inside code or mathematics is a role.
_INLINE = re.compile(
    r"""
      \{(?P<role>[\w:-]+)\}(?P<quote>`+)(?P<content>.+?)(?P=quote)(?!`)
    | (?P<ticks>`+)(?!`)(?P<code>.+?)(?<!`)(?P=ticks)(?!`)
    | \\begin\{(?P<environment>[a-z]+\*?)\}(?P<inside>.*?)\\end\{(?P=environment)\}
    | (?<![\\$])\$(?![\s$])(?P<tex>[^$]+?)(?<![\s\\])\$(?!\d)
    | (?P<image>!?)\[(?P<text>[^\]\n]*)\]\((?P<link>[^)\s]+)\)
    """,
    re.VERBOSE | re.DOTALL,
)
# What ends the paragraph before, or stands in front of the first word of one.
_PARAGRAPH = re.compile(r"(?:\A|\n)\s*(?:[-*+]|\d+\.|\#+)\s|\n\s*\n|\|")
_WITH_TEXT = re.compile(r"(?P<text>.+?)\s*<(?P<target>[^<>]+)>", re.DOTALL)
# A command that takes one token as its argument takes only the first of an expanded command.
_TAKES_TOKEN = re.compile(
    r"(?:\\(?:hat|bar|tilde|widehat|widetilde|overline|underline|vec|dot|ddot|sqrt|[dt]?frac)"
    r"|[_^])\s*$"
)

Macros = Mapping[str, str | list[Any]]


@dataclass
class Context:
    """What the text of a page refers to.

    Attributes
    ----------
    page
        The page's name.
    targets
        Everything with a label in the book.
    values
        What the cells of each page have handed to the prose, by page.
    entries
        The bibliography.
    macros
        The book's TeX commands, as MathJax is told them.
    site
        The address of the hosted book, ending in a slash; None if there is none.
    cited
        The keys of what the text has cited so far, in order.
    named
        The numbers of the chapters whose titles it has said so far.
    """

    page: str
    targets: Mapping[str, Target]
    values: Mapping[str, Mapping[str, str]]
    entries: BibliographyData
    macros: Macros
    site: str | None
    cited: list[str] = field(default_factory=list)
    named: set[str] = field(default_factory=set)


def plain(text: str, context: Context) -> str:
    """Return a piece of MyST Markdown as plain Markdown."""
    pieces = [_block(block, context) for block in blocks(text)]
    return "\n\n".join(piece.strip("\n") for piece in pieces if piece.strip())


def _block(block: Prose | Code | Maths | Label | Directive, context: Context) -> str:
    match block:
        case Prose(text):
            return inline(text, context)
        case Code(text):
            return text
        case Maths(tex, label):
            tag = f" \\tag{{{context.targets[label].number}}}" if label else ""
            return f"$$\n{expand(tex, context.macros)}{tag}\n$$"
        case Label():
            return ""
        case Directive():
            return _directive(block, context)


def _directive(block: Directive, context: Context) -> str:
    """Return a directive as paragraphs, the first with a bold heading that names it."""
    about = inline(block.argument, context)
    body = plain(block.body, context)
    match block.name:
        case "solution-start":
            exercise = context.targets[block.argument]
            return f"**Solution to {exercise.name}.** {inline(exercise.title, context)}"
        case "solution-end":
            return "---"
        case "figure" | "image" | "live":
            words = block.options.get("alt", "")
            file = f"images/live-{about}.png" if block.name == "live" else block.argument
            image = f"![{words}]({_address(file, context)})" if context.site else words
            return f"{image}\n\n{caption(block.options.get('name'), body, context)}"
        case "math":
            label = block.options.get("label")
            return _block(Maths(block.body, label), context)
        case "prf:proof":
            return f"*Proof.* {body} $\\square$"
        case "dropdown":
            return f"<details>\n<summary>{about}</summary>\n\n{body}\n\n</details>"
        case "admonition" | "hint" | "important" | "note" | "seealso" | "tip" | "warning":
            return f"**{about or block.name.title()}.** {body}"
        case name if name in KINDS:
            target = context.targets.get(block.options.get("label", ""))
            heading = target.name if target else KINDS[name]
            return f"**{heading}{f' ({about})' if about else ''}.** {body}"
        case _:
            return body


def caption(label: str | None, text: str, context: Context) -> str:
    """Return the caption of a figure as a paragraph, with the number of the figure."""
    name = context.targets[label].name if label else "Figure"
    return f"**{name}** {text}"


def inline(text: str, context: Context) -> str:
    """Return lines of text with the roles, the mathematics and the links in them made plain."""

    def one(found: re.Match[str]) -> str:
        if found["role"]:
            before = _PARAGRAPH.split(_INLINE.sub("x", text[: found.start()]))[-1]
            around = before, text[found.end() :]
            return _role(found["role"], found["content"], around, context)
        if found["tex"]:
            return f"${expand(found['tex'], context.macros)}$"
        if found["environment"]:
            return expand(found[0], context.macros)
        if found["link"]:
            return _link(found, context)
        return found[0]

    return _INLINE.sub(one, text)


def expand(tex: str, macros: Macros) -> str:
    """Write out the book's own commands in a piece of TeX."""
    for name, macro in macros.items():
        body, arguments = (macro, 0) if isinstance(macro, str) else macro
        command = re.compile(rf"\\{re.escape(name)}(?![A-Za-z])")
        at = 0
        while found := command.search(tex, at):
            written, end = body, found.end()
            for number in range(1, arguments + 1):
                argument, end = _argument(tex, end)
                written = written.replace(f"#{number}", argument)
            if _TAKES_TOKEN.search(tex[: found.start()]):
                written = f"{{{written}}}"
            elif written[-1:].isalpha() and tex[end : end + 1].isalpha():
                written += " "
            tex, at = tex[: found.start()] + written + tex[end:], found.start()
    return tex


def _argument(tex: str, at: int) -> tuple[str, int]:
    """Return the argument of a command that begins at or after a place, and where it ends."""
    while tex[at].isspace():
        at += 1
    if tex[at] != "{":
        return tex[at], at + 1
    depth = 0
    for end in range(at, len(tex)):
        if tex[end] in "{}" and tex[end - 1] != "\\":
            depth += 1 if tex[end] == "{" else -1
            if depth == 0:
                return tex[at + 1 : end], end + 1
    raise ValueError(f"unbalanced braces in {tex!r}")


def _role(role: str, content: str, around: tuple[str, str], context: Context) -> str:
    """Return a role as text between two parts of its paragraph."""
    found = _WITH_TEXT.fullmatch(content)
    text, target = (found["text"], found["target"]) if found else (None, content)
    match role.split(":"):
        case ["eq"] | ["math", "numref"]:
            known = context.targets.get(target)
            return _to(known, f"({known.number})", context) if known else target
        case ["ref"] | ["prf", "ref"]:
            known = context.targets.get(target)
            name = text or (inline(known.name, context) if known else target)
            if known and known.number and not known.kind and not text:
                name = chapter_in_words(known.number, name, *around, context.named)
            return _to(known, name, context)
        case ["numref"]:
            known = context.targets.get(target)
            number = known.number if known else ""
            name = known.name if known else target
            if text:
                name = text.replace("%s", number).replace("{number}", number)
            return _to(known, name, context)
        case ["cite", *style]:
            return _citations(target, style, context)
        case ["glue", *_] | ["glue"]:
            return _value(content, context)
        case ["doc"]:
            return _page(target, text or target, context)
        case ["math"]:
            return f"${expand(content, context.macros)}$"
        case ["code"] | ["kbd"] | ["py", *_]:
            return f"`{content}`"
        case _:
            return text or content


def _to(target: Target | None, text: str, context: Context) -> str:
    """Return a text that leads to another page, if it can."""
    if target is None or context.site is None or target.page == context.page:
        return text
    return f"[{text}]({context.site}{target.page}.html#{target.place})"


def _page(target: str, text: str, context: Context) -> str:
    name = target.strip("/").removesuffix(".md")
    return f"[{text}]({context.site}{name}.html)" if context.site else text


def _link(found: re.Match[str], context: Context) -> str:
    link, text = found["link"], found["text"]
    if re.match(r"[a-z][a-z0-9+.-]*:", link):
        return found[0]
    if found["image"]:
        return f"![{text}]({_address(link, context)})" if context.site else text
    path, _, place = link.partition("#")
    if not path:
        known = context.targets.get(place)
        return _to(known, text or (inline(known.name, context) if known else place), context)
    if path.endswith(".md"):
        return _page(path, inline(text, context), context)
    return f"[{text}]({_address(link, context)})" if context.site else text


def _address(path: str, context: Context) -> str:
    """Return where the hosted book has an image."""
    return f"{context.site}_images/{path.rpartition('/')[2]}"


def _value(content: str, context: Context) -> str:
    """Return a value that a cell has handed to the prose, or its name if the page has not run."""
    other, _, name = content.rpartition("::")
    page = other.removesuffix(".md") if other else context.page
    return context.values.get(page, {}).get(name, f"`{name}`")


def _citations(keys: str, style: list[str], context: Context) -> str:
    cited = [key.strip() for key in keys.split(",")]
    context.cited += [key for key in cited if key not in context.cited]
    pairs = [author_and_year(context.entries.entries.get(key), key) for key in cited]
    if style[:1] == ["t"]:
        return ", ".join(f"{author} ({year})" for author, year in pairs)
    return f"({'; '.join(f'{author}, {year}' for author, year in pairs)})"


def author_and_year(entry: Entry | None, key: str) -> tuple[str, str]:
    """Return the two parts of a citation."""
    if entry is None:
        return key, "no year"
    people = entry.persons.get("author") or entry.persons.get("editor") or []
    names = [
        " ".join(str(part) for part in person.rich_prelast_names + person.rich_last_names)
        for person in people
    ]
    if len(names) > 2:
        names = [f"{names[0]} *et al.*"]
    return " and ".join(names) or key, entry.fields.get("year", "no year")
