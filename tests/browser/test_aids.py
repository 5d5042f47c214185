"""What helps a reader on a page: cards, enlarged pictures, TeX to copy; code that fits."""

import pytest
from conftest import HTML
from playwright.sync_api import Browser, Page
from test_pages import AXE_RUN, OVERFLOW, SHIFT, WAYS, begin_axe, look
from visit import Visit

DISK = f"file://{HTML}/"
CARD = "#reference-card"
# References that the text may or may not make.
REFERENCES = """document.querySelector("article p").innerHTML +=
    ["fig-gap", "theorem-bound-and-gap", "ch-latent-variables"].map((place) =>
        ` <a class="reference internal" href="#${place}">here</a>`.replace(
            "#ch-", "latent-variables.html#ch-")).join("")"""


def reference(page: Page, place: str, *, here: bool = False):
    link = f"a.reference.internal[href{'^' if here else '*'}='#{place}']"
    return page.locator(f"article {link}").first


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("equation-eq-marginal", "mjx-container"),
        ("term-", "dd"),
        ("ch-latent-variables", "p"),
        ("fig-gap", "img"),
        ("theorem-bound-and-gap", "p"),
    ],
)
def test_what_a_reference_leads_to_is_shown(browser: Browser, site: str, place: str, shown: str):
    visit = Visit(browser, site, "elbo.html", reduced_motion="reduce")
    page = visit.page
    page.evaluate(REFERENCES)
    link = reference(page, place)

    def open_card() -> None:
        link.focus()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Tab")
        page.wait_for_selector(f"{CARD}:popover-open {shown}")

    for width, scheme in WAYS:
        view = look(page, width, scheme)
        open_card()
        assert link.get_attribute("aria-describedby") == "reference-card", view
        box = page.locator(CARD).bounding_box()
        assert box["x"] >= 0, view
        assert box["x"] + box["width"] <= width, view
        assert not page.locator(f"{CARD} [id], {CARD} a, {CARD} button").count(), view
        assert page.evaluate(OVERFLOW) == [], view
        page.keyboard.press("Escape")
        page.wait_for_selector(CARD, state="hidden")
        assert link.get_attribute("aria-describedby") is None, view
    assert page.evaluate(SHIFT) < 0.05
    begin_axe(page)
    for width, scheme in WAYS:
        view = look(page, width, scheme)
        open_card()
        assert page.evaluate(AXE_RUN, {"within": CARD}) == [], view
        page.keyboard.press("Escape")
    assert visit.complaints == []


def test_a_card_waits_while_the_pointer_is_on_it(browser: Browser, site: str):
    page = Visit(browser, site, "elbo.html").page
    reference(page, "equation-eq-marginal").hover()
    page.wait_for_selector(f"{CARD}:popover-open")
    page.locator(CARD).hover()
    page.wait_for_timeout(600)
    assert page.locator(CARD).is_visible()
    page.mouse.move(2, 2)
    page.wait_for_selector(CARD, state="hidden")


def test_a_finger_touches_once_to_see_and_twice_to_go(browser: Browser, site: str):
    page = Visit(browser, site, "elbo.html", 360, has_touch=True, is_mobile=True).page
    link = reference(page, "equation-eq-marginal")
    link.tap()
    page.wait_for_selector(f"{CARD}:popover-open")
    assert "elbo.html" in page.url
    link.tap()
    page.wait_for_url("**/latent-variables.html#equation-eq-marginal")


def test_cards_of_the_same_page_from_disk(browser: Browser):
    visit = Visit(browser, DISK, "elbo.html")
    reference(visit.page, "equation-eq-", here=True).hover()
    visit.page.wait_for_selector(f"{CARD}:popover-open mjx-container")
    visit.page.keyboard.press("Escape")
    visit.page.locator("article a.reference.internal[href*='.html#']").first.hover()
    visit.page.wait_for_timeout(600)
    assert not visit.page.locator(CARD).is_visible()
    assert visit.complaints == []


@pytest.mark.parametrize("where", ["served", "from disk"])
def test_a_picture_is_enlarged(browser: Browser, site: str, where: str):
    place = site if where == "served" else DISK
    page = Visit(browser, place, "elbo.html", reduced_motion="reduce").page
    image = page.locator("img.enlarges").first
    said = image.get_attribute("alt")
    for width, scheme in WAYS:
        view = look(page, width, scheme)
        image.focus()
        page.keyboard.press("Enter")
        large = page.locator("dialog.enlarged[open] img")
        assert large.get_attribute("alt") == said, view
        box, window = large.bounding_box(), page.locator("dialog.enlarged").bounding_box()
        assert window["width"] <= width, view
        assert window["height"] <= 800, view
        if width < 576:  # a phone: letters that can be read, and a window that scrolls
            assert box["width"] > 700, view
            room = page.locator("dialog.enlarged").evaluate("dialog => dialog.scrollWidth")
            assert room >= box["width"], view
        else:
            assert box["width"] <= width, view
            assert box["height"] <= 800, view
        assert page.evaluate(OVERFLOW) == [], view
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog.enlarged", state="hidden")
        assert image.evaluate("image => image === document.activeElement"), view
        image.click()
        page.click("dialog.enlarged button")
        page.wait_for_selector("dialog.enlarged", state="hidden")
    begin_axe(page)
    image.click()
    for width, scheme in WAYS:
        view = look(page, width, scheme)
        assert page.evaluate(AXE_RUN, {"within": "dialog.enlarged"}) == [], view


def test_the_tex_of_an_equation_is_copied(browser: Browser, site: str):
    allowed = ["clipboard-read", "clipboard-write"]
    page = Visit(browser, site, "elbo.html", permissions=allowed).page
    equation = page.locator("#equation-eq-jensen")
    equation.hover()
    button = equation.get_by_role("button", name="Copy the TeX of equation")
    button.click()
    page.wait_for_function(
        "document.querySelector('#equation-eq-jensen button').innerText == 'Copied'"
    )
    copied = page.evaluate("navigator.clipboard.readText()")
    assert r"\log \operatorname{\mathbb{E}}" in copied
    assert r"\E[" not in copied  # the book's own command


@pytest.mark.parametrize("name", ["elbo", "training"])
def test_code_fits_its_column_on_a_desk(browser: Browser, site: str, name: str):
    page = Visit(browser, site, f"{name}.html").page
    wide = """[...document.querySelectorAll("article div.highlight pre")]
        .filter((box) => box.scrollWidth > box.clientWidth + 1).map((box) => box.textContent)"""
    page.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
    for width in (960, 1100, 1280, 1680):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate(wide) == [], f"{width} px"
