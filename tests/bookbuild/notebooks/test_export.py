import json
import re
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import Book, cell

from bookbuild.notebooks.export import INSTALL, make_notebooks, write_notebooks
from bookbuild.run.execution import execute

PAGE = r"""
(place)=
(sec-intro)=
## Intro

It says {glue:text}`value`. By {eq}`eq-one` of {ref}`sec-intro`, {numref}`fig-square` and
{ref}`ex-one`:

By {prf:ref}`theorem-one` and no other:

:::{prf:theorem} So it is
:label: theorem-one

One is $\L$.
:::

$$
\L = 1
$$ (eq-one)

$$
x = \L
$$ (eq-two)

:::{exercise} Do it
:label: ex-one

Show {eq}`eq-two`.
:::

:::{exercise}
:label: ex-two

Again.
:::

"""
FIGURE = """---
mystnb:
  image: {alt: A black square}
  figure: {name: fig-square, caption: "A square, $\\\\L$."}
tags: [hide-input]
---
from IPython.display import SVG
SVG("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>")
"""
GLUE = """
from IPython.display import display
display({"application/papermill.record/text/plain": "'forty-two'"}, raw=True,
        metadata={"scrapbook": {"name": "value", "mime_prefix": "application/papermill.record/"}})
"""


@pytest.fixture
def written(book: Book, monkeypatch: pytest.MonkeyPatch) -> Book:
    """The tiny book with a numbered chapter that has one of everything."""
    for name in ("REF_TYPE", "BASE_REF", "SHA"):
        monkeypatch.delenv(f"GITHUB_{name}", raising=False)
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/fork")
    monkeypatch.setenv("GITHUB_REF_NAME", "v1.0.0")
    monkeypatch.setenv("GITHUB_REF_TYPE", "tag")
    book.write("book/equations.toml", '[one]\ndefinition = ["eq-one", "eq-two"]\n')
    book.write(
        "_toc.yml",
        "format: jb-book\nroot: index\nparts:\n  - caption: One\n    numbered: true\n"
        "    chapters: [{file: part/two}]\n  - caption: Two\n    numbered: true\n"
        "    chapters: [{file: one}]\n",
    )
    book.edit("_config.yml", "sphinx:\n", "sphinx:\n"
              "  extra_extensions: [sphinx_exercise, sphinx_proof]\n"
              "  recursive_update: true\n  config:\n"
              "    mathjax3_config: {tex: {macros: {L: \"\\\\mathcal{L}\"}}}\n")  # fmt: skip
    book.page("one", cell(GLUE, ":tags: [remove-cell]"), PAGE, cell(FIGURE))
    return book


def sources(book: Book, name: str = "one") -> str:
    return "\n\n".join(one.source for one in make_notebooks(book.root)[name].cells)


def test_every_page_with_code_is_one_and_is_valid(written: Book, tmp_path: Path):
    files = write_notebooks(written.root, tmp_path / "out")
    assert {str(file.relative_to(tmp_path / "out")) for file in files} == {
        "one.ipynb",
        "part/two.ipynb",
    }
    for file in files:
        notebook = nbformat.read(file, as_version=4)
        nbformat.validate(notebook)
        ids = [one.id for one in notebook.cells]
        assert len(set(ids)) == len(ids)
        assert notebook.metadata.kernelspec.name == "python3"
        assert all(one.outputs == [] for one in notebook.cells if one.cell_type == "code")
        assert all(one.execution_count is None for one in notebook.cells if "outputs" in one)


def test_the_same_sources_give_the_same_bytes(written: Book, tmp_path: Path):
    first = {p.name: p.read_bytes() for p in write_notebooks(written.root, tmp_path / "a")}
    (tmp_path / "b").mkdir()
    (tmp_path / "b/gone.ipynb").touch()
    second = {p.name: p.read_bytes() for p in write_notebooks(written.root, tmp_path / "b")}
    assert first == second
    assert not (tmp_path / "b/gone.ipynb").exists()


def test_nothing_of_myst_is_left(written: Book):
    text = sources(written)
    assert r"\mathcal{L} = 1 \tag{2.1}" in text
    assert r"x = \mathcal{L} \tag{2.2}" in text
    assert "By (2.1) of Intro, Fig. 2.1 and\nExercise 2.1:" in text
    assert "**Exercise 2.1 (Do it).** Show (2.2)." in text
    assert r"**Theorem 2.1 (So it is).** One is $\mathcal{L}$." in text
    assert "By Theorem 2.1 and no other:" in text
    assert r"**Fig. 2.1** A square, $\mathcal{L}$." in text
    assert not re.search(r"\{[\w:-]+\}`|^:::|^\(.*\)=$|```\{", text, re.MULTILINE)


def test_a_page_that_has_not_run_says_what_was_written_down(written: Book):
    assert "It says `value`." in sources(written)
    written.write("book/values.json", '{"one": {"value": "forty-one"}}')
    assert "It says forty-one." in sources(written)
    execute(written.root)
    assert "It says forty-two." in sources(written)


def test_the_numbers_are_those_of_the_page(written: Book):
    written.build()
    page = written.html("one")
    for label, number in {"eq-one": r"2\.1", "eq-two": r"2\.2"}.items():
        assert re.search(
            rf'id="equation-{label}".{{0,40}}<span class="eqno">\({number}\)', page, re.S
        )
    assert "Exercise 2.1</span></a>" in page
    assert "Exercise 2.1 </span> (Do it)" in page
    assert "Exercise 2.2 </span>" in page
    assert "Theorem 2.1 </span> (So it is)" in page
    assert 'href="#theorem-one">Theorem 2.1</a>' in page
    assert "Fig. 2.1</span></a>" in page


def test_values_of_a_run_are_in_the_text(written: Book):
    assert "It says `value`." in sources(written)
    written.execute()
    assert "It says forty-two." in sources(written)


def test_code_that_the_page_folds_is_folded_and_runs(written: Book):
    _, _, *cells = make_notebooks(written.root)["one"].cells
    code = [one for one in cells if one.cell_type == "code"]
    assert [one.source.strip().splitlines()[0] for one in code] == [
        "from IPython.display import display",
        "from IPython.display import SVG",
    ]
    assert all(one.metadata.jupyter.source_hidden for one in code)
    assert make_notebooks(written.root)["part/two"].cells[-1].metadata == {}


def test_the_first_cell_installs_the_package_at_the_tag(written: Book):
    first = make_notebooks(written.root)["one"].cells[0]
    assert first.cell_type == "code"
    assert '"tiny @ git+https://github.com/someone/fork@v1.0.0"' in first.source


def test_where_nothing_is_published_the_first_cell_says_so(
    written: Book, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("GITHUB_REPOSITORY")
    first = make_notebooks(written.root)["one"].cells[0]
    assert first.source.endswith("\nimport tiny")
    assert "someone" not in sources(written)


@pytest.mark.parametrize("installed", [True, False])
def test_the_install_cell(monkeypatch: pytest.MonkeyPatch, installed: bool):
    """It does nothing where the package is, and else installs without another PyTorch."""
    present = {"torch", *(["tiny"] if installed else [])}
    ran = []

    def run(command: list[str], check: bool) -> None:
        assert check
        pins = Path(command[command.index("--constraint") + 1])
        ran.append((command, pins.read_text()))

    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name in present else None)
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"1.0+{name}")
    monkeypatch.setattr("subprocess.run", run)
    exec(INSTALL.format(name="tiny", url="https://example.org/o/n", ref="v1"), {})
    if installed:
        assert ran == []
    else:
        ((command, pins),) = ran
        assert command[:4] == [sys.executable, "-m", "pip", "install"]
        assert command[-1] == "tiny @ git+https://example.org/o/n@v1"
        assert "--upgrade" not in command
        assert pins == "torch==1.0+torch\n"


def test_works_cited_stand_at_the_end(written: Book):
    written.write(
        "book/works.bib",
        "@article{ng, author={Ng, Ann}, title={A Title}, journal={J}, year={2001}}",
    )
    written.edit("_config.yml", "title: Tiny", "title: Tiny\nbibtex_bibfiles: [works.bib]")
    written.page("one", cell("1"), "As {cite:t}`ng` says.\n")
    last = make_notebooks(written.root)["one"].cells[-1].source
    assert last.startswith("## Works cited\n\n- ")
    assert "A title" in last or "A Title" in last


def test_the_command(written: Book):
    status, _, err = written.run("-m", "bookbuild", "notebooks")
    assert status == 0, err
    notebook = json.loads((written.root / "_build/notebooks/one.ipynb").read_text())
    assert notebook["nbformat"] == 4
