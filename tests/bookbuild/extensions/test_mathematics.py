import gzip
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from conftest import Book

from bookbuild.__main__ import main
from bookbuild.build import build, faults, renew
from bookbuild.extensions.mathematics import SHIPPED, NoEngineError, Typesetter, fault
from bookbuild.source.chapters import BookError
from bookbuild.source.memory import read

MACROS = {"half": r"\frac{1}{2}", "ratio": [r"\frac{#1}{#2}", 2]}


@pytest.fixture(scope="module")
def typeset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Typesetter]:
    typesetter = Typesetter(MACROS, tmp_path_factory.mktemp("root"))
    yield typesetter
    typesetter.close(forget=False)


def spoken(html: str) -> str:
    """What a screen reader is given."""
    return re.search(r"<math.*</math>", html)[0]


def test_a_formula_is_drawn_and_spoken(typeset: Typesetter):
    html = typeset("x^2", display=False)
    assert html.startswith("<mjx-container")
    assert "<msup><mi>x</mi><mn>2</mn></msup>" in spoken(html)
    assert 'display="true"' not in html
    assert 'display="true"' in typeset("x^2", display=True)


def test_the_macros_of_the_book_are_known(typeset: Typesetter):
    assert spoken(typeset(r"\half", display=False)) == spoken(
        typeset(r"\ratio{1}{2}", display=False)
    )


def test_a_formula_is_typeset_once(typeset: Typesetter, tmp_path: Path, monkeypatch):
    first = Typesetter(MACROS, tmp_path)
    half = first(r"\half", display=False)
    first.close(forget=False)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "py_mini_racer", None)
        assert Typesetter(MACROS, tmp_path)(r"\half", display=False) == half
    other = Typesetter({"half": r"\frac{2}{4}"}, tmp_path)  # what a macro says has changed
    assert "<mn>4</mn>" in spoken(other(r"\half", display=False))
    other.close(forget=False)


def test_a_formula_does_not_define_what_another_means(typeset: Typesetter):
    assert "<mjx-merror" in typeset(r"\newcommand{\half}{2} \half", display=False)


@pytest.mark.parametrize("tex", [r"\frac{1}", r"\nonsense", r"x^2^3", r"\begin{split} x"])
def test_what_is_no_tex_is_marked(typeset: Typesetter, tex: str):
    assert "<mjx-merror" in typeset(tex, display=True)


def test_the_styles_find_the_fonts_beside_them(typeset: Typesetter):
    assert 'url("./MathJax_Math-Italic.woff")' in typeset.styles()


@pytest.fixture
def mathematical(executed: Book) -> Book:
    executed.edit(
        "_config.yml",
        "local_extensions:",
        "local_extensions:\n    bookbuild.extensions.mathematics: code",
    )
    executed.edit("_config.yml", "sphinx:", "sphinx:\n  config: {html_math_renderer: typeset}")
    executed.write("book/equations.toml", '[index]\ndefinition = ["eq-tiny"]\n')
    executed.write(
        "book/index.md",
        "# Tiny\n\nFor $y$, $z$.\n\n$$\na &= b \\\\\n&= c\n$$ (eq-tiny)\n\nSee {eq}`eq-tiny`.\n",
    )
    return executed


def test_a_page_needs_no_script_for_its_formulas(mathematical: Book):
    mathematical.build()
    html = mathematical.html("index")
    assert html.count("<mjx-container") == 3
    assert html.count("</mjx-container>,</span> ") == 1, "no line begins with a comma"
    assert "</mjx-container>.</span></p>" in html
    assert "<mtable" in html, "an equation breaks where its author breaks it"
    assert '<span class="eqno">(1)' in html
    assert "mathjax" not in re.findall(r"<script[^>]*>", html)
    folder = mathematical.root / "_build/html/_static/mathematics"
    assert (folder / "MathJax_Math-Italic.woff").is_file()


def test_an_unreadable_formula_fails_the_build(
    mathematical: Book, capsys: pytest.CaptureFixture[str]
):
    mathematical.edit("book/index.md", "$y$", r"$\nonsense$")
    with pytest.raises(BookError, match="Sphinx"):
        mathematical.build()
    assert r"index.md:3: WARNING: MathJax cannot read '\\nonsense'" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")  # those of Sphinx and its extensions are theirs
def test_the_formulas_that_are_shipped_need_no_engine(
    mathematical: Book, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    mathematical.build()
    assert "book/formulas.json.gz lacks 4 formulas, or has others" in faults(mathematical.root)
    mathematical.edit("book/index.md", "$y$, ", "")
    renew(mathematical.root)
    assert fault(mathematical.root) is None
    first = mathematical.html("index")
    shutil.rmtree(mathematical.root / "_build")
    monkeypatch.setitem(sys.modules, "py_mini_racer", None)
    mathematical.build()
    assert mathematical.html("index") == first
    mathematical.edit("book/index.md", "For ", "For $y$, ")
    with pytest.raises(NoEngineError, match="mini-racer, which typesets it, is not installed"):
        mathematical.build()
    monkeypatch.chdir(mathematical.root)
    monkeypatch.setattr("sys.argv", ["bookbuild", "build"])
    assert main() == 4, "the Makefile installs it and builds again"
    assert f"bookbuild: {SHIPPED} is damaged or lacks a formula" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")  # those of Sphinx and its extensions are theirs
def test_a_fresh_build_finds_what_is_wrong_with_the_formulas_shipped(mathematical: Book):
    renew(mathematical.root)
    basis, formulas = read(file := mathematical.root / SHIPPED)
    altered = {key: html.replace("<mi>z</mi>", "<mi>s</mi>") for key, html in formulas.items()}
    file.write_bytes(gzip.compress(json.dumps([basis, altered]).encode()))
    build(mathematical.root, fresh=True)
    assert "<mi>z</mi>" in mathematical.html("index")
    assert fault(mathematical.root) == "book/formulas.json.gz lacks 1 formulas, or has others"


def test_an_equation_carries_its_tex_without_the_commands_of_the_book(mathematical: Book):
    macros = "mathjax3_config: {tex: {macros: {half: '\\frac{1}{2}'}}}"
    mathematical.edit("_config.yml", "config: {", f"config: {{{macros}, ")
    mathematical.edit("book/index.md", "a &= b", r"a &= \half b \text{ < c}")
    mathematical.build()
    equation = BeautifulSoup(mathematical.html("index"), "html.parser").select_one("div.math")
    assert equation["data-tex"] == "a &= \\frac{1}{2} b \\text{ < c} \\\\ &= c"
