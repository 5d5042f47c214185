from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from bookbuild.checks.browser import find_chromium
from bookbuild.pdf import headings, one_document
from bookbuild.source.chapters import BookError

FORMULA = (
    '<mjx-container><mjx-math aria-hidden="true"></mjx-math><mjx-assistive-mml><math><mi>x</mi>'
    "<mo>∣</mo>\n<mi>z</mi></math></mjx-assistive-mml></mjx-container>"
)
PAGE = """<html><head><title>{name}</title>{head}
<link rel="stylesheet" href="{up}_static/a.css?v=1" /></head>
<body><nav><a href="#top">a sidebar</a></nav><article class="bd-article"><section id="top">
<h1>1. Of {formula}<a class="headerlink" href="#top">#</a></h1>
{text}
</section></article></body></html>"""


@pytest.fixture
def html(tmp_path: Path) -> Path:
    return tmp_path / "html"


def write(html: Path, name: str, text: str, head: str = "") -> None:
    file = html / f"{name}.html"
    file.parent.mkdir(parents=True, exist_ok=True)
    up = "../" * name.count("/")
    file.write_text(PAGE.format(name=name, up=up, text=text, head=head, formula=FORMULA))


def links(document: BeautifulSoup) -> dict[str, str]:
    return {link.text: link["href"] for link in document.find_all("a")}


def test_links_lead_to_places_in_the_one_document(html: Path):
    write(html, "one", '<a href="part/two.html#top">a</a> <a href="#top">b</a>')
    write(html, "part/two", '<a href="../one.html">c</a> <a href="https://a.example/#d">d</a>')
    document = one_document(html, ["one", "part/two"])
    assert links(document) == {
        "a": "#part/two.html:top",
        "b": "#one.html:top",
        "c": "#one.html",
        "d": "https://a.example/#d",
    }
    places = [tag["id"] for tag in document.find_all(id=True)]
    assert places == ["one.html", "one.html:top", "part/two.html", "part/two.html:top"]


def test_a_link_to_the_site_is_kept_where_the_site_is_known(html: Path):
    text = '<a href="../_modules/m.html#f">code</a>'
    write(html, "part/one", text)
    document = one_document(html, ["part/one"])
    assert links(document) == {}
    assert "code" in document.text
    write(html, "part/one", text, '<link rel="canonical" href="https://a.example/part/one.html">')
    assert links(one_document(html, ["part/one"])) == {
        "code": "https://a.example/_modules/m.html#f"
    }


def test_files_are_found_from_beside_the_folder(html: Path):
    write(html, "part/one", '<img src="../_images/a.svg"><img src="data:image/png;base64,A">')
    document = one_document(html, ["part/one"])
    assert document.find("link", rel="stylesheet")["href"] == "html/_static/a.css?v=1"
    assert [image["src"] for image in document.find_all("img")] == [
        "html/_images/a.svg",
        "data:image/png;base64,A",
    ]


def test_nothing_is_folded_and_nothing_asks_for_a_click(html: Path):
    write(
        html,
        "one",
        "<details class='hide'><summary>Show code</summary><pre>1</pre></details>"
        "<details class='hint'><summary>Hint</summary>2</details><button>copy</button>",
    )
    document = one_document(html, ["one"])
    assert "Show code" not in document.text
    assert "copy" not in document.text
    assert "a sidebar" not in document.text
    (hint,) = document.find_all("details")
    assert hint.has_attr("open")
    assert document.find("pre").text == "1"


def test_formulas_are_spoken_and_bookmarked_as_text(html: Path):
    write(html, "one", '<p role="heading">A\n caption</p>')
    document = one_document(html, ["one"])
    assert document.find("mjx-container")["aria-label"] == "x∣ z"
    assert document.find("mjx-assistive-mml") is None
    assert headings(document) == ["1. Of x∣ z", "A caption"]


def test_the_browser_that_is_named_goes_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHROMIUM", "/a/browser")
    assert find_chromium() == "/a/browser"


def test_without_a_browser_there_is_help(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BookError, match="no Chromium found: install one"):
        find_chromium()
    browser = tmp_path / "google-chrome"
    browser.touch(mode=0o755)
    assert find_chromium() == str(browser)
