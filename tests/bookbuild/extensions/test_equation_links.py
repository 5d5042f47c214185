import shutil
from pathlib import Path

import pytest
from conftest import Book, with_outputs_of, write_equations

import bookbuild
from bookbuild.source.chapters import BookError

INDEX = "# Equations\n\n```{equation-index}\n```\n"


def build_linked(book: Book) -> Book:
    folder = Path(bookbuild.__file__).parents[1]
    known = f"    bookbuild.extensions.executed: {folder}\n"
    book.edit("_config.yml", known, f"{known}    bookbuild.extensions.equation_links: {folder}\n")
    book.write("_toc.yml", (book.root / "_toc.yml").read_text() + "  - file: back/table\n")
    book.write("book/back/table.md", INDEX)
    book.build()  # the gate follows every link, down to the place on the page
    return book


@pytest.fixture(scope="module")
def to_read(_built_once: Book, tmp_path_factory: pytest.TempPathFactory) -> Book:
    """Return the tiny book with equations, built with the extension and a page for the table."""
    book = with_outputs_of(_built_once, tmp_path_factory.mktemp("linked"))
    return build_linked(write_equations(book))


@pytest.fixture
def linked(executed: Book) -> Book:
    """Return the same, to be changed and built again."""
    return build_linked(write_equations(executed))


@pytest.fixture
def moved(to_read: Book, tmp_path: Path) -> Book:
    """Return the same in another folder, to be changed and built for the first time there."""
    shutil.copytree(to_read.root, tmp_path, dirs_exist_ok=True)
    return Book(tmp_path)


def test_an_equation_is_followed_by_its_code_and_its_test(to_read: Book):
    page = to_read.html("one")
    line = page[page.index('<p class="equation-links">') :].partition("</p>")[0]
    assert page.count('<p class="equation-links">') == 1  # a definition has neither
    assert (
        page.index('id="equation-eq-one"') < page.index(line) < page.index('id="equation-eq-two"')
    )
    assert 'href="_modules/code/tiny/sums.html#Sum.value"' in line
    assert 'href="_modules/tests/test_sums.html#test_it_adds_up"' in line
    assert 'title="tests/test_sums.py: test_it_adds_up"' in line


def test_the_table_names_every_equation(to_read: Book):
    table = to_read.html("back/table")
    assert 'href="../one.html#equation-eq-one"' in table
    assert 'href="../_modules/code/tiny/sums.html#Sum.value"' in table
    assert ">it adds up</a>" in table
    assert "<em>definition</em>" in table
    assert "#L" not in table


def test_the_source_is_shown_at_the_place_that_is_linked(to_read: Book):
    source = to_read.html("_modules/code/tiny/sums")
    before, _, after = source.partition('id="Sum.value"')
    assert "A module about nothing." in before
    assert "Add up" in after
    # Nothing was executed for all this: page one has no cells, and the other ran once.
    assert to_read.ran("two") == 1


def test_what_changes_follows_on_pages_that_did_not(linked: Book):
    linked.edit("tests/test_sums.py", "it_adds_up", "it_adds")
    linked.build()
    assert 'href="_modules/tests/test_sums.html#test_it_adds"' in linked.html("one")
    assert ">it adds</a>" in linked.html("back/table")
    # Only the lines move, and the source that is shown with them.
    linked.edit("code/tiny/sums.py", "class Sum", "NUMBER = 1\n\n\nclass Sum")
    linked.build()
    assert "NUMBER" in linked.html("_modules/code/tiny/sums").partition('id="Sum.value"')[0]
    assert linked.ran("two") == 1


def test_source_that_is_no_longer_linked_goes(linked: Book):
    linked.edit("code/tiny/sums.py", " (`[eq-one]`)", "")
    linked.edit("book/equations.toml", '"eq-two"', '"eq-one", "eq-two"')
    linked.build()
    assert not (linked.root / "_build/html/_modules/code").exists()
    assert "equation-links" in linked.html("one")  # its test is still linked


def test_a_repository_is_linked_if_it_is_known(moved: Book):
    repository = "repository: {url: https://github.com/example/tiny/, branch: trunk}\n"
    moved.write("_config.yml", (moved.root / "_config.yml").read_text() + repository)
    moved.build()
    line = 'href="https://github.com/example/tiny/blob/trunk/code/tiny/sums.py#L5"'
    assert line in moved.html("back/table")


def test_a_book_whose_equations_are_not_in_order_is_not_built(moved: Book):
    moved.edit("tests/test_sums.py", "@pytest.mark.equation", "@pytest.mark.formula")
    for _ in range(2):
        with pytest.raises(BookError, match=r"eq-one is computed by Sum.value, and no test"):
            moved.build()
