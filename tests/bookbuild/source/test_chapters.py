import pytest
from conftest import Book, cell

from bookbuild.source import chapters, memory
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


def in_a_new_process(book: Book) -> list[str]:
    memory.save_shared(book.root, forget=True)
    for cached in (chapters._notebook, memory.shared):
        cached.cache_clear()
    return [found.source for found in read_pages(book.root)["one"].cells]


def test_a_page_is_remembered_but_not_a_file_that_a_cell_loads(book: Book):
    dated = "---\nfile_format: mystnb\ndate: 2024-01-01\n---\n"
    book.write("book/one.md", dated + cell("first = 1"))
    assert in_a_new_process(book) == in_a_new_process(book) == ["first = 1"]
    book.write("book/one.md", "---\nfile_format: mystnb\n---\n" + cell("", ":load: part.py"))
    for source in ("a = 1", "a = 2"):
        book.write("book/part.py", source)
        assert in_a_new_process(book) == [source]


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
