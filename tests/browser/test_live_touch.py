"""What a finger does on a phone: it moves what is there to move, and the page everywhere else."""

from collections.abc import Callable, Sequence

import pytest
from playwright.sync_api import Browser
from test_live import FIGURES, Shown

Places = Sequence[tuple[float, float]]
PHONE = {"width": 360, "has_touch": True, "is_mobile": True, "reduced_motion": "reduce"}


def handle(x: float, y: float) -> Places:
    """Return a drag of something at a place, along and across."""
    return [(x, y), (x + 10, y + 8), (x + 40, y + 30)]


def in_map(w: float) -> Places:
    return [(0.5 * w, 24 + 0.5 * w), (0.4 * w, 24 + 0.6 * w), (0.25 * w, 24 + 0.75 * w)]


def on_pad(left: float, top: float, side: float) -> Places:
    return [(left + 0.5 * side, top + share * side) for share in (0.2, 0.4, 0.6, 0.8)]


# What a finger does on the canvas of a given width, the control that follows, and a place where
# there is nothing to move.
DRAGS: dict[str, list[tuple[str, str, Callable[[float], Places]]]] = {
    "bound-explorer": [("", "mean m of q", lambda w: handle(w * 2 / 4.8, 185))],
    "draw-and-denoise": [("t=100", "drawing", lambda w: on_pad(0, 24, (w - 10) / 2))],
    "forward-process": [
        (
            "schedule=yours",
            "your log-SNR half-way",
            lambda w: handle(34 + (w - 44) / 2, 3 * ((w - 58) / 5 + 2) + 90),
        )
    ],
    "latent-map": [
        ("", "first latent", in_map),
        ("", "", lambda w: on_pad((w - 20) / 3 + 10, w + 58, (w - 20) / 3)),
    ],
    "one-step": [("", "", lambda w: on_pad(0, 24, (w - 12) / 2))],
    "playground": [("", "data", lambda w: on_pad(0, 24, (w - 12) / 2))],
    "reverse-step": [("", "where you are, x", lambda w: handle(34 + 0.54 * (w - 44), 236))],
}
FREE: dict[str, Callable[[float], tuple[float, float]]] = {
    "bound-explorer": lambda w: (w / 2, 310),
    "draw-and-denoise": lambda w: (w / 2, w),
    "first-look": lambda w: (w / 2, 60),
    "forward-process": lambda w: (w / 2, 60),
    "latent-map": lambda w: (30, w + 90),
    "one-step": lambda w: (0.75 * w, 80),
    "reverse-step": lambda w: (w / 2, 60),
    "solver-error": lambda w: (w / 2, 200),
    "straightening": lambda w: (w / 2, 200),
    "ways-back": lambda w: (w / 2, 0.7 * w),
}


def drag(shown: Shown, places: Places) -> float:
    """Move a finger over the canvas; return by how many pixels the page has scrolled."""
    canvas = shown.root.locator("canvas")
    canvas.evaluate("(canvas) => canvas.scrollIntoView({block: 'center'})")
    box = canvas.bounding_box()
    before = shown.page.evaluate("scrollY")
    client = shown.page.context.new_cdp_session(shown.page)
    for n, (x, y) in enumerate(places):
        point = {"x": box["x"] + x, "y": box["y"] + y}
        kind = "touchMove" if n else "touchStart"
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    client.detach()
    shown.page.wait_for_timeout(100)
    return shown.page.evaluate("scrollY") - before


def width_of(shown: Shown) -> float:
    return shown.root.locator("canvas").evaluate("(canvas) => canvas.clientWidth")


@pytest.mark.parametrize(
    ("name", "state", "label", "places"),
    [(name, *one) for name, several in DRAGS.items() for one in several],
)
def test_a_finger_moves_what_is_there(
    browser: Browser, site: str, name: str, state: str, label: str, places
):
    shown = Shown(browser, site, name, state, **PHONE)
    shown.values()
    before = shown.picture()
    value = shown.control(label).input_value() if label else ""
    assert drag(shown, places(width_of(shown))) == 0
    shown.values()
    assert shown.picture() != before
    if label:
        assert shown.control(label).input_value() != value
    # What was drawn or moved is in the address, and comes back from there.
    shown.page.wait_for_function(
        "(id) => location.hash === document.getElementById(id).figure.address"
        " && location.hash.includes('?')",
        arg=FIGURES[name][1],
    )
    said, picture = shown.values(), shown.picture()
    shown.page.reload()
    shown.root.locator(".live-canvas").wait_for()
    assert shown.values() == said
    assert shown.picture() == picture
    assert shown.visit.complaints == []


@pytest.mark.parametrize("name", FREE)
def test_elsewhere_it_moves_the_page(browser: Browser, site: str, name: str):
    shown = Shown(browser, site, name, **PHONE)
    shown.values()
    before = shown.picture()
    x, y = FREE[name](width_of(shown))
    assert drag(shown, [(x, y - 15 * n) for n in range(8)]) > 50
    assert shown.picture() == before


def test_a_tap_presses(browser: Browser, site: str):
    shown = Shown(browser, site, "first-look", "steps=3&k=3", **PHONE)
    assert shown.values().startswith("Sixteen digits")
    shown.root.get_by_role("button", name="Step back", exact=True).tap()
    assert shown.values().startswith("Step 2 of 3")


def test_a_tap_chooses_where_to_start(browser: Browser, site: str):
    shown = Shown(browser, site, "ways-back", "start=2", **PHONE)
    shown.values()
    side = width_of(shown)
    shown.root.locator("canvas").tap(position={"x": 0.43 * side, "y": 0.275 * side})
    assert shown.values().startswith("From here the smooth path leads to cluster D")
    assert shown.control("start, up").get_attribute("aria-valuetext") == "1.2"
    assert shown.visit.complaints == []


def test_only_figures_that_are_there_are_touched():
    assert set(DRAGS) | set(FREE) <= set(FIGURES)
