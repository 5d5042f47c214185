"""Draw the still pictures of the live figures: ``python code/tools/stills.py [NAME ...]``.

Each figure draws its own, in Chromium, from the book that was built last. They lie in the
repository, so that the build needs no browser.
"""

import re
import sys
from base64 import b64decode
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from bookbuild.checks.browser import find_chromium

STATES = {"first-look": "k=9"}
"""What a still shows, as its address says it, where that is not what the figure begins with."""
WIDTH, RATIO = 720, 2
COLOURS = 64
READY = "(root) => root.figure && !root.figure.busy"
PICTURE = f"(root) => root.figure.picture({WIDTH}, {RATIO})"
_FIGURE = re.compile(r"^`{3,}\{live\} (\S+)\n:name: (\S+)", re.MULTILINE)


def main() -> None:
    """Draw the stills that are named, or all."""
    root = Path.cwd()
    pages = {
        name: (page.stem, identifier)
        for page in sorted((root / "book").glob("*.md"))
        for name, identifier in _FIGURE.findall(page.read_text(encoding="utf-8"))
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium())
        for name in sys.argv[1:] or pages:
            page, identifier = pages[name]
            tab = browser.new_page()
            address = (root / f"_build/html/{page}.html").as_uri()
            tab.goto(f"{address}#{identifier}?{STATES.get(name, 'still')}")
            figure = tab.locator(f"#{identifier}").element_handle()
            tab.wait_for_function(READY, arg=figure)
            content = b64decode(tab.evaluate(PICTURE, figure).partition(",")[2])
            file = root / f"book/images/live-{name}.png"
            picture = Image.open(BytesIO(content)).quantize(COLOURS)
            picture.save(file)
            print(f"{file.name}: {file.stat().st_size} bytes")
        browser.close()


if __name__ == "__main__":
    main()
