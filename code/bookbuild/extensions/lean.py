"""The Sphinx extension that takes from the pages what they load and do not need.

The theme brings a script of two thousand icons, the search index on every page, a library that runs
code elsewhere, and scripts that hold up the first paint. What is left are a font of the icons that
the book shows, and scripts that wait until the page is read.
"""

import re
import shutil
from base64 import b64decode, b64encode
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pydata_sphinx_theme
import sphinx_book_theme
from fontTools import subset
from fontTools.ttLib import TTFont
from sphinx.application import Sphinx

from bookbuild.extensions.written import written
from bookbuild.source.memory import Memory

THEME = Path(pydata_sphinx_theme.__file__).parent / "theme/pydata_sphinx_theme/static"
BOOK_THEME = Path(sphinx_book_theme.__file__).parent / "theme/sphinx_book_theme/static"
STYLES = (
    THEME / "styles/pydata-sphinx-theme.css",
    BOOK_THEME / "styles/sphinx-book-theme.css",
)
ICON_FONTS = {  # each font of icons: what the theme's style sheet calls it
    "fa-solid-900": ("Font Awesome 6 Free", 900),
    "fa-regular-400": ("Font Awesome 6 Free", 400),
    "fa-brands-400": ("Font Awesome 6 Brands", 400),
}
ICONS_OF_SCRIPTS = {"xmark"}
_ICON = re.compile(r"\bfa-([a-z0-9-]+)")
_GLYPH = re.compile(r'"([\ue000-\uf8ff])"|"\\([ef][0-9a-f]{3})"')
_GLYPHS = re.compile(r'((?:\.fa-[a-z0-9-]+:before,?)+)\{content:"\\([0-9a-f]+)"\}')

_SCRIPT = re.compile(r"[ \t]*<script\b([^>]*)>(.*?)</script>\n?", re.DOTALL)
_STYLE = re.compile(r"[ \t]*<link [^>]*sphinx-thebe\.css[^>]*>\n?")
_VIEWPORT = re.compile(r'[ \t]*<meta name="viewport"[^>]*>\n?')
# Sphinx adds a checksum to the address of a style sheet, if that was there before the page.
_LATE = re.compile(r"((?:/mystnb\.[0-9a-f]+|/icons)\.css)\?v=[0-9a-f]+")
_UNUSED = ("/fontawesome.js", "sphinx-thebe.js", "THEBE_JS_URL", "x-thebe-config", "kernelName =")
_SEARCH = ("searchtools.js", "language_data.js", "searchindex.js")
_MENDED = {
    # The theme decides between light and dark after the first paint: a flash of white in the dark.
    'localStorage.getItem("theme") || "auto"': 'localStorage.getItem("theme") || '
    '(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")',
    # A list has items; what these are called now, no list may hold.
    'role="doc-biblioentry"': 'role="listitem"',
    # Who speaks to a button says what stands on it.
    '<summary aria-label="Toggle hidden content">': "<summary>",
    # The arrow beside a group of pages says nothing by itself.
    '<summary><span class="toctree-toggle"': '<summary aria-label="Show or hide the pages below">'
    '<span class="toctree-toggle"',
    'pst-js-only" title="Search" aria-label="Search" data-bs-placement="bottom" '
    'data-bs-toggle="tooltip">\n <i': 'pst-js-only">\n <i',
}
_NOT_SERVED = (
    "locales",
    "vendor",
    "scripts/fontawesome.js",
    "scripts/fontawesome.js.map",
    "sphinx-thebe.css",
    "sphinx-thebe.js",
)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension; Sphinx calls this."""
    app.add_css_file("icons/icons.css")
    app.setup_extension("bookbuild.extensions.written")
    app.connect("build-finished", _slim_site)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _slim_site(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    for file in written(app):
        before = file.read_text(encoding="utf-8")
        after = slim(before, searches=file.stem == "search")
        if after != before:
            file.write_text(after, encoding="utf-8")
    static = Path(app.outdir, "_static")
    versions = pydata_sphinx_theme.__version__, sphinx_book_theme.__version__
    memory = Memory(app.srcdir.parent, "icons", Path(__file__).read_bytes(), *versions)
    icons = set(ICONS_OF_SCRIPTS)
    for file in Path(app.outdir).rglob("*.html"):
        html = file.read_text(encoding="utf-8")
        icons |= set(memory.recall(html, answer=partial(icons_of, html)))
    files = memory.recall("files", *sorted(icons), answer=lambda: icon_files(icons))
    memory.save(forget=True)
    (static / "icons").mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (static / "icons" / name).write_bytes(b64decode(content))
    for name in _NOT_SERVED:
        path = static / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def slim(html: str, *, searches: bool) -> str:
    """Return a page without what it does not use; `searches` if it is the page of results."""

    def keep(script: re.Match[str]) -> str:
        attributes, body = script.groups()
        if any(name in script[0] for name in (*_UNUSED, *(() if searches else _SEARCH))):
            return ""
        if body.startswith("DOCUMENTATION_OPTIONS.") and not attributes:
            # After the deferred script that defines it.
            return script[0].replace("<script", '<script type="module"', 1)
        if "src=" in attributes and not re.search(r"\b(defer|async)\b", attributes):
            return script[0].replace("<script", "<script defer", 1)
        return script[0]

    if first := _VIEWPORT.search(html):  # three templates give it
        once = f"<head>\n    {first[0].strip()}\n"
        html = _VIEWPORT.sub("", html).replace("<head>\n", once, 1)
    for old, new in _MENDED.items():
        html = html.replace(old, new)
    return _SCRIPT.sub(keep, _LATE.sub(r"\1", _STYLE.sub("", html)))


def icons_of(html: str) -> list[str]:
    """Return the names of the icons that a page shows, and more."""
    return sorted(set(_ICON.findall(html)))


def icon_files(names: set[str]) -> dict[str, str]:
    """Return fonts of these icons alone, and a style sheet under the theme's names for them.

    The files' contents by their names, in base64.
    """
    files = {}
    styles = "".join(file.read_text(encoding="utf-8") for file in STYLES)
    wanted = {
        int(code, 16)
        for selectors, code in _GLYPHS.findall(styles)
        if names & set(_ICON.findall(selectors))
    }
    for itself, code in _GLYPH.findall(_GLYPHS.sub("", styles)):  # those of admonitions and links
        wanted.add(ord(itself) if itself else int(code, 16))
    faces = []
    for name, (family, weight) in ICON_FONTS.items():
        font = TTFont(THEME / f"vendor/fontawesome/webfonts/{name}.ttf")
        if not wanted & font.getBestCmap().keys():
            continue
        subsetter = subset.Subsetter(subset.Options(layout_features=[]))
        subsetter.populate(unicodes=wanted)
        subsetter.subset(font)
        font.flavor = "woff"
        font.save(content := BytesIO())
        files[f"{name}.woff"] = content.getvalue()
        faces.append(
            f'@font-face {{font-family: "{family}"; font-weight: {weight}; '
            f'font-display: block; src: url({name}.woff) format("woff");}}\n'
        )
    files["icons.css"] = "".join(faces).encode()
    return {name: b64encode(content).decode() for name, content in files.items()}
