"""What a reader does with a page."""

import pytest
from conftest import HTML
from playwright.sync_api import Browser
from visit import Visit

DISK = f"file://{HTML}/"


@pytest.fixture(params=["served", "from disk"])
def anywhere(request: pytest.FixtureRequest, site: str) -> str:
    return site if request.param == "served" else DISK


def test_search_by_keyboard_alone(browser: Browser, anywhere: str):
    visit = Visit(browser, anywhere, "index.html")
    page = visit.page
    page.keyboard.press("Control+k")
    page.keyboard.type("posterior")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=posterior*")
    page.wait_for_selector("#search-results li a")
    page.wait_for_load_state("networkidle")
    assert visit.complaints == []
    page.click("#search-results li a")
    page.wait_for_url(lambda url: "search.html" not in url)
    assert visit.complaints == []


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("FID", "measuring-diffusion"),
        ("IWAE", "measuring-a-vae"),
        ("beta", "forward-process"),
        ("reparameterisation", "elbo"),
    ],
)
def test_search_finds_the_page_that_explains(browser: Browser, site: str, words: str, name: str):
    visit = Visit(browser, site, f"search.html?q={words}")
    links = visit.page.locator("#search-results li a")
    links.first.wait_for()
    pages = [link.get_attribute("href").partition("#")[0] for link in links.all()]
    # The page itself, or the glossary's entry and then the page.
    first, second = list(dict.fromkeys(page.rpartition("/")[2] for page in pages))[:2]
    assert f"{name}.html" in ((first, second) if first == "notation.html" else (first,))
    assert visit.page.locator("#search-results mark").count()
    assert not any("searchindex" in address for address in visit.loaded)
    assert visit.complaints == []


def test_search_that_finds_nothing_says_so(browser: Browser, site: str):
    visit = Visit(browser, site, "search.html?q=漢字")
    visit.page.wait_for_selector("#search-results [role=status]")
    assert visit.page.inner_text("#search-results").startswith("No pages for")


def test_the_skip_link_and_the_search_button_come_first(browser: Browser, site: str):
    page = Visit(browser, site, "elbo.html").page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to main content"
    reached = []
    for _ in range(3):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.innerText"))
    assert any(text.startswith("Search") for text in reached), reached


def test_a_page_opens_from_disk(browser: Browser):
    visit = Visit(browser, DISK, "elbo.html")
    assert visit.page.evaluate("document.fonts.check('1em MJXTEX-I')")
    assert visit.complaints == []


def test_code_is_copied_as_it_stands(browser: Browser, site: str):
    visit = Visit(browser, site, "elbo.html", permissions=["clipboard-read", "clipboard-write"])
    block = visit.page.locator("div.highlight:visible").first
    block.hover()
    block.locator("button.copybtn").click()
    copied = visit.page.evaluate("navigator.clipboard.readText()")
    assert copied.rstrip() == block.locator("pre").inner_text().strip("\n").rstrip()


@pytest.mark.parametrize("box", ["div.highlight pre", "div.math > mjx-container"])
def test_what_scrolls_on_a_phone_does_so_by_keyboard(browser: Browser, site: str, box: str):
    page = Visit(browser, site, "training.html", width=360).page
    wide = f"""[...document.querySelectorAll("article {box}")]
        .find((box) => box.checkVisibility() && box.scrollWidth > box.clientWidth + 50)"""
    page.wait_for_function(f"{wide}.tabIndex === 0")
    page.evaluate(f"(window.box = {wide}).focus()")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("window.box.scrollLeft > 0")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.wait_for_function("window.box.scrollWidth > window.box.clientWidth || box.tabIndex < 0")


def test_what_is_not_there_has_a_page(browser: Browser, site: str):
    missing = f"{site}no/such/page.html"
    visit = Visit(browser, site, "no/such/page.html")
    complaints = [line for line in visit.complaints if missing not in line and "404" not in line]
    assert complaints == []
    assert visit.page.inner_text("article h1").startswith("No such page")
    visit.page.click("a.navbar-brand")
    visit.page.wait_for_url(f"{site}index.html")


def test_paper_shows_the_text_alone(browser: Browser, site: str):
    page = Visit(browser, site, "elbo.html", color_scheme="dark").page
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    for part in ("#pst-primary-sidebar", ".bd-header-article", ".prev-next-footer"):
        assert not page.locator(part).first.is_visible(), part
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert len(page.pdf()) > 50_000
