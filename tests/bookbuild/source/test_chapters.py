import pytest
from conftest import Book, cell

from bookbuild.source.chapters import BookError, read_pages


def test_pages_come_in_the_order_of_the_book(book: Book):
    assert list(read_pages(book.root)) == ["index", "one", "part/two"]


def test_a_plain_page_has_no_cells(book: Book):
    assert read_pages(book.root)["index"].cells == []


def test_cells_are_those_that_myst_nb_executes(book: Book):
    nested = "::::{note}\n" + cell("nested = 1") + "::::\n\n"
    listing = "```python\nlisting = 1\n```\n\n"
    book.page("one", cell("first = 1", ":tags: [remove-cell]"), nested, listing, cell("last = 1"))
    sources = [found.source for found in read_pages(book.root)["one"].cells]
    assert sources == ["first = 1", "last = 1"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("_toc.yml", None, "no _toc.yml"),
        ("_config.yml", None, "no _config.yml"),
        ("_toc.yml", "format: jb-book\nroot: index\nchapters: {", "_toc.yml: "),
        ("_toc.yml", "format: jb-book\nroot: index\nchapters: 3", "_toc.yml: "),
        ("_config.yml", "title: [", "_config.yml: "),
        ("_toc.yml", "format: jb-book\nroot: nowhere", "names 'nowhere', but book/nowhere.md"),
        ("book/one.md", "---\nfile_format: mystnb\n---\n" + cell("1", ":tags: ["), "book/one.md: "),
    ],
)
def test_a_fault_of_the_author_is_one_line(book: Book, name: str, text: str | None, message: str):
    if text is None:
        (book.root / name).unlink()
    else:
        book.write(name, text)
    with pytest.raises(BookError) as caught:
        read_pages(book.root)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
