"""The Sphinx extension that gives pictures their size, and the keyboard every box that scrolls.

A picture whose size a page does not say pushes down what the reader is reading when it arrives. A
box that scrolls and that the Tab key does not stop at hides its end from whoever has no mouse. The
theme gives some of them a stop, but knows no formulas, and thinks of a turned phone late.
"""

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

from PIL import Image
from sphinx.application import Sphinx

from bookbuild.extensions.written import written

PIXELS = {"": 1, "px": 1, "pt": 4 / 3, "pc": 16, "in": 96, "cm": 96 / 2.54, "mm": 96 / 25.4}
BOXES = "pre, .output, .pst-scrollable-table-container, div.math > mjx-container"
REACH = f"""{{
  const reach = (box) => {{
    if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }};
  const resized = new ResizeObserver((changes) => changes.forEach(({{target}}) => reach(target)));
  addEventListener("DOMContentLoaded", () => {{
    const boxes = document.querySelectorAll("{BOXES}");
    boxes.forEach((box) => resized.observe(box));
    document.fonts.ready.then(() => boxes.forEach(reach));
  }});
}}"""

_IMAGE = re.compile(r'<img (?:width="\d+" height="\d+" )?([^>]*\bsrc="([^":]+)"[^>]*)>')
_SIZED = re.compile(r'\b(width|height)="')


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension; Sphinx calls this."""
    app.add_js_file(None, body=REACH)
    app.setup_extension("bookbuild.extensions.written")
    app.connect("build-finished", _give_sizes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _give_sizes(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    for page in written(app):
        before = page.read_text(encoding="utf-8")
        after = with_sizes(before, page.parent)
        if after != before:
            page.write_text(after, encoding="utf-8")


def with_sizes(html: str, folder: Path) -> str:
    """Return a page that lies in `folder` with the size of each picture that lies beside it.

    The style sheet may show a picture smaller: what counts then is the ratio.
    """

    def sized(image: re.Match[str]) -> str:
        rest, source = image.groups()
        file = folder / unquote(source)
        if _SIZED.search(rest) or not file.is_file():
            return image[0]
        width, height = map(round, size_of(file))
        return f'<img width="{width}" height="{height}" {rest}>'

    return _IMAGE.sub(sized, html)


def size_of(picture: Path) -> tuple[float, float]:
    """Return the width and height in pixels at which a browser shows a picture by itself."""
    if picture.suffix != ".svg":
        with Image.open(picture) as image:
            return image.size
    _, root = next(ElementTree.iterparse(picture, events=["start"]))
    width, height = (_pixels(root.get(name)) for name in ("width", "height"))
    if width is None or height is None:
        _, _, width, height = map(float, re.split(r"[\s,]+", root.attrib["viewBox"].strip()))
    return width, height


def _pixels(length: str | None) -> float | None:
    found = re.fullmatch(r"([0-9.]+)(px|pt|pc|in|cm|mm|)", length or "")
    return float(found[1]) * PIXELS[found[2]] if found else None
