"""The figures that run in the page: what a reader does with each, and what travels for it."""

import re
from pathlib import Path

import pytest
from conftest import HTML
from playwright.sync_api import Browser, Locator
from test_pages import AXE_RUN, WAYS, begin_axe, look
from visit import Visit

from bookbuild.extensions.live import NEEDS

DISK = f"file://{HTML}/"
_BAR = re.compile(r'<div class="live-bar" data-live="([^"]+)"')
_FIGURE = re.compile(r'<figure class="live[^"]*" id="([^"]+)"')
# Where each figure is: its page and its place there.
FIGURES = {
    name: (page.relative_to(HTML).as_posix(), place)
    for page in sorted(HTML.glob("*.html"))
    for text in [page.read_text(encoding="utf-8")]
    for name, place in zip(_BAR.findall(text), _FIGURE.findall(text), strict=True)
}
MOST = 4_000_000  # bytes that travel for one figure
# What of a figure sticks out of the window.
TOO_WIDE = """(root) => [...root.querySelectorAll(".live-stage *")]
    .filter((node) => node.getBoundingClientRect().right > document.documentElement.clientWidth)
    .map((node) => `${node.tagName} sticks out`)"""
QUIET = "(id) => document.getElementById(id).figure?.busy === false"


class Shown:
    """A figure that the reader has started."""

    def __init__(self, browser: Browser, site: str, name: str, state: str = "", **options):
        page, place = FIGURES[name]
        self.visit = Visit(browser, site, page + (f"#{place}?{state}" if state else ""), **options)
        self.page = self.visit.page
        self.before = dict(self.visit.loaded)
        self.root: Locator = self.page.locator(f"#{place}")
        if not state:
            self.root.locator(".live-start").click()
        self.root.locator(".live-canvas").wait_for()

    def values(self) -> str:
        """Return what the figure says once it has come to rest."""
        place = self.root.get_attribute("id")
        self.page.wait_for_function(QUIET, arg=place)
        return self.root.locator(".live-values").inner_text()

    def control(self, label: str) -> Locator:
        """Return a control by its name, as who can't see it finds it."""
        return self.root.get_by_label(label, exact=True)

    def slide(self, label: str, value: float) -> None:
        """Move a slider."""
        self.control(label).evaluate(
            "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }",
            value,
        )

    def press(self, words: str) -> None:
        """Press a button."""
        self.root.get_by_role("button", name=words, exact=True).click()

    def picture(self) -> str:
        """Return what is drawn."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => done()))")
        return self.root.locator("canvas").first.evaluate("(canvas) => canvas.toDataURL()")


@pytest.fixture(params=["served", "from disk"])
def anywhere(request: pytest.FixtureRequest, site: str) -> str:
    return site if request.param == "served" else DISK


@pytest.mark.parametrize("name", FIGURES)
def test_it_loads_when_it_starts_and_is_for_everybody(browser: Browser, site: str, name: str):
    shown = Shown(browser, site, name, reduced_motion="reduce")
    assert not [url for url in shown.before if "/live/" in url]
    shown.values()
    loaded = {url: n for url, n in shown.visit.loaded.items() if url not in shown.before}
    assert 0 < sum(loaded.values()) < MOST, loaded
    assert shown.visit.complaints == []
    page = shown.page
    begin_axe(page)
    faults = []
    for width, scheme in WAYS:
        view = look(page, width, scheme)
        within = f"#{FIGURES[name][1]}"  # test_pages looks at all of the page
        faults += [f"{view}: {fault}" for fault in page.evaluate(AXE_RUN, {"within": within})]
        faults += [f"{view}: {node}" for node in shown.root.evaluate(TOO_WIDE)]
    assert not faults, "\n".join(faults)
    for control in shown.root.locator("input, select").all():
        assert control.evaluate("(element) => element.labels.length") == 1
    assert shown.root.locator("[aria-live=polite]").count() == 1


@pytest.mark.parametrize("name", FIGURES)
def test_without_scripts_the_still_stands(browser: Browser, site: str, name: str):
    page_name, place = FIGURES[name]
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site + page_name)
    figure = page.locator(f"#{place}")
    assert figure.locator("img").is_visible()
    assert figure.locator("figcaption").is_visible()
    assert not figure.locator("button").is_visible()
    context.close()


@pytest.mark.parametrize("name", FIGURES)
def test_a_file_that_is_missing_is_said_and_the_still_stays(browser: Browser, site: str, name: str):
    page, place = FIGURES[name]
    visit = Visit(browser, site, page, routes={"**/live/*.js": lambda route: route.abort()})
    figure = visit.page.locator(f"#{place}")
    figure.locator(".live-start").click()
    says = figure.locator(".live-says")
    visit.page.wait_for_function(
        "(id) => document.querySelector(`#${id} .live-says`).textContent.startsWith('This figure')",
        arg=place,
    )
    assert "did not come. The picture stands for it." in says.inner_text()
    assert figure.locator("img").is_visible()


def test_bound_and_gap_add_up(browser: Browser, anywhere: str):
    shown = Shown(browser, anywhere, "bound-explorer")

    def numbers() -> list[float]:
        said = shown.values().split("nats")[0].replace("−", "-")
        return [float(number) for number in re.findall(r"-?\d+\.\d+", said)]

    seen = [numbers()]
    shown.slide("mean m of q", 1.0)
    seen.append(numbers())
    mouse = shown.page.mouse
    canvas = shown.root.locator("canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    # The handle of the width: at z = m + s = 1.7, on the line of a normal density.
    x, y = (
        box["x"] + box["width"] * (1.7 + 2.4) / 4.8,
        box["y"] + 26 + (box["height"] - 146) * 0.868,
    )
    mouse.move(x, y)
    mouse.down()
    mouse.move(x - box["width"] * 0.4 / 4.8, y + 3, steps=5)
    mouse.up()
    assert float(shown.control("width s of q").input_value()) == pytest.approx(0.3, abs=0.05)
    seen.append(numbers())
    shown.press("Climb the bound")
    shown.page.wait_for_timeout(3000)
    seen.append(numbers())
    for bound, gap, log_p in seen:
        assert round(bound + gap, 3) == log_p == seen[0][2]
        assert gap > 0
    assert seen[-1][1] == min(gap for _, gap, _ in seen)
    before = shown.picture()
    shown.slide("observed x₂", 0.0)
    assert numbers()[2] != seen[0][2]
    assert shown.picture() != before
    shown.page.wait_for_function("location.hash.includes('x2=0')")
    again = Shown(browser, anywhere, "bound-explorer", shown.page.url.partition("?")[2])
    assert again.values() == shown.values()
    assert shown.visit.complaints == again.visit.complaints == []


def test_the_keyboard_moves_q(browser: Browser, site: str):
    shown = Shown(browser, site, "bound-explorer")
    first = shown.values()
    shown.control("mean m of q").focus()
    shown.page.keyboard.press("ArrowRight")
    assert shown.values() != first
    assert shown.control("mean m of q").get_attribute("aria-valuetext") == "−0.39"
    said = shown.root.locator("[aria-live=polite]")
    shown.page.wait_for_function(
        "([voice, text]) => voice.textContent.includes(text)",
        arg=[said.element_handle(), shown.values()[:20]],
    )


def test_digits_come_out_of_noise(browser: Browser, anywhere: str):
    shown = Shown(browser, anywhere, "first-look", "steps=5&seed=3&k=5")
    assert shown.values().startswith("Sixteen digits in 5 steps")
    finished = shown.picture()
    shown.press("Step back")
    assert shown.values().startswith("Step 4 of 5: t = 200")
    assert shown.picture() != finished
    shown.press("Step")
    assert shown.values().startswith("Sixteen digits")
    assert shown.picture() == finished
    shown.press("Again, from another seed")
    shown.page.wait_for_function("location.hash.includes('seed=4')")
    assert shown.values().startswith("Sixteen digits")
    assert shown.picture() != finished
    shown.control("ask for").select_option("7")
    shown.values()
    shown.page.wait_for_function("location.hash.includes('digit=7')")
    assert shown.visit.complaints == []


def test_a_draw_can_be_paused(browser: Browser, site: str):
    shown = Shown(browser, site, "first-look")
    shown.press("Pause")
    said = shown.values()
    assert said.startswith("Step ")
    shown.press("Go on")
    assert shown.values().startswith("Sixteen digits")


def test_without_webassembly_it_says_so(browser: Browser, site: str):
    def forget(route):
        answer = route.fetch()
        body = answer.text().replace("typeof WebAssembly", "typeof Nothing")
        assert body != answer.text()
        route.fulfill(response=answer, body=body)

    page, place = FIGURES["first-look"]
    visit = Visit(browser, site, page, routes={"**/live/engine*.js": forget})
    visit.page.locator(f"#{place} .live-start").click()
    says = visit.page.locator(f"#{place} .live-says")
    visit.page.wait_for_function(
        "(says) => says.textContent.startsWith('This figure')", arg=says.element_handle()
    )
    assert "this browser has no WebAssembly" in says.inner_text()
    assert visit.page.locator(f"#{place} img").is_visible()


def test_all_figures_are_found():
    assert set(NEEDS) <= set(FIGURES)
    assert all((Path(HTML) / page).is_file() for page, _ in FIGURES.values())


def test_a_walk_over_the_map(browser: Browser, anywhere: str):
    shown = Shown(browser, anywhere, "latent-map")
    first = shown.values()
    bound, cost = (
        float(n.replace("−", "-")) for n in re.findall(r"(−[\d.]+|[\d.]+) nats", first)[::-1][:2]
    )
    assert bound < 0 < cost
    before = shown.picture()
    shown.slide("first latent", -2)
    assert shown.picture() != before
    assert shown.values() == first  # that of the digit, which has not moved
    canvas = shown.root.locator("canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    side = min(0.6 * box["width"], 460)
    mouse = shown.page.mouse
    mouse.click(box["x"] + side / 2, box["y"] + 24 + side / 2)
    assert abs(float(shown.control("first latent").input_value())) < 0.1
    # A stroke from top to bottom on the pad is a one, and lands among them.
    x, y = box["x"] + side + 24 + 0.12 * box["width"], box["y"] + 24 + 0.74 * side
    mouse.move(x, y)
    mouse.down()
    mouse.move(x - 8, y + 0.22 * side, steps=8)
    mouse.up()
    drawn = shown.values()
    assert drawn != first
    shown.page.wait_for_function(
        "location.hash.includes(document.querySelector('#live-latent-map').figure.state.drawn)"
    )
    again = Shown(browser, anywhere, "latent-map", shown.page.url.partition("?")[2])
    assert again.values() == drawn
    assert shown.visit.complaints == again.visit.complaints == []


def test_a_schedule_is_bent(browser: Browser, anywhere: str):
    shown = Shown(browser, anywhere, "forward-process")
    shown.control("schedule").select_option("yours")
    first, before = shown.values(), shown.picture()
    shown.slide("your log-SNR half-way", 6)
    assert shown.values() != first
    assert shown.picture() != before
    shown.slide("step t", 1)
    assert "with probability 1.00" in shown.values()
    shown.slide("step t", 1000)
    assert float(re.search(r"with probability (\d\.\d+)", shown.values())[1]) < 0.5
    shown.page.wait_for_function("location.hash.includes('middle=6')")
    assert shown.visit.complaints == []


def test_a_small_step_back_is_normal(browser: Browser, anywhere: str):
    shown = Shown(browser, anywhere, "reverse-step")

    def elsewhere() -> float:
        return float(re.search(r"puts ([\d.]+) %", shown.values())[1])

    large = elsewhere()
    shown.slide("variance of the step", 0.01)
    assert elsewhere() < large / 5
    shown.page.wait_for_function("location.hash.includes('beta=0.01')")
    assert shown.visit.complaints == []


def test_a_drawing_is_finished(browser: Browser, anywhere: str):
    shown = Shown(browser, anywhere, "draw-and-denoise", "t=100")
    assert "in 5 steps" in shown.values()
    before = shown.picture()
    canvas = shown.root.locator("canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    mouse = shown.page.mouse
    mouse.move(box["x"] + 60, box["y"] + 60)
    mouse.down()
    mouse.move(box["x"] + 100, box["y"] + 140, steps=6)
    mouse.up()
    shown.values()
    assert shown.picture() != before
    shown.page.wait_for_function("location.hash.includes('drawn=')")
    shown.press("Other endings")
    shown.values()
    assert shown.control("drawing").input_value() == "yours"
    mine = shown.picture()
    shown.control("drawing").select_option("house")
    shown.values()
    assert shown.picture() != mine
    assert shown.visit.complaints == []


def test_noise_decides_how_many_digits_are_mixed(browser: Browser, anywhere: str):
    shown = Shown(browser, anywhere, "one-step")

    def mixed() -> int:
        return int(re.search(r"mean of about (\d+)", shown.values())[1])

    shown.slide("signal’s share α", -0.05)  # its logarithm
    assert mixed() == 1
    few = shown.picture()
    shown.slide("signal’s share α", -2)
    assert mixed() > 5
    assert shown.picture() != few
    shown.press("Other noise")
    shown.page.wait_for_function("location.hash.includes('seed=2')")
    shown.values()
    assert shown.visit.complaints == []


def test_a_network_is_trained_here(browser: Browser, anywhere: str):
    shown = Shown(browser, anywhere, "playground", "set=ring")
    assert shown.root.locator(".live-values").inner_text().startswith("Training")
    assert shown.values().startswith("The network has seen")
    smooth = shown.picture()
    shown.control("paths").select_option("ancestral")
    shown.values()
    assert shown.picture() != smooth
    shown.slide("step t", 900)
    shown.page.wait_for_function("location.hash.includes('t=900')")
    assert "t = 900" in shown.values()
    shown.press("Let the points fall")
    assert "t = 10," in shown.values()
    shown.slide("step t", 900)  # the reader's own from now on
    canvas = shown.root.locator("canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    shown.page.mouse.click(box["x"] + 100, box["y"] + 100)
    assert shown.control("data").input_value() == "yours"
    shown.values()
    assert shown.visit.complaints == []
