from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from conftest import Book
from sphinx.errors import ExtensionError

from bookbuild.extensions.search import make_index, readable, spoken, with_program

FORMULA = (
    "<mjx-container><mjx-math>&#x3B2;</mjx-math><mjx-assistive-mml><math>"
    "<mi>&#x1D6FD;</mi><mo>&lt;</mo><mn>1</mn></math></mjx-assistive-mml></mjx-container>"
)


@pytest.mark.parametrize(
    ("symbols", "words"),
    [
        ("\N{MATHEMATICAL ITALIC SMALL BETA}t", "β beta t"),
        ("λ", "λ lambda"),
        ("Σ", "Σ sigma"),
        ("x≤1", "x≤1"),
    ],
)
def test_a_greek_letter_is_a_word(symbols: str, words: str):
    assert spoken(symbols) == words


def page(content: str) -> str:
    head = "<html><head><title>A page</title></head>"
    return (
        f'{head}<body><nav>menu</nav><article class="bd-article">{content}</article></body></html>'
    )


def test_what_is_indexed_of_a_page():
    content = (
        f'<section id="place"><h2>Place<a class="headerlink">#</a></h2><p>Here {FORMULA}.</p>'
        f'<div class="math">{FORMULA}</div><script>let x</script><button>Copy</button></section>'
    )
    found = BeautifulSoup(readable(page(content), "elbo"), "html.parser")
    assert found.title.text == "A page"
    assert found.body.get_text(" ", strip=True) == "Place Here β beta <1."
    assert found.h2["id"] == "place"
    assert found.body["data-pagefind-meta"] == "worth:1"
    solution = readable(page(content), "solutions/elbo")
    assert BeautifulSoup(solution, "html.parser").body["data-pagefind-meta"] == "worth:0.6"


def test_definitions_weigh_more():
    content = "<dl><dt>Term</dt><dd>Words</dd></dl><pre>code</pre>"
    found = BeautifulSoup(readable(page(content), "notation"), "html.parser")
    assert float(found.dt["data-pagefind-weight"]) > 1 > float(found.pre["data-pagefind-weight"])
    assert "data-pagefind-weight" not in found.dd.attrs


def test_scripts_give_way_once():
    before = (
        '<head><script defer src="_static/searchtools.js?v=1"></script>\n'
        '<script defer src="_static/other.js"></script>\n'
        '<script defer src="searchindex.js"></script>\n</head>'
    )
    after = with_program(before)
    assert 'defer src="searchindex' not in after
    assert "other.js" in after
    assert after.count("pagefind.js") == 1
    assert with_program(after) == after


def test_a_fault_of_pagefind_is_told(tmp_path: Path):
    with pytest.raises(ExtensionError, match="Pagefind made no index"):
        make_index({}, tmp_path / "pages", tmp_path / "index")


def test_the_book_has_an_index(executed: Book):
    code = "local_extensions:\n    bookbuild.extensions.search: code"
    executed.edit("_config.yml", "local_extensions:", code)
    executed.build()
    html = executed.root / "_build/html"
    assert (html / "pagefind/pagefind.js").is_file()
    assert list((html / "pagefind/fragment").iterdir())
    assert not list(html.glob("pagefind/*ui*"))
    assert not list(html.rglob("*.pf_fragment.html"))
