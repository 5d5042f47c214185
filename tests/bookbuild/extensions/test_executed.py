import shutil

import pytest
from conftest import CODE, EQUATIONS, GLUE, MARKS, TESTS, Book

from bookbuild.source.chapters import BookError


def test_what_changes_shows_and_nothing_else_runs(settled: Book):
    # Prose on one page; on another page, only what the code behind its cells does.
    settled.edit("book/part/two.md", "See", "Look at")
    settled.edit("code/tiny/words.py", "hello", "hallo")
    settled.build()
    assert "Look at" in settled.html("part/two")
    assert "hallo" in settled.html("one")
    assert (settled.ran("one"), settled.ran("two")) == (2, 1)
    assert len(settled.cached()) == 2


def test_a_value_glued_on_one_page_follows_on_another(settled: Book):
    settled.edit("book/one.md", "forty-two", "forty-three")
    settled.build()
    assert "forty-three" in settled.html("index")


def test_a_value_no_longer_glued_is_missed(settled: Book):
    settled.edit("book/one.md", GLUE, "1")
    with pytest.raises(BookError):
        settled.build()


def test_a_link_that_another_page_breaks_is_found(settled: Book):
    settled.edit("book/one.md", "(place)=\n", "")  # part/two links there, and is not edited
    with pytest.raises(BookError):
        settled.build()


def modified(book: Book) -> dict[str, int]:
    html = book.root / "_build/html"
    return {name: (html / f"{name}.html").stat().st_mtime_ns for name in ("one", "part/two")}


def everything(book: Book) -> dict[str, bytes]:
    """Return the files of the site by name; the search index lists pages as they were read last."""
    html = book.root / "_build/html"
    files = (file for file in html.rglob("*") if file.is_file() and file.stem != "searchindex")
    return {file.relative_to(html).as_posix(): file.read_bytes() for file in files}


def build(book: Book) -> None:
    """Build in a process of its own: in one that has built before, Jupyter Book's settings grow."""
    status, _, err = book.run("-m", "bookbuild", "build")
    assert status == 0, err


ALL = ("boxes", "colophon", "equation_links", "lean", "mathematics", "site")


@pytest.fixture
def complete(executed: Book) -> Book:
    """Return the tiny book with every extension, with an equation, and built."""
    places = "".join(f"\n    bookbuild.extensions.{name}: code" for name in ALL)
    executed.edit("_config.yml", "local_extensions:", f"local_extensions:{places}")
    executed.edit("_config.yml", "sphinx:", "sphinx:\n  config: {html_math_renderer: typeset}")
    executed.edit("book/one.md", "## Place\n", f"## Place\n\n{EQUATIONS}")
    executed.write("code/tiny/sums.py", CODE)
    executed.write("tests/test_sums.py", TESTS)
    executed.write("book/equations.toml", MARKS)
    build(executed)
    return executed


def test_an_edit_of_prose_writes_that_page_alone_and_all_is_as_if_rendered_anew(complete: Book):
    before = modified(complete)
    complete.edit("book/part/two.md", "See", "Look, for $x$, at")
    build(complete)
    after, partial = modified(complete), everything(complete)
    assert after["one"] == before["one"]
    assert after["part/two"] > before["part/two"]
    complete.write("_build/.unfinished", "")
    build(complete)
    assert everything(complete) == partial


@pytest.mark.parametrize(
    ("file", "old", "new", "shown"),
    [
        ("book/one.md", "## Place", "## Square", "Square"),  # what another page's link says
        ("book/one.md", "# Page one", "# First page", "First page"),  # in the list of pages
    ],
)
def test_what_pages_share_follows_on_another(
    settled: Book, file: str, old: str, new: str, shown: str
):
    settled.edit("book/part/two.md", "the place <place>", "place")
    settled.build()
    assert shown not in settled.html("part/two")
    settled.edit(file, old, new)
    settled.build()
    assert shown in settled.html("part/two")


def test_a_file_beside_the_pages_has_all_of_them_written(settled: Book):
    settled.build()
    before = modified(settled)
    settled.write("book/images/logo.svg", "<svg/>")
    settled.build()
    assert all(time > before[name] for name, time in modified(settled).items())


def test_a_dead_link_to_a_page_taken_out_is_found(settled: Book):
    settled.edit("book/part/two.md", "See", "[One](../one.md) and see")
    settled.build()
    settled.edit("_toc.yml", "  - file: one\n", "")
    settled.edit("book/index.md", "{glue:}`one.md::value`", "2")
    with pytest.raises(BookError):
        settled.build()


def test_a_place_that_an_unread_page_needs_is_missed_by_the_gate(settled: Book):
    settled.edit("book/part/two.md", "See", '<a href="../one.html#square">x</a> see')
    settled.edit("book/one.md", "## Place", '<span id="square"></span>\n\n## Place')
    settled.build()
    settled.edit("book/one.md", 'id="square"', 'id="circle"')  # a place that Sphinx does not know
    with pytest.raises(BookError, match="part/two: leads to no such place on the page"):
        settled.build()


def test_a_page_without_code_starts_no_kernel(built: Book):
    built.page("part/two", "Nothing to run.")  # with a notebook's header
    built.build()
    assert "part" not in {name.split("-")[0] for name in built.cached()}
    assert not (built.root / "_build/.jupyter_cache/global.db").exists()


@pytest.mark.slow
def test_plain_jupyter_book_makes_a_right_book_too(built: Book):
    command = ["build", "book", "--config", "_config.yml", "--toc", str(built.root / "_toc.yml")]
    program = ["-c", "from jupyter_book.cli.main import main; main()", *command]
    built.edit("code/tiny/words.py", "hello", "hallo")
    assert built.run(*program)[0] == 0
    assert "hallo" in built.html("one")
    shutil.rmtree(built.root / "_build")
    status, out, err = built.run(*program, "-W")
    assert status == 0, err
    assert "executing one ..." in out
    assert "hallo" in built.html("one")
    built.build()
    assert (built.ran("one"), built.ran("two")) == (3, 2)
