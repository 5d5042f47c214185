import pytest
from conftest import Book, cell

from bookbuild.source.chapters import BookError


def test_a_built_book_is_whole(built: Book):
    assert "A black square" in built.html("one")
    assert "forty-two" in built.html("index")
    assert "two ran" in built.html("part/two")
    assert len(built.cached()) == 2
    assert not (built.root / "_build/.unfinished").exists()


def test_a_page_taken_out_of_the_book_is_taken_off_the_site(built: Book):
    built.edit("_toc.yml", "  - file: part/two\n", "")
    built.build()
    assert not (built.root / "_build/html/part/two.html").exists()
    assert [name.split("-")[0] for name in built.cached()] == ["one"]
    assert built.ran("one") == 1


def test_a_build_cut_short_is_rendered_anew(built: Book):
    built.write("_build/html/one.html", "<html>half")
    built.write("_build/html/left-over.html", "")
    built.write("_build/.unfinished", "")
    built.build()
    assert "</html>" in built.html("one")
    assert not (built.root / "_build/html/left-over.html").exists()
    assert built.ran("one") == 1


def test_pages_kept_by_another_bookbuild_are_rendered_anew(built: Book):
    built.write("_build/.doctrees/environment.pickle", "names a class that is gone")
    built.write("_build/html/left-over.html", "")
    built.write("_build/.renderer", "another")
    built.build()
    assert not (built.root / "_build/html/left-over.html").exists()
    assert built.ran("one") == 1


def test_the_gate_closes_every_time_until_it_is_mended(built: Book):
    built.edit("book/one.md", "alt: A black square", "width: 9px")
    for _ in range(2):
        with pytest.raises(BookError, match="one, code cell 2: its alternative text"):
            built.build()
    built.edit("book/one.md", "width: 9px", "alt: A square")
    built.build()
    assert "A square" in built.html("one")
    assert built.ran("one") == 1


def test_a_failing_cell_leaves_the_site_that_stands(built: Book):
    built.page("part/two", cell("1 / 0"))
    for _ in range(2):
        with pytest.raises(BookError, match="a cell failed on part/two"):
            built.build()
    assert "two ran" in built.html("part/two")


@pytest.mark.slow
def test_killed_while_rendering(built: Book):
    unfinished = built.root / "_build/.unfinished"
    built.write("book/index.md", "# Tiny\n")
    built.kill(built.start("-m", "bookbuild", "build"), when=unfinished.exists)
    assert unfinished.exists()
    status, out, err = built.run("-m", "bookbuild", "build")
    assert status == 0, err
    assert "built " in out
    assert not unfinished.exists()
    assert built.ran("one") == 1


def test_a_warning_fails_every_time_until_it_is_mended(
    settled: Book, capsys: pytest.CaptureFixture[str]
):
    settled.edit("book/part/two.md", "See", "[](#nowhere) See")
    for _ in range(2):
        with pytest.raises(BookError, match="Sphinx"):
            settled.build()
        assert "nowhere" in capsys.readouterr().err
    settled.edit("book/part/two.md", "[](#nowhere) ", "")
    settled.build()


def test_one_page_alone_is_executed_and_built(book: Book):
    file = book.build_page("part/two")
    assert "two ran" in file.read_text()
    assert (book.ran("one"), book.ran("two")) == (0, 1)
    assert "#place" in file.read_text()  # where a page leads that has not run
    assert not (file.parents[1] / "one.html").exists()
    assert not (book.root / "_build/html").exists()
    file = book.build_page("one")  # which did not run before, and does now
    assert "hello" in file.read_text()


def test_one_page_takes_what_a_build_has_left(built: Book):
    built.edit("book/part/two.md", "See", "Look at")
    assert "Look at" in built.build_page("part/two").read_text()
    assert "Look at" not in built.html("part/two")
    assert (built.ran("one"), built.ran("two")) == (1, 1)
    built.build()
    assert "Look at" in built.html("part/two")


def test_no_such_page_is_named(book: Book):
    with pytest.raises(BookError, match="no page three: there are index, one, part/two"):
        book.build_page("three")
