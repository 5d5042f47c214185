"""The Sphinx extension for what a published site needs besides its pages.

Where the address of the site is known (``html: baseurl`` in ``_config.yml``, or the repository that
builds it), every page names its canonical address and `sitemap.xml` lists them all. The page for
what is not there is served at any depth, so its links start at the root of the host.
"""

import re
import sys
import unicodedata
from base64 import b64decode, b64encode
from contextlib import redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit
from xml.sax.saxutils import escape

from docutils import nodes
from PIL import Image, ImageDraw, ImageFont, ImageOps
from sphinx.application import Sphinx
from sphinx.config import Config

from bookbuild.source.memory import Memory

CARD = "card.png"
SUMMARY = "DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY"
# Paper is white, whatever the screen is.
PRINT_LIGHT = """{
  const page = document.documentElement.dataset;
  let onScreen;
  addEventListener("beforeprint", () => { onScreen = page.theme; page.theme = "light"; });
  addEventListener("afterprint", () => { page.theme = onScreen; });
}"""
_WITH_HOST = re.compile(r'<meta property="og:(?:url|image|image:alt)"[^>]*>\n?')
NOT_FOUND = {
    "title": "No such page",
    "body": "<h1>No such page</h1>\n<p>It may have moved. The list of chapters and the search know "
    "every page that there is.</p>",
}


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension; Sphinx calls this."""
    app.setup_extension("notfound.extension")
    # Its own cards, which this book has none of, take it a second where there is matplotlib.
    sys.modules.setdefault("sphinxext.opengraph._social_cards", None)
    with redirect_stdout(StringIO()):  # it says that it misses them
        app.setup_extension("sphinxext.opengraph")
    app.add_config_value("bookbuild_card", {}, "")
    # What is found is shown with its text, which a browser does not read from disk.
    app.add_js_file(None, body=f"{SUMMARY} &&= location.protocol !== 'file:';")
    app.add_js_file(None, body=PRINT_LIGHT)
    app.connect("config-inited", _tell_address, priority=900)  # whoever knows it has said so
    app.connect("builder-inited", _draw_card)
    app.connect("html-page-context", _say_formulas, priority=400)  # before it is described
    app.connect(
        "html-page-context", _drop_relative_addresses, priority=600
    )  # opengraph's come first
    app.connect("build-finished", _write_sitemap)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _tell_address(app: Sphinx, config: Config) -> None:
    repository = getattr(config, "bookbuild_repository", None) or {}
    address = config.html_baseurl or repository.get("site", "")
    config.html_baseurl = config.ogp_site_url = address
    config.notfound_urls_prefix = urlsplit(address).path or "/"
    config.notfound_context = NOT_FOUND
    config.ogp_image = f"_static/{CARD}"
    config.ogp_image_alt = config.ogp_site_name = config.html_title


def _draw_card(app: Sphinx) -> None:
    static = Path(app.outdir, "_static")
    static.mkdir(parents=True, exist_ok=True)
    title, line = app.config.html_title, app.config.bookbuild_card.get("line", "")
    name = app.config.bookbuild_card.get("picture")
    picture = Path(app.srcdir, name).read_bytes() if name else b""
    memory = Memory(app.srcdir.parent, "card", Path(__file__).read_bytes())
    drawn = memory.recall(title, line, picture, answer=lambda: card(title, line, picture))
    memory.save(forget=True)
    (static / CARD).write_bytes(b64decode(drawn))


def card(title: str, line: str, picture: bytes) -> str:
    """Return what stands for a page where someone shares its address: a PNG file in base64."""
    drawn = Image.new("RGB", (1200, 630))
    draw = ImageDraw.Draw(drawn)
    draw.text((60, 60), title, "white", ImageFont.load_default(96), stroke_width=1)
    draw.text((60, 200), line, "#c8d2dc", ImageFont.load_default(36))
    if picture:
        drawn.paste(ImageOps.contain(Image.open(BytesIO(picture)), (1130, 260)), (35, 330))
    drawn.save(content := BytesIO(), "PNG")
    return b64encode(content.getvalue()).decode()


def _say_formulas(
    app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Put words for the formulas into a page that is written already, and is only described now."""
    for paragraph in list(doctree.findall(nodes.paragraph)) if doctree else []:
        for formula in list(paragraph.findall(nodes.math)):
            words = in_words(formula.astext()) + formula.get("after", "")
            formula.replace_self(nodes.Text(words))
        text = nodes.Text(paragraph.astext())
        paragraph.clear()
        paragraph += text


def _drop_relative_addresses(
    app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Leave out of a preview what it may say with a host alone, where none is known."""
    if not app.config.html_baseurl:
        context["metatags"] = _WITH_HOST.sub("", context.get("metatags", ""))


def in_words(tex: str) -> str:
    """Return a short formula as it reads in a line without mathematics."""

    def word(command: re.Match[str]) -> str:
        name = command[1]
        letter = "SMALL" if name.islower() else "CAPITAL"
        unicode_name = name.upper().replace("MBDA", "MDA")  # as Unicode spells it
        try:
            return unicodedata.lookup(f"GREEK {letter} LETTER {unicode_name}")
        except KeyError:
            return {"dots": "…", "cdot": "·", "mid": "|", "le": "≤", "ge": "≥"}.get(name, name)

    return re.sub(r"[{}]|\\[,;! ]", "", re.sub(r"\\([A-Za-z]+)", word, tex))


def _write_sitemap(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html" and app.config.html_baseurl:
        pages = [app.builder.get_target_uri(name) for name in sorted(app.env.found_docs)]
        sitemap = sitemap_of([urljoin(app.config.html_baseurl, page) for page in pages])
        Path(app.outdir, "sitemap.xml").write_text(sitemap, encoding="utf-8")


def sitemap_of(addresses: list[str]) -> str:
    """Return a sitemap, as sitemaps.org defines it, of these addresses."""
    entries = "".join(f"<url><loc>{escape(address)}</loc></url>\n" for address in addresses)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n' + entries + "</urlset>\n"
    )
