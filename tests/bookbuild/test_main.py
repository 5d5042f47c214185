import pytest
from conftest import Book

from bookbuild.__main__ import main


def run(book: Book, patch: pytest.MonkeyPatch, *arguments: str) -> int:
    patch.chdir(book.root)
    patch.setattr("sys.argv", ["bookbuild", *arguments])
    return main()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gate"], "bookbuild: the gate found\nindex: no page "),
        (["gate", "elsewhere"], "elsewhere/index.html"),
    ],
)
def test_a_fault_is_said_and_the_status_is_1(
    book: Book,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
):
    assert run(book, monkeypatch, *arguments) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["build", "execute", "gate", "record"])
def test_no_book_here_is_one_line(
    book: Book, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
):
    (book.root / "_toc.yml").unlink()
    assert run(book, monkeypatch, command) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("bookbuild: no _toc.yml in ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["outputs", "notebooks", "links"])
def test_nor_does_what_is_done_with_a_book(
    book: Book, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
):
    (book.root / "_config.yml").unlink()
    assert run(book, monkeypatch, command) == 1
    assert capsys.readouterr().err.startswith("bookbuild: no _config.yml in ")


def test_success_is_status_0(built: Book, monkeypatch: pytest.MonkeyPatch):
    assert run(built, monkeypatch, "gate") == 0
    assert run(built, monkeypatch, "execute") == 0


def test_as_a_module(book: Book):
    (book.root / "_toc.yml").unlink()
    status, _, err = book.run("-m", "bookbuild", "build")
    assert (status, err.count("\n")) == (1, 1)


def test_numbers_are_recorded_and_a_wrong_one_is_the_status(
    built: Book, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    built.write("book/tolerances.toml", "[share]\n")
    assert run(built, monkeypatch, "record") == 0
    assert run(built, monkeypatch, "compare") == 0
    built.edit("book/values.json", "forty-two", "forty")
    assert run(built, monkeypatch, "compare") == 1
    err = capsys.readouterr().err
    assert err == (
        "bookbuild: the numbers are not those written down\n"
        "one: value: recorded forty, built forty-two: no tolerance for words\n"
    )
