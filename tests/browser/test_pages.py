"""Every page in a real browser: light and dark, on a phone and on a desk."""

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from conftest import HTML, ROOT
from playwright.sync_api import Browser
from visit import Visit

AXE = (ROOT / "tests/browser/node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")
PAGES = sorted(path.relative_to(HTML).as_posix() for path in HTML.rglob("*.html"))
PAGES = [page for page in PAGES if not page.startswith("_static/")]
WIDTHS = (360, 1280)
LIMIT = 1_500_000  # bytes of a page with all that it loads, compressed, without MathJax's fonts

# What sticks out of the window to the right and is not inside a box that scrolls by itself.
OVERFLOW = """() => {
    const wide = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= wide) return [];
    const scrolls = (node) => node && node !== document.body
        && (getComputedStyle(node).overflowX !== "visible" || scrolls(node.parentElement));
    return [...document.querySelectorAll("body *")]
        .filter((node) => node.getBoundingClientRect().right > wide + 1 && !scrolls(node))
        .map((node) => `${node.tagName} .${node.className} ${node.textContent.trim().slice(0, 40)}`)
        .slice(0, 3).concat(`the page is ${document.documentElement.scrollWidth} px wide`);
}"""

# Mathematics that is still TeX, or that MathJax could not read.
RAW_MATH = r"""() => {
    const found = [];
    for (const node of document.querySelectorAll(".math"))
        if (!node.querySelector("mjx-container")) found.push(node.textContent);
    for (const node of document.querySelectorAll("mjx-merror")) found.push(node.textContent);
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const text = walker.currentNode;
        if (text.parentElement.closest("code, pre, script, style, mjx-container")) continue;
        if (/\\[(\[]|\$\$|\\[a-z]{3,}/.test(text.data)) found.push(text.data);
    }
    return found;
}"""

BROKEN_IMAGES = """() => [...document.images]
    .filter((image) => !image.complete || image.naturalWidth === 0).map((image) => image.src)"""

AXE_RUN = """async () => {
    const {violations} = await axe.run(document, {resultTypes: ["violations"]});
    return violations.filter((v) => ["serious", "critical"].includes(v.impact)).map((v) =>
        `${v.id}: ${v.help}: ` + v.nodes.slice(0, 3).map((n) => n.target.join(" ")).join(", ")
        + ` (${v.nodes.length} in all)`);
}"""


@functools.cache
def places(file: Path) -> frozenset[str]:
    """Return the places on a page that a link can lead to."""
    return frozenset(re.findall(r'\bid="([^"]+)"', file.read_text(encoding="utf-8")))


def dead_links(links: list[str], site: str) -> Iterator[str]:
    """Yield those of the links into the book that lead nowhere."""
    for link in sorted(set(links)):
        address, place = urldefrag(link)
        if not address.startswith(site):
            continue
        file = HTML / unquote(address.removeprefix(site))
        file = file / "index.html" if file.is_dir() else file
        if not file.is_file() or (place and unquote(place) not in places(file)):
            yield link


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page(browser: Browser, site: str, name: str, width: int):
    visit = Visit(browser, site, name, width)
    page, faults = visit.page, []
    links = page.evaluate("[...document.links].map((link) => link.href)")
    faults += [f"dead link: {link}" for link in dead_links(links, site)]
    faults += [f"TeX is left: {text}" for text in page.evaluate(RAW_MATH)]
    faults += [f"image not loaded: {image}" for image in page.evaluate(BROKEN_IMAGES)]
    size = sum(size for url, size in visit.loaded.items() if not url.endswith(".woff"))
    if size > LIMIT:
        heavy = sorted(visit.loaded.items(), key=lambda item: -item[1])[:5]
        faults.append(f"loads {size} bytes: {heavy}")
    page.evaluate(AXE)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        faults += [f"{scheme}: overflow: {node}" for node in page.evaluate(OVERFLOW)]
        faults += [f"{scheme}: {violation}" for violation in page.evaluate(AXE_RUN)]
    visit.context.close()
    faults += visit.complaints
    assert not faults, "\n".join([f"{name} at {width} px", *faults])
