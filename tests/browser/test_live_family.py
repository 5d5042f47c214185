"""The figures of Part IV that run in the page: what a reader does with each."""

import re

import pytest
from conftest import HTML
from playwright.sync_api import Browser
from test_live import Shown

from live.engine import Engine
from live.family import CHECKS

DISK = f"file://{HTML}/"
ANYWHERE = pytest.mark.parametrize("where", ["served", "from disk"])


def numbers(text: str) -> list[float]:
    return [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", text.replace("−", "-"))]


def shared(shown: Shown, browser: Browser, place: str, name: str) -> Shown:
    """Follow the address that the figure has come to."""
    return Shown(browser, place, name, shown.page.url.partition("?")[2])


@ANYWHERE
def test_both_ways_lead_back(browser: Browser, site: str, where: str):
    place = site if where == "served" else DISK
    shown = Shown(browser, place, "ways-back")
    first = shown.values()
    _, share, error, exact = numbers(first)
    assert abs(share - exact) <= 4 * error + 0.1
    assert shown.control("log-SNR now").input_value() == "6"  # the points have come to data
    ended = shown.picture()
    shown.slide("log-SNR now", 0)
    assert shown.picture() != ended
    assert shown.values() == first
    canvas = shown.root.locator("canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    # Into the cluster at the top, with little noise: from there all ways lead to it.
    shown.slide("log-SNR at the start", 2)
    side = min(0.64 * box["width"], 460)
    shown.page.mouse.click(box["x"] + 0.43 * side, box["y"] + 0.26 * side)
    said = shown.values()
    assert said.startswith("From here the smooth path leads to cluster D")
    assert min(numbers(said)[1::2]) > 97  # found, and exact
    shown.page.wait_for_function("location.hash.includes('start=2')")
    assert shared(shown, browser, place, "ways-back").values() == said
    shown.press("Other kicks")
    assert shown.values().startswith("From here the smooth path leads to cluster D")
    assert shown.visit.complaints == []


def test_the_keyboard_moves_the_start(browser: Browser, site: str):
    shown = Shown(browser, site, "ways-back", reduced_motion="reduce")
    before = shown.picture()
    shown.control("start, up").focus()
    shown.page.keyboard.press("ArrowUp")
    assert shown.control("start, up").get_attribute("aria-valuetext") == "−0.2"
    said = shown.values()
    assert shown.picture() != before
    voice = shown.root.locator("[aria-live=polite]").element_handle()
    shown.page.wait_for_function(
        "([voice, text]) => voice.textContent.includes(text)", arg=[voice, said[:20]]
    )


@ANYWHERE
def test_a_solver_shows_its_order(browser: Browser, site: str, where: str):
    place = site if where == "served" else DISK
    shown = Shown(browser, place, "solver-error")
    few, steps, error, *_ = numbers(shown.values())
    assert few == steps
    before = shown.picture()
    shown.control("solver").select_option("heun")
    assert numbers(shown.values())[1] == (few + 1) / 2
    assert shown.picture() != before
    for name, order in (("euler", 1), ("heun", 2), ("multistep", 2)):
        shown.control("solver").select_option(name)
        shown.slide("evaluations", 15)
        many, _, least, slope, said = numbers(shown.values())
        assert (many, said) == (453, -order)
        assert slope == pytest.approx(-order, abs=0.1)
        assert least < error / 10
    shown.control("steps even in").select_option("ratio")
    assert numbers(shown.values())[2] > least
    shown.page.wait_for_function("location.hash.includes('grid=ratio')")
    assert shared(shown, browser, place, "solver-error").values() == shown.values()
    assert shown.visit.complaints == []


@ANYWHERE
def test_a_flow_is_straightened(browser: Browser, site: str, where: str):
    place = site if where == "served" else DISK
    shown = Shown(browser, place, "straightening")
    seen, pictures = [], [shown.picture()]
    for pairs in ("independent", "best of 4", "best of 16", "best of 64", "rectified"):
        shown.control("pairs").select_option(pairs)
        bend, _, off, single = numbers(shown.values())
        seen.append((bend, off, single))
        pictures.append(shown.picture())
    assert len(set(pictures)) >= 5
    assert seen == sorted(seen, reverse=True)
    for column in zip(*seen, strict=True):
        assert list(column) == sorted(column, reverse=True)
    assert seen[-1] == (0, 0, 0)
    shown.control("pairs").select_option("independent")
    shown.slide("Euler steps", 0)
    assert "One Euler step ends" in shown.values()
    assert numbers(shown.values())[1] == seen[0][2]
    shown.press("Other pairs")
    shown.page.wait_for_function("location.hash.includes('seed=2')")
    assert shared(shown, browser, place, "straightening").values() == shown.values()
    assert shown.visit.complaints == []


def test_the_family_agrees_in_the_browser(browser: Browser):
    page = browser.new_page()
    page.goto("about:blank")
    engine = Engine(lambda program: page.add_script_tag(content=program), page.evaluate)
    for check in CHECKS:
        check(engine)
