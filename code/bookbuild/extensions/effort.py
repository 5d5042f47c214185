"""The Sphinx extension that says under the title of a chapter what it will cost the reader.

A chapter is a page whose first label begins with ``ch-``. All is counted, and said as what it is:
the time to read its main line, the processor time of its cells, and how much displayed mathematics
there is, which is as near to difficulty as a count can come.
"""

import math
import re
from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from bookbuild.run.cache import current_folder, run_of
from bookbuild.source.chapters import markdown_config, read_page
from bookbuild.source.shape import Shape, shape_of

WORDS_A_MINUTE = 200
SECONDS_A_LINE = 5  # of open code
SECONDS_A_FORMULA = 20  # a line of displayed mathematics
LITTLE, MUCH = 6, 40  # such lines on a page
_CHAPTER = re.compile(r"^\(ch-[\w-]+\)=$", re.MULTILINE)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension; Sphinx calls this."""
    app.connect("doctree-read", _say)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _say(app: Sphinx, doctree: nodes.document) -> None:
    root = app.srcdir.parent
    markdown = markdown_config(root)
    page = read_page(root, app.env.docname, markdown)
    title = next(iter(doctree.findall(nodes.title)), None)
    if title is None or not _CHAPTER.search(page.path.read_text(encoding="utf-8")):
        return
    folder = current_folder(root, page) if page.cells else None
    run = run_of(folder) if folder and folder.is_dir() else {}
    line = effort(shape_of(page, markdown), run.get("processor_seconds"))
    # As HTML, so that no description of the page begins with it.
    title.parent.insert(title.parent.index(title) + 1, nodes.raw("", line, format="html"))


def effort(shape: Shape, seconds: float | None) -> str:
    """Return the line; `seconds` are those of the processor, if they are known."""
    parts = [
        (
            f"{minutes(shape)} minutes to read",
            f"The main line: {WORDS_A_MINUTE} words a minute, {SECONDS_A_LINE} seconds for a line "
            f"of code, {SECONDS_A_FORMULA} for a line of displayed mathematics",
        )
    ]
    if seconds is not None:
        parts.append(
            (f"{duration(seconds)} to run", "Processor time of its cells when they last ran")
        )
    parts.append(
        (
            f"{amount(shape.formulas)} mathematics",
            f"Lines of displayed mathematics in the main line: {shape.formulas}. Less than "
            f"{LITTLE} are called little, {MUCH} and more much",
        )
    )
    spans = (f'<span title="{escape(why)}">{escape(what)}</span>' for what, why in parts)
    return f'<p class="effort">{" · ".join(spans)}</p>\n'


def minutes(shape: Shape) -> int:
    """Return how long the main line takes, in minutes; from ten on, in steps of five."""
    seconds = SECONDS_A_LINE * shape.lines + SECONDS_A_FORMULA * shape.formulas
    exact = shape.words / WORDS_A_MINUTE + seconds / 60
    return 5 * round(exact / 5) if exact >= 10 else max(1, round(exact))


def duration(seconds: float) -> str:
    """Return a time that will be another on the next machine, as exactly as that is worth."""
    if seconds < 90:
        count, unit = max(5, 5 * math.ceil(seconds / 5)), "second"
    else:
        count, unit = round(seconds / 60), "minute"
    return f"{count} {unit}s"


def amount(formulas: int) -> str:
    """Return how much displayed mathematics that is."""
    return "little" if formulas < LITTLE else "some" if formulas < MUCH else "much"
