"""A reader can send what they see, and what goes wrong is said beside the still picture."""

import pytest
from playwright.sync_api import Browser, Route
from test_live import FIGURES, NEEDS, QUIET, Shown
from visit import Visit

# Moves every slider, and chooses another of every few, as a reader would.
CHANGE = """(root) => {
    for (const input of root.querySelectorAll("input, select")) {
        if (input.disabled) continue;
        if (input.tagName === "SELECT") {
            input.selectedIndex = input.selectedIndex ? 0 : 1;
            input.dispatchEvent(new Event("change"));
        } else {
            const [min, max, step] = [input.min, input.max, input.step].map(Number);
            input.value = min + Math.round(0.35 * (max - min) / step) * step;
            input.dispatchEvent(new Event("input"));
        }
    }
}"""
SETTLED = """(id) => {
    const {figure} = document.getElementById(id);
    const {hash} = location;
    return figure?.busy === false && hash === figure.address && hash.includes("?");
}"""
SAYS = """(id) => document.querySelector(`#${id} .live-says`).textContent
    .startsWith("This figure")"""


@pytest.mark.parametrize("name", FIGURES)
def test_an_address_brings_back_what_was_seen(browser: Browser, site: str, name: str):
    place = FIGURES[name][1]
    shown = Shown(browser, site, name, reduced_motion="reduce")
    shown.values()
    shown.root.evaluate(CHANGE)
    shown.page.wait_for_timeout(400)  # some begin anew only when the reader rests
    shown.page.wait_for_function(SETTLED, arg=place)
    picture = shown.picture()
    state = shown.root.evaluate("(root) => root.figure.state")
    query = shown.page.url.partition("?")[2]
    again = Shown(browser, site, name, query, reduced_motion="reduce")
    again.page.wait_for_function(SETTLED, arg=place)
    assert again.root.evaluate("(root) => root.figure.state") == state
    assert again.picture() == picture
    top = again.root.evaluate("(root) => root.getBoundingClientRect().top")
    assert -20 < top < 600  # the reader need not look for it
    assert shown.visit.complaints == again.visit.complaints == []


def test_an_address_within_the_page_is_followed(browser: Browser, site: str):
    shown = Shown(browser, site, "bound-explorer", "m=1")
    first = shown.values()
    for m in ("0.5", "1"):
        with shown.page.expect_event("load"):  # a figure that has begun begins anew
            shown.page.evaluate("(m) => { location.hash = `#live-bound-explorer?m=${m}`; }", m)
        shown.page.wait_for_function(
            "(m) => document.querySelector('#live-bound-explorer').figure?.state.m === Number(m)",
            arg=m,
        )
    assert shown.values() == first
    assert shown.visit.complaints == []


def test_an_address_starts_a_figure_of_the_open_page(browser: Browser, site: str):
    wanted = Shown(browser, site, "bound-explorer", "m=1").values()
    page, place = FIGURES["bound-explorer"]
    visit = Visit(browser, site, page)
    visit.page.evaluate(f"location.hash = '#{place}?m=1'")
    visit.page.wait_for_function(QUIET, arg=place)
    assert visit.page.locator(f"#{place} .live-values").inner_text() == wanted
    assert visit.complaints == []


@pytest.mark.parametrize(
    ("name", "need"), [(name, need) for name, needs in NEEDS.items() for need in needs]
)
def test_a_model_that_is_missing_is_said(browser: Browser, site: str, name: str, need: str):
    page, place = FIGURES[name]
    visit = Visit(browser, site, page, routes={f"**/live/{need}-*.js": lambda r: r.abort()})
    visit.page.locator(f"#{place} .live-start").click()
    visit.page.wait_for_function(SAYS, arg=place)
    said = visit.page.locator(f"#{place} .live-says").inner_text()
    assert need in said
    assert said.endswith("did not come. The picture stands for it.")
    assert visit.page.locator(f"#{place} img").is_visible()


def test_a_fault_on_the_way_gives_the_still_back(browser: Browser, site: str):
    def broken(route: Route) -> None:
        answer = route.fetch()
        body = answer.text().replace("next() {", "next() { throw new Error('the memory is full');")
        assert body != answer.text()
        route.fulfill(response=answer, body=body)

    page, place = FIGURES["first-look"]
    visit = Visit(browser, site, page, routes={"**/live/engine*.js": broken})
    visit.page.locator(f"#{place} .live-start").click()
    visit.page.wait_for_function(SAYS, arg=place)
    said = visit.page.locator(f"#{place} .live-says").inner_text()
    assert said == "This figure can’t run here: the memory is full. The picture stands for it."
    assert visit.page.locator(f"#{place} img").is_visible()
    assert visit.page.locator(f"#{place} canvas").count() == 0
