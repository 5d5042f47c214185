"""What a label of the book is called: the number of an equation, the title of a section.

A chapter has both. The first reference on a page says "chapter 4 (A title)", every later one
"chapter 4", as does one in or before parentheses and a possessive; at the start of a sentence it
has a capital.

Sphinx numbers while it renders. A notebook is made without rendering, so the rules are written down
here once more; a test compares them with a page that Sphinx has made.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bookbuild.notebooks.myst import Block, Directive, Label, Maths, Prose, blocks
from bookbuild.source.chapters import Page

# What a directive is called where the text refers to it, of those that Sphinx numbers.
PROVED = ("algorithm", "axiom", "corollary", "definition", "example", "lemma", "proposition")
KINDS = {
    "exercise": "Exercise",
    "figure": "Fig.",
    "live": "Fig.",
    **{f"prf:{name}": name.title() for name in (*PROVED, "property", "remark", "theorem")},
}

_SENTENCE = re.compile(r"""(?:^|[.?!])[\s*_"“]*$""")  # where one begins
_BARE = re.compile(r"\s*\(|['’]s\b")  # what a title in parentheses cannot be followed by


@dataclass(frozen=True)
class Target:
    """Something with a label.

    Attributes
    ----------
    page
        The name of the page that it stands on.
    place
        The `id` of its place on that page.
    kind
        What it is called, such as ``Fig.``; empty for an equation or a section.
    number
        Its number, for a page in a numbered part that of the chapter; empty for another section.
    title
        The title of a section or an exercise, as MyST Markdown; else empty.
    """

    page: str
    place: str
    kind: str = ""
    number: str = ""
    title: str = ""

    @property
    def name(self) -> str:
        """What a reference to it says."""
        return f"{self.kind} {self.number}".strip() if self.kind else self.title


def chapter_in_words(number: str, title: str, before: str, after: str, named: set[str]) -> str:
    """Return what a reference to a chapter says between two parts of its paragraph.

    `named` holds the numbers of those whose titles the page has said, and gets this one.
    """
    words = f"{'Chapter' if _SENTENCE.search(before) else 'chapter'} {number}"
    if number in named or before.count("(") > before.count(")") or _BARE.match(after):
        return words
    named.add(number)
    return f"{words} ({title})"


def find_targets(root: Path, pages: Iterable[Page]) -> dict[str, Target]:
    """Return everything in the book that has a label, by label."""
    chapters = chapter_numbers(root)
    counts: Counter[tuple[str, str]] = Counter()  # of each kind within a chapter
    found: dict[str, Target] = {}
    for page in pages:
        chapter = chapters.get(page.name, "")
        pending: list[str] = []  # labels that wait for what they name

        def number(kind: str, chapter: str = chapter) -> str:
            counts[kind, chapter] += 1
            return f"{chapter}.{counts[kind, chapter]}".lstrip(".")

        for cell in page.notebook.cells:
            if cell.cell_type == "code":
                if name := figure_name(cell):
                    found[name] = Target(page.name, name, "Fig.", number("figure"))
                continue
            for block in _deep(cell.source):
                match block:
                    case Label(name):
                        pending.append(name)
                    case Maths(_, label) if label:
                        given = number("equation")
                        found[label] = Target(page.name, f"equation-{label}", "", given)
                    case Directive(name, argument, options, _) if name in KINDS:
                        kind = "figure" if name == "live" else name
                        given = number(kind) if "nonumber" not in options else ""
                        if label := options.get("label", options.get("name")):
                            found[label] = Target(page.name, label, KINDS[name], given, argument)
                    case Directive(name="solution-start", argument=about, options=options):
                        if label := options.get("label"):
                            name = f"Solution to {found[about].name}" if about in found else ""
                            found[label] = Target(page.name, label, title=name)
                    case Prose() if block.title:
                        for label in pending:
                            given = chapter if block.text.lstrip("\n").startswith("# ") else ""
                            found[label] = Target(page.name, label, "", given, block.title)
                if not isinstance(block, Label):
                    pending = []
    return found


def _deep(text: str) -> Iterator[Block]:
    """Yield the blocks of a text, and after each directive those within it, in order."""
    for block in blocks(text):
        yield block
        if isinstance(block, Directive):
            yield from _deep(block.body)


def figure_name(cell: Any) -> str | None:
    """Return the label of the figure that a code cell draws."""
    return cell.metadata.get("mystnb", {}).get("figure", {}).get("name")


def chapter_numbers(root: Path) -> dict[str, str]:
    """Return the numbers of the pages in numbered parts; they go on from part to part."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    numbered = [
        entry["file"].removesuffix(".md")
        for part in toc.get("parts", [])
        if part.get("numbered")
        for entry in part.get("chapters", [])
    ]
    return {name: str(number) for number, name in enumerate(numbered, 1)}
