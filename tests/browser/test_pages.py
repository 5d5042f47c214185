"""Every page in a real browser: light and dark, on a phone and on a desk."""

import functools
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from conftest import HTML, ROOT
from playwright.sync_api import Browser, Page, Route
from visit import Visit

AXE = (ROOT / "tests/browser/node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")
PAGES = sorted(path.relative_to(HTML).as_posix() for path in HTML.rglob("*.html"))
PAGES = [page for page in PAGES if not page.startswith("_static/")]
COLOURS = ["color-contrast", "link-in-text-block"]
WAYS = [(1280, "light"), (1280, "dark"), (360, "dark"), (360, "light")]
# What axe looks at: colours in both schemes, all the rest at both widths.
VIEWS = [
    (360, "light", {"rules": {rule: {"enabled": False} for rule in COLOURS}}),
    (1280, "light", {}),
    (1280, "dark", {"runOnly": COLOURS}),
]
MOST_SHIFT = 0.05
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

# Pictures that do not say their size before they are there, or that are shown out of proportion.
UNSIZED_IMAGES = """() => [...document.querySelectorAll("article img")].filter((image) => {
    const ratio = (image.width / image.height) / (image.naturalWidth / image.naturalHeight);
    const said = image.hasAttribute("width") && image.hasAttribute("height");
    return !said || !(Math.abs(ratio - 1) < 0.02);
}).map((image) => image.src)"""

# How far the page has moved under the reader's eyes: Google's Cumulative Layout Shift, or more.
SHIFT = """() => new Promise((resolve) => new PerformanceObserver((list) => resolve(
    list.getEntries().reduce((sum, entry) => sum + (entry.hadRecentInput ? 0 : entry.value), 0)
)).observe({type: "layout-shift", buffered: true}) || setTimeout(resolve, 100, 0))"""

# What is inside a formula is left out: thousands of elements without a name or role, hidden from
# whoever is read to, and the MathML that is read instead. Axe would walk through all of them, rule
# by rule: before it starts, a drawing becomes an empty box of its size, and the MathML its text.
WITHOUT_FORMULAS = """() => {
    const drawn = [...document.querySelectorAll("mjx-math")];
    const boxes = drawn.map((node) => node.getBoundingClientRect());
    drawn.forEach((node, n) => {
        node.replaceChildren();
        Object.assign(node.style, {
            display: "inline-block", width: `${boxes[n].width}px`, height: `${boxes[n].height}px`});
    });
    for (const read of document.querySelectorAll("mjx-assistive-mml")) read.textContent += "";
}"""
AXE_RUN = """async ({within = "html", ...options} = {}) => {
    const place = {include: [within], exclude: ["mjx-math", "mjx-assistive-mml"]};
    const {violations} = await axe.run(place, {resultTypes: ["violations"], ...options});
    return violations.filter((v) => ["serious", "critical"].includes(v.impact)).map((v) =>
        `${v.id}: ${v.help}: ` + v.nodes.slice(0, 3).map((n) => n.target.join(" ")).join(", ")
        + ` (${v.nodes.length} in all)`);
}"""

# A sidebar that slides in changes the boxes beside it for a while, and what the keyboard reaches.
STILL = """() => {
    const still = new CSSStyleSheet();
    still.replaceSync("*, ::before, ::after {transition: none !important}");
    document.adoptedStyleSheets = [still];
}"""
SETTLED = """async ([width, scheme]) => {
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    while (innerWidth !== width || document.documentElement.dataset.theme !== scheme) await frame();
    await frame();
    await frame(); // the page's observers have seen it
}"""


def look(page: Page, width: int, scheme: str) -> str:
    """Look at a page that is open in a window of a width, in a scheme; return that in words."""
    page.evaluate(STILL)
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    page.evaluate(SETTLED, [width, scheme])
    return f"{scheme}, {width} px"


def begin_axe(page: Page) -> None:
    """Make a page ready for `AXE_RUN`; what it looks like is to be checked before."""
    page.evaluate(WITHOUT_FORMULAS)
    page.evaluate(AXE)
    # Of moderate impact and a fifth of the time.
    page.evaluate("axe.configure({rules: [{id: 'region', enabled: false}]})")


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


@pytest.mark.parametrize("name", PAGES)
def test_a_page(browser: Browser, site: str, name: str):
    # Reduced motion: a button that fades from scheme to scheme has a colour of neither.
    visit = Visit(browser, site, name, color_scheme="light", reduced_motion="reduce")
    page, faults = visit.page, visit.complaints
    links = page.evaluate("[...document.links].map((link) => link.href)")
    faults += [f"dead link: {link}" for link in dead_links(links, site)]
    faults += [f"TeX is left: {text}" for text in page.evaluate(RAW_MATH)]
    faults += [f"image not loaded: {image}" for image in page.evaluate(BROKEN_IMAGES)]
    faults += [f"image without its size: {image}" for image in page.evaluate(UNSIZED_IMAGES)]
    if (shift := page.evaluate(SHIFT)) > MOST_SHIFT:  # once more: a busy machine paints in between
        again = Visit(browser, site, name, color_scheme="light", reduced_motion="reduce")
        again.page.wait_for_timeout(500)  # no sooner than the first time, else it hides what moves
        if (shift := min(shift, again.page.evaluate(SHIFT))) > MOST_SHIFT:
            faults.append(f"moves by {shift:.3f} while it loads")
        again.context.close()
    size = sum(size for url, size in visit.loaded.items() if not url.endswith(".woff"))
    if size > LIMIT:
        heavy = sorted(visit.loaded.items(), key=lambda item: -item[1])[:5]
        faults.append(f"loads {size} bytes: {heavy}")
    for width, scheme in WAYS:
        view = look(page, width, scheme)
        faults += [f"{view}: sticks out: {node}" for node in page.evaluate(OVERFLOW)]
    begin_axe(page)
    for width, scheme, options in VIEWS:
        view = look(page, width, scheme)
        faults += [f"{view}: {fault}" for fault in page.evaluate(AXE_RUN, options)]
    visit.context.close()
    assert not faults, "\n".join([name, *faults])


def test_a_style_that_comes_late_moves_the_page(browser: Browser, site: str):
    """The check for movement can fail: here the text is painted before its style is there."""

    def without_waiting(route: Route) -> None:
        answer = route.fetch()
        style = r"(<link [^>]*sphinx-book-theme\.css[^>]*?) />"
        once = r"""\1 id="late" media="print" onload="this.media='all'" />"""
        body, found = re.subn(style, once, answer.text())
        assert found == 1
        route.fulfill(response=answer, body=body)

    def late(route: Route) -> None:
        time.sleep(1)
        route.continue_()

    routes = {"**/elbo.html": without_waiting, "**/sphinx-book-theme.css*": late}
    visit = Visit(browser, site, "elbo.html", routes=routes)
    visit.page.wait_for_function("document.querySelector('#late').media === 'all'")
    shift = visit.page.evaluate(SHIFT)
    visit.context.close()
    assert shift > MOST_SHIFT
