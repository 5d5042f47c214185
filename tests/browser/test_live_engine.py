"""The tests of the figures' mathematics once more, in Chromium: word for word those of V8 alone."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from live.engine import Engine
from live.test_live_mathematics import *  # noqa: F403
from live.test_live_networks import *  # noqa: F403
from live.test_plane import *  # noqa: F403
from live.test_playground import *  # noqa: F403


@pytest.fixture(scope="module")
def engine(browser: Browser) -> Iterator[Engine]:
    page = browser.new_page()
    page.goto("about:blank")
    yield Engine(lambda program: page.add_script_tag(content=program), page.evaluate)
    page.close()


@pytest.fixture(autouse=True)
def _close_pages() -> None:
    """All tests share one page."""
