import http.server
import threading
from collections.abc import Iterator

import pytest
from conftest import Book

from bookbuild.checks.links import check_links
from bookbuild.source.chapters import BookError


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a server that has one page, /there."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/there" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of Sphinx and its extensions are theirs
def test_a_dead_link_is_reported_apart_from_the_site(built: Book, server: str):
    typeset = "local_extensions:\n    bookbuild.extensions.mathematics: code"
    built.edit("_config.yml", "local_extensions:", typeset)
    before = {path: path.stat().st_mtime_ns for path in (built.root / "_build/html").rglob("*")}
    built.edit("book/index.md", "The value", f"[There]({server}/there). The value")
    check_links(built.root)
    built.edit("book/index.md", "There", f"Not]({server}/nowhere), [there")
    with pytest.raises(BookError, match=r"some links do not work: see .*linkcheck/output\.txt"):
        check_links(built.root)
    report = (built.root / "_build/linkcheck/output.txt").read_text(encoding="utf-8")
    assert f"{server}/nowhere" in report
    assert "/there" not in report.replace("/nowhere", "")
    after = {path: path.stat().st_mtime_ns for path in (built.root / "_build/html").rglob("*")}
    assert after == before
    assert built.ran("one") == 1
