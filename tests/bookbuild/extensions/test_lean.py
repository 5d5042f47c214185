from base64 import b64decode
from pathlib import Path

from fontTools.ttLib import TTFont

from bookbuild.extensions.lean import icon_files, slim

PAGE = """<html>
  <head>
    <meta name="viewport" content="width=device-width" /><meta name="viewport" content="twice" />
  <script>
    document.documentElement.dataset.theme = localStorage.getItem("theme") || "auto";
  </script>
    <link rel="stylesheet" href="_static/sphinx-thebe.css" />
    <link rel="stylesheet" href="_static/book.css" />
  <script defer src="_static/scripts/fontawesome.js?digest=5"></script>
    <script src="_static/documentation_options.js"></script>
    <script>let toggleHintShow = 'Click to show';</script>
    <script>const THEBE_JS_URL = "https://elsewhere.example/thebe.js"</script>
    <script async="async" src="_static/sphinx-thebe.js"></script>
    <script type="text/x-thebe-config">
    {binderOptions: {repo: "elsewhere/examples"}}
    </script>
    <script>kernelName = 'python3'</script>
    <script>DOCUMENTATION_OPTIONS.pagename = 'one';</script>
    <script src="_static/searchtools.js"></script>
    <script src="searchindex.js"></script>
  </head>
</html>
"""
SLIM = """<html>
  <head>
    <meta name="viewport" content="width=device-width" />
  <script>
    document.documentElement.dataset.theme = localStorage.getItem("theme") || \
(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  </script>
    <link rel="stylesheet" href="_static/book.css" />
    <script defer src="_static/documentation_options.js"></script>
    <script>let toggleHintShow = 'Click to show';</script>
    <script type="module">DOCUMENTATION_OPTIONS.pagename = 'one';</script>
  </head>
</html>
"""


def test_a_page_keeps_what_it_uses():
    assert slim(PAGE, searches=False) == SLIM


def test_the_page_of_results_keeps_the_index():
    assert '<script defer src="searchindex.js">' in slim(PAGE, searches=True)


def test_once_is_enough():
    assert slim(SLIM, searches=False) == SLIM


def test_the_fonts_hold_the_icons_and_little_else(tmp_path: Path):
    for name, content in icon_files({"sun", "github", "lg"}).items():
        (tmp_path / name).write_bytes(b64decode(content))
    styles = (tmp_path / "icons.css").read_text()
    solid, brands = (tmp_path / f"fa-{name}.woff" for name in ("solid-900", "brands-400"))
    assert "\uf185" in characters(solid), "the sun"
    assert "\uf186" not in characters(solid), "the moon"
    assert "\uf05a" in characters(solid), "what the style sheet itself puts before a note"
    assert "\uf09b" in characters(brands), "the cat"
    assert all(f"url({font.name})" in styles for font in (solid, brands))
    assert all(font.stat().st_size < 5000 for font in (solid, brands))


def characters(font: Path) -> str:
    return "".join(map(chr, TTFont(font).getBestCmap()))
