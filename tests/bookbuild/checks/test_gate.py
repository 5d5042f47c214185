import json
from collections.abc import Callable
from hashlib import sha256

import pytest
from conftest import PLACE, Book, cell

from bookbuild.checks.gate import gate
from bookbuild.source.chapters import BookError


def faults(book: Book) -> list[str]:
    """What the gate says, line by line."""
    try:
        gate(book.root, book.root / "_build/html")
    except BookError as error:
        return str(error).splitlines()[1:]
    return []


def test_the_tiny_book_passes(built: Book):
    assert faults(built) == []


def in_html(old: str, new: str, page: str = "one") -> Callable[[Book], None]:
    return lambda book: book.edit(f"_build/html/{page}.html", old, new)


def in_outputs(old: str, new: str) -> Callable[[Book], None]:
    def edit(book: Book) -> None:
        (path,) = book.root.glob("_build/.jupyter_cache/one-*/executed/*/base.ipynb")
        book.edit(str(path.relative_to(book.root)), old, new)
        record = path.parents[2] / "run.json"  # whose hash would else tell of the damage
        run = json.loads(record.read_text()) | {"sha256": sha256(path.read_bytes()).hexdigest()}
        record.write_text(json.dumps(run))

    return edit


def remove(pattern: str) -> Callable[[Book], None]:
    def unlink(book: Book) -> None:
        (path,) = book.root.glob(pattern)
        path.unlink()

    return unlink


ALT = 'alt="A black square"'
END = "</article>"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            remove("_build/html/part/two.html"),
            ["index: leads to no file", "one: leads to no file", "part/two: no page "],
        ),
        # Cells
        (in_outputs('"execution_count": 2', '"execution_count": null'), ["one, code cell 2: did"]),
        (
            in_outputs('"output_type": "stream"', '"output_type": "error"'),
            ["one, code cell 1: ended in an error"],
        ),
        (
            lambda book: book.edit("book/one.md", "print(WORD)", "print(WORD, 1)"),
            ["one: its cells have not run as they stand"],
        ),
        (in_html('class="cell docutils', 'class="c docutils'), ["one: shows 1 code cells, but sh"]),
        (
            in_html("cell_output", "c"),
            ["one, code cell 1: its output", "one, code cell 2: its out"],
        ),
        (in_html("output stream", "output traceback stream"), ["one: shows a traceback"]),
        # Mathematics
        (in_html(END, f"<p>so $\\log</p>{END}"), ["one: shows TeX: so $\\log"]),
        (in_html(END, f"<p>$$x$$</p><code>\\sqrt</code>{END}"), ["one: shows TeX: $$x$$"]),
        (in_html(END, f'<span class="math">\\(\\sqrt 2\\)</span>{END}'), []),
        # Images
        (in_html(ALT, ""), ["one, code cell 2: no alternative text: _images/"]),
        (in_html(ALT, 'alt=" "'), ["one, code cell 2: no alternative text"]),
        (in_html(ALT, 'alt="_images/a.svg"'), ["one, code cell 2: its alternative text is a fi"]),
        (in_html(ALT, 'alt="my figure.PNG"'), ["one, code cell 2: its alternative text is a fi"]),
        (in_html(ALT, 'alt="0123456789abcdef"'), ["one, code cell 2: its alternative text is"]),
        (in_html(ALT, 'alt="A decade"'), []),
        (in_html(END, f'<img alt="" src="index.html"/>{END}'), ["one: no alternative text: index"]),
        (in_html("</body>", '<img alt="" src="index.html"/></body>'), []),
        (in_html("</body>", '<img src="index.html"/></body>'), ["one: no alternative text: index"]),
        # Links
        (remove("_build/html/_images/*.svg"), ["one: leads to no file of the book: _images/"]),
        (
            in_html(END, f'<a href="tow.html">x</a>{END}'),
            ["one: leads to no file of the book: tow"],
        ),
        (in_html(END, f'<a href="part/two.html?a=b">x</a>{END}'), []),
        (in_html(END, f'<a href="part/">x</a>{END}'), ["one: leads to no file of the book: part/"]),
        (in_html(END, f'<a href="/index.html">x</a>{END}'), ["one: leads to no file of the book"]),
        (in_html(END, f'<a href="../../_toc.yml">x</a>{END}'), ["one: leads to no file of the"]),
        (in_html(END, f'<a href="#nowhere">x</a>{END}'), ["one: leads to no such place on the p"]),
        (in_html(END, f'<a href="https://x.org/y#z">x</a>{END}'), []),
        (in_html(END, f'<a href="//x.org/y">x</a>{END}'), []),
        (
            in_html('id="place"', 'id="palace"'),
            ["one: leads to no such", "part/two: leads to no su"],
        ),
    ],
)
def test_each_fault_is_found(built: Book, damage: Callable[[Book], None], said: list[str]):
    damage(built)
    found = faults(built)
    assert len(found) == len(said), found
    for line, start in zip(found, said, strict=True):
        assert line.startswith(start)


def test_all_faults_come_at_once(built: Book):
    in_html(ALT, "")(built)
    remove("_build/html/part/two.html")(built)
    remove("_build/html/index.html")(built)
    # one.html links to both of the pages that are gone
    pages = {line.partition(":")[0].partition(",")[0] for line in faults(built)}
    assert pages == {"index", "one", "part/two"}


def test_cells_may_hide_what_they_hide(executed: Book):
    shown = "print('a word')"
    executed.page(
        "one",
        PLACE,
        cell("import myst_nb\nmyst_nb.glue('value', 1)", ":tags: [remove-output]"),
        *(cell(shown, f":tags: [{tag}]") for tag in ("hide-input", "hide-output", "hide-cell")),
        *(cell(shown, f":tags: [{tag}]") for tag in ("remove-cell", "remove-input", "remove_cell")),
        cell(shown, ":tags: [remove-input, remove-output]"),
        cell("myst_nb.glue('other', 1, display=False)"),
    )
    executed.build()  # which ends with the gate
    assert executed.html("one").count("a word") == 4 + 3  # four outputs, three sources


def test_a_cell_that_never_runs_is_found(executed: Book):
    executed.page("one", PLACE, cell(""), cell("1", ":tags: [skip-execution]"), cell("2"))
    executed.edit("book/index.md", "{glue:}`one.md::value`", "2")
    with pytest.raises(BookError) as caught:
        executed.build()
    assert str(caught.value).splitlines()[1:] == [
        "one, code cell 1: did not run",
        "one, code cell 2: did not run",
    ]
