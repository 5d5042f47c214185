"""The whole book in one file, ``_build/onebound.pdf``, as Chromium prints it.

The pages are put into one document first: so a link from one chapter to another leads there on
paper too, the pages are numbered through, and the browser makes the bookmarks from the headings.
"""

import logging
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from bs4 import BeautifulSoup, PageElement, Tag

from bookbuild.checks.browser import find_chromium
from bookbuild.source.chapters import BookError, page_names

PDF = Path("_build/onebound.pdf")
PATIENCE = 1_800_000  # milliseconds; the book is long and a busy machine slow
SCALE = 0.8  # of a pixel on the screen: a line of code of 100 characters fits on A4
HEADINGS = "h1, h2, h3, h4, h5, h6, [role=heading]"
FOOTER = """<p style="font: 8px sans-serif; text-align: center; width: 100%">
<span class="pageNumber"></span></p>"""
STYLE = """
@page { size: A4; margin: 18mm 16mm 20mm; }
body { display: block; min-height: 0; }
.bd-main .bd-content { display: block; margin: 0; }
.bd-main .bd-content .bd-article-container { max-width: none; overflow: visible; padding: 0; }
.bd-main .bd-content article.bd-article { break-before: page; padding: 0; }
.bd-main .bd-content article.bd-article:first-of-type { break-before: auto; }
.bd-main .bd-content .bd-article h1:first-of-type { display: block; margin-top: 0; }
.bd-main .bd-content table { break-inside: auto; font-size: 0.85em; }
p { orphans: 2; widows: 2; }
p.caption { break-after: avoid; }
tr, figure, img, div.math, div.highlight, pre, .cell_input { break-inside: avoid; }
.bd-content div.highlight pre { font-size: 0.78em; overflow: visible; white-space: pre-wrap; }
.toctree-wrapper li, .toctree-wrapper p.caption { line-height: 1.4; margin-block: 0.25rem; }
.pst-scrollable-table-container, div.math, div.math > mjx-container { overflow: visible; }
.equation-links { display: none; }
"""


def print_book(root: Path) -> Path:
    """Print the built book; the file is complete or is not there.

    Raises
    ------
    BookError
        If the book is not built, or no Chromium is found.
    """
    # Not everybody who builds the book has it.
    from playwright.sync_api import sync_playwright

    html = root / "_build/html"
    names = page_names(root)
    if not all((html / f"{name}.html").is_file() for name in names):
        raise BookError("the book is not built: run `make book` first")
    whole, partial = root / "_build/.onebound.html", root / "_build/.onebound.pdf"
    document = one_document(html, names)
    whole.write_text(str(document), encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium())
        page = browser.new_page(color_scheme="light")
        page.set_default_timeout(PATIENCE)
        page.goto(whole.as_uri())
        page.evaluate("document.fonts.ready.then(() => null)")
        page.pdf(
            path=partial,
            prefer_css_page_size=True,
            print_background=True,
            scale=SCALE,
            display_header_footer=True,
            header_template="<p></p>",
            footer_template=FOOTER,
            outline=True,
            tagged=True,
        )
        browser.close()
    name_bookmarks(partial, headings(document))
    whole.unlink()
    return partial.rename(root / PDF)


def one_document(html: Path, names: list[str]) -> BeautifulSoup:
    """Return the pages of these names, in this order, as one that lies beside the folder `html`."""
    whole = None
    for name in names:
        text = (html / f"{name}.html").read_text(encoding="utf-8")
        page = BeautifulSoup(text, "html.parser")
        if whole is None:
            whole = _empty(html, name, page)
        whole.find(class_="bd-article-container").append(_article(html, name, page, names))
    return whole


def _empty(html: Path, name: str, page: BeautifulSoup) -> BeautifulSoup:
    """Return a page with the title and the style of another, for a document beside `html`."""
    styles = "\n".join(
        f'<link rel="stylesheet" href="{_beside(html, name, link["href"])}">'
        for link in page.head.find_all("link", rel="stylesheet")
    )
    return BeautifulSoup(
        f"""<!DOCTYPE html>
<html lang="en" data-theme="light">
<head>
<meta charset="utf-8">
{page.title}
{styles}
<style>{STYLE}</style>
</head>
<body>
<main class="bd-main"><div class="bd-content"><div class="bd-article-container"></div></div></main>
</body>
</html>
""",
        "html.parser",
    )


def _article(html: Path, name: str, page: BeautifulSoup, names: list[str]) -> Tag:
    """Return the text of a page, with addresses that hold in the document of all pages."""
    canonical = page.find("link", rel="canonical")
    article = page.find("article", class_="bd-article")
    for useless in article.select("a.headerlink, script, button"):
        useless.decompose()
    for folded in article.select("details.hide"):  # a cell that the screen shows when asked
        folded.summary.decompose()
        folded.unwrap()
    for folded in article.find_all("details"):
        folded["open"] = ""
    for formula in article.find_all("mjx-container"):
        # A hundred thousand elements of MathML say little more than their text.
        spoken = formula.find("mjx-assistive-mml").extract()
        formula.attrs |= {"role": "img", "aria-label": _line(spoken.get_text())}
    for placed in article.find_all(id=True):
        placed["id"] = _place(name, placed["id"])
    for image in article.find_all("img", src=True):
        image["src"] = _beside(html, name, image["src"])
    for link in article.find_all("a", href=True):
        address = _address(name, link["href"], names, canonical and canonical["href"])
        if address is None:
            link.unwrap()
        else:
            link["href"] = address
    article["id"] = _place(name, "")
    return article


def _place(name: str, anchor: str) -> str:
    """Return what the place `anchor` of a page is called in the document of all pages."""
    return f"{name}.html:{anchor}" if anchor else f"{name}.html"


def _beside(html: Path, name: str, address: str) -> str:
    """Return the address of a file of the site, for a document beside its folder."""
    if urlsplit(address).scheme:
        return address
    path, _, query = address.partition("?")
    return f"{html.name}/{_on_site(name, path)}" + (f"?{query}" if query else "")


def _on_site(name: str, path: str) -> str:
    return normpath(str(PurePosixPath(name).parent / path)) if path else f"{name}.html"


def _address(name: str, address: str, names: list[str], canonical: str | None) -> str | None:
    """Return where a link leads; None if only the site knows, and nobody where that is."""
    if urlsplit(address).scheme:
        return address
    path, anchor = urldefrag(address)
    target = _on_site(name, unquote(path)).removesuffix(".html")
    if target in names:
        return "#" + _place(target, unquote(anchor))
    return urljoin(canonical, address) if canonical else None


def headings(document: BeautifulSoup) -> list[str]:
    """Return the text of every heading, in order."""

    def text(node: PageElement) -> str:
        if isinstance(node, Tag):
            return node.get("aria-label") or "".join(map(text, node.children))
        return str(node)

    return [_line(text(heading)) for heading in document.select(HEADINGS)]


def _line(text: str) -> str:
    return " ".join(text.split())


def name_bookmarks(file: Path, titles: list[str]) -> None:
    """Give the bookmarks these titles: Chromium puts each line of a heading into them twice."""
    from pypdf import PdfWriter
    from pypdf.generic import NameObject, TextStringObject

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # the browser's trailer counts too few
    writer = PdfWriter(clone_from=file)
    bookmarks = list(_bookmarks(writer.root_object["/Outlines"]))
    if len(bookmarks) != len(titles):
        raise BookError(f"{len(bookmarks)} bookmarks in the PDF for {len(titles)} headings")
    for bookmark, title in zip(bookmarks, titles, strict=True):
        bookmark[NameObject("/Title")] = TextStringObject(title)
    writer.write(file)


def _bookmarks(parent: Any) -> Iterator[Any]:
    """Yield the bookmarks below another, in the order in which they are read."""
    child = parent.get("/First")
    while child is not None:
        bookmark = child.get_object()
        yield bookmark
        yield from _bookmarks(bookmark)
        child = bookmark.get("/Next")
