import re
from xml.etree import ElementTree

import pytest
from conftest import Book

from bookbuild.extensions.site import in_words, sitemap_of


@pytest.fixture
def published(executed: Book) -> Book:
    executed.edit(
        "_config.yml", "local_extensions:", "local_extensions:\n    bookbuild.extensions.site: code"
    )
    executed.edit("_config.yml", "sphinx:", "html: {baseurl: 'https://a.example/tiny/'}\nsphinx:")
    return executed


def test_a_description_has_words_for_formulas(published: Book):
    published.write("book/index.md", "# Tiny\n\nThe bound on $\\log p_\\theta(x)$, once.\n")
    published.build()
    html = published.html("index")
    assert '<meta name="description" content="The bound on log p_θ(x), once." />' in html
    assert r"\(\log p_\theta(x)\)" in html, "the page itself keeps its formula"


def test_formulas_in_words():
    assert in_words(r"x_1, \dots, x_{T}") == "x_1, …, x_T"
    assert in_words(r"\Lambda \le \log\, z") == "Λ ≤ log z"


def test_a_site_with_an_address(published: Book):
    published.build()
    missing = published.html("404")
    assert 'href="/tiny/_static/' in missing, "it is served at any depth"
    assert 'href="/tiny/part/two.html"' in missing
    assert 'href="_static/' not in missing
    page = published.html("part/two")
    assert '<link rel="canonical" href="https://a.example/tiny/part/two.html"' in page
    assert '<meta property="og:url" content="https://a.example/tiny/part/two.html"' in page
    assert '<meta property="og:image" content="https://a.example/tiny/_static/card.png"' in page
    assert (published.root / "_build/html/_static/card.png").is_file()
    sitemap = (published.root / "_build/html/sitemap.xml").read_text()
    assert "<loc>https://a.example/tiny/part/two.html</loc>" in sitemap


def test_without_an_address_nothing_pretends_to_know_it(published: Book):
    published.edit("_config.yml", "html: {baseurl: 'https://a.example/tiny/'}", "")
    published.build()
    assert not (published.root / "_build/html/sitemap.xml").exists()
    assert "canonical" not in published.html("index")
    previews = re.findall('property="og:([^"]+)"', published.html("index"))
    assert "title" in previews
    assert not {"url", "image", "image:alt"} & set(previews), "they are nothing without a host"
    assert 'href="/_static/' in published.html("404")


def test_a_sitemap_is_xml():
    tree = ElementTree.fromstring(sitemap_of(["https://a.example/?a=1&b=2", "https://b.example/"]))
    name = "{http://www.sitemaps.org/schemas/sitemap/0.9}loc"
    assert [loc.text for loc in tree.iter(name)] == [
        "https://a.example/?a=1&b=2",
        "https://b.example/",
    ]
