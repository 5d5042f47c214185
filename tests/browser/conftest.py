"""A server of the built book, as a host serves it, and one Chromium for all tests."""

import gzip
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, sync_playwright

from bookbuild.checks.browser import find_chromium
from bookbuild.source.chapters import BookError

ROOT = Path(__file__).parents[2]
HTML = ROOT / "_build/html"
ZIPPED = {".html", ".css", ".js", ".svg", ".xml", ".json", ".ipynb", ".md", ".txt"}


if not (HTML / "404.html").is_file():
    pytest.exit(f"no book in {HTML}: run `make book` first", returncode=1)
try:
    CHROMIUM = find_chromium()
except BookError as error:
    pytest.exit(str(error), returncode=1)
# The folder of its host that the book was built for: its page for what is not there tells.
PREFIX = re.search(r'href="([^"]*)_static/', (HTML / "404.html").read_text(encoding="utf-8"))[1]


class Host(SimpleHTTPRequestHandler):
    """Serves below `PREFIX`, compressed, and the book's own page for what it does not have."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        file = Path(self.translate_path("/" + path.removeprefix(PREFIX)))
        status = 200
        if file.is_dir():
            file /= "index.html"
        if not path.startswith(PREFIX) or not file.is_file():
            status, file = 404, HTML / "404.html"
        content = file.read_bytes() if file.is_file() else b""
        self.send_response(status)
        self.send_header("Content-Type", self.guess_type(file))
        self.send_header("Cache-Control", "max-age=600")
        if file.suffix in ZIPPED:
            content = gzip.compress(content, 6)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """Yield the address of the built book."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Host, directory=HTML)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{PREFIX}"
        server.shutdown()


@pytest.fixture(autouse=True)
def _close_pages(request: pytest.FixtureRequest) -> Iterator[None]:
    """Close what a test has opened: a figure that goes on computing slows the next."""
    yield
    if "browser" in request.fixturenames:
        for context in request.getfixturevalue("browser").contexts:
            context.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Yield the one browser, without the requests that it makes by itself."""
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-quic"]
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=quiet)
