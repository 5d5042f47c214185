"""The figures that run in the page, once more in Firefox, where it is installed."""

import re
from collections.abc import Iterator

import pytest
from firefox import Firefox, find_firefox, wait_for
from test_live import DISK, FIGURES

# What a reader does to each figure, inside the page, and what it then says.
DEEDS = {
    "bound-explorer": (
        "slide('mean m of q', 1)",
        r"bound −(.+) \+ gap (.+) = log p\(x\) −(.+) nats",
    ),
    "draw-and-denoise": ("slide('noise up to t', 100)", "At t = 100 .* in 5 steps"),
    "first-look": ("press('Step back')", "Step 4 of 5: t = 200"),
    "forward-process": ("slide('step t', 1)", r"with probability 1\.00"),
    "latent-map": ("press('Clear the pad')", r"Your digit lands at \("),
    "one-step": ("slide('signal’s share α', -0.05)", "a mean of about 1 of the"),
    "playground": ("choose('data', 'ring')", "The network has seen"),
    "reverse-step": ("slide('variance of the step', 0.01)", r"puts [0-3]\.\d % of"),
    "solver-error": ("choose('solver', 'heun')", r"\(Heun, 6 steps\) the error is 0\.15"),
    "straightening": ("choose('pairs', 'rectified')", r"curvature of the paths is 0\.000"),
    "ways-back": ("slide('start, up', 2)", "From here the smooth path leads to cluster B"),
}
STATES = {"first-look": "steps=5"}
HANDS = """
const root = document.getElementById(arguments[0]);
const control = (label) => [...root.querySelectorAll("label")]
    .find((one) => one.textContent === label).control;
function slide(label, value) {
  control(label).value = value;
  control(label).dispatchEvent(new Event("input"));
}
function choose(label, value) {
  control(label).value = value;
  control(label).dispatchEvent(new Event("change"));
}
function press(words) {
  [...root.querySelectorAll("button")].find((button) => button.textContent === words).click();
}
"""


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    executable = find_firefox()
    if executable is None:
        pytest.skip("no Firefox found: install one, or name it in the environment: FIREFOX=...")
    browser = Firefox(executable, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


class Shown:
    """A figure that runs."""

    def __init__(self, firefox: Firefox, site: str, name: str) -> None:
        page, self.place = FIGURES[name]
        self.firefox = firefox
        firefox.open("about:blank")  # or another address of the same page would load nothing
        state = STATES.get(name)
        firefox.open(site + page + (f"#{self.place}?{state}" if state else ""))
        self.run("""window.faults = [];
            addEventListener("error", (event) => faults.push(event.message));
            addEventListener("unhandledrejection", (event) => faults.push(String(event.reason)));
            root.scrollIntoView();""")
        if not state:
            self.run("root.querySelector('.live-start').click()")

    def run(self, script: str):
        return self.firefox.run(HANDS + script, self.place)

    def values(self) -> str:
        wait_for(lambda: self.run("return root.figure?.busy === false"))
        return self.run("return root.querySelector('.live-values').innerText")

    def picture(self) -> str:
        self.firefox.run("return new Promise((done) => requestAnimationFrame(() => done()))")
        return self.run("return root.querySelector('canvas').toDataURL()")


def test_each_figure_has_its_deed():
    assert set(DEEDS) == set(FIGURES)


@pytest.mark.parametrize("where", ["served", "from disk"])
@pytest.mark.parametrize("name", DEEDS)
def test_it_answers(firefox: Firefox, site: str, name: str, where: str):
    shown = Shown(firefox, site if where == "served" else DISK, name)
    first, before = shown.values(), shown.picture()
    deed, expected = DEEDS[name]
    shown.run(deed)
    said = shown.values()
    found = re.search(expected, said)
    assert found, said
    assert said != first
    assert shown.picture() != before
    if name == "bound-explorer":
        bound, gap, log_p = (round(1000 * float(number)) for number in found.groups())
        assert bound - gap == log_p
    assert shown.run("return faults") == []


def test_a_mouse_draws(firefox: Firefox, site: str):
    shown = Shown(firefox, site, "latent-map")
    first = shown.values()
    shown.run("root.querySelector('canvas').scrollIntoView({block: 'center'})")
    left, top, wide = shown.run("""const box = root.querySelector("canvas").getBoundingClientRect();
        return [box.left, box.top, box.width];""")
    side = min(0.6 * wide, 460)
    x, y = left + side + 24 + 0.12 * wide, top + 24 + 0.74 * side
    firefox.drag((x, y), (x - 4, y + 0.1 * side), (x - 8, y + 0.22 * side))
    assert shown.values() != first
    wait_for(lambda: "drawn=" in shown.run("return location.hash"))
    assert shown.run("return faults") == []


def test_a_missing_file_is_said(firefox: Firefox):
    page, place = FIGURES["one-step"]
    firefox.open(DISK + page)
    firefox.run("document.getElementById(arguments[0]).dataset.engine = 'nowhere.js'", place)
    firefox.run(HANDS + "root.querySelector('.live-start').click()", place)
    says = "return root.querySelector('.live-says').textContent"
    wait_for(lambda: firefox.run(HANDS + says, place).startswith("This figure"))
    assert "did not come" in firefox.run(HANDS + says, place)
    assert firefox.run(HANDS + "return root.querySelector('img').checkVisibility()", place)
