"""A page opened in the browser, with all that it asked for or complained of."""

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Request, Response, Route

PATIENCE = 300_000  # milliseconds; a busy machine is slow, not wrong
READY = "async () => { await document.fonts.ready; }"


class Visit:
    """One page, loaded once, and all that it asked for or complained of meanwhile."""

    def __init__(
        self,
        browser: Browser,
        site: str,
        name: str,
        width: int = 1280,
        routes: dict[str, Callable[[Route], None]] | None = None,
        **options: Any,
    ):
        self.site = site
        self.context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        self.context.set_default_timeout(PATIENCE)
        for pattern, answer in (routes or {}).items():
            self.context.route(pattern, answer)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.loaded: dict[str, int] = {}
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"script error: {error}"))
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._response)
        self.page.goto(site + name)
        self.page.evaluate(READY)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console {message.type}: {message.text}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # cut off by the next page, or the same anew
            self.complaints.append(f"failed: {request.url}: {request.failure}")

    def _response(self, response: Response) -> None:
        if not response.url.startswith(("data:", "blob:", self.site)):
            self.complaints.append(f"asks a third party: {response.url}")
        if response.status >= 400:
            self.complaints.append(f"{response.status}: {response.url}")
        self.loaded[response.url] = int(response.headers.get("content-length", 0))
