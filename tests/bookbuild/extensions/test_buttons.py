import shutil
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup
from conftest import Book, with_outputs_of

from bookbuild.extensions.buttons import launch_links
from bookbuild.notebooks.export import write_notebooks
from bookbuild.source.repository import Repository


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REPOSITORY", "REF_NAME", "REF_TYPE", "BASE_REF", "SHA"):
        monkeypatch.delenv(f"GITHUB_{name}", raising=False)


FORK = {
    "GITHUB_REPOSITORY": "someone/fork",
    "GITHUB_REF_NAME": "main",
    "GITHUB_REF_TYPE": "branch",
    "GITHUB_SHA": "a" * 40,
}


@pytest.fixture(scope="session")
def _published_once(_built_once: Book, tmp_path_factory: pytest.TempPathFactory) -> Book:
    book = with_outputs_of(_built_once, tmp_path_factory.mktemp("published"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GITHUB_BASE_REF", raising=False)
        for name, value in FORK.items():
            patch.setenv(name, value)
        book.build()
    return book


@pytest.fixture
def published(_published_once: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Book:
    """The tiny book as a fork's workflow builds it."""
    shutil.copytree(_published_once.root, tmp_path, dirs_exist_ok=True)
    for name, value in FORK.items():
        monkeypatch.setenv(name, value)
    return Book(tmp_path)


def links(book: Book, page: str) -> dict[str, str]:
    """The links in the header of a page, by what they say or by their tooltip."""
    header = BeautifulSoup(book.html(page), "html.parser").select_one(".article-header-buttons")
    found = header.select("a[href]")
    return {link.get_text(strip=True) or link["title"]: link["href"] for link in found}


def test_where_no_repository_is_known_no_button_needs_one(built: Book):
    assert set(links(built, "one")) == {".ipynb", ".md"}
    assert set(links(built, "index")) == {".md"}
    for page in ("one", "part/two", "index"):
        assert "github.com" not in " ".join(links(built, page).values())


@pytest.mark.parametrize("page", ["one", "part/two"])
def test_buttons_lead_to_the_fork_that_built_the_book(published: Book, page: str):
    found = links(published, page)
    github = "https://github.com/someone/fork"
    assert found["Colab"] == (
        f"https://colab.research.google.com/github/someone/fork/blob/notebooks/{page}.ipynb"
    )
    assert found["Binder"] == (
        f"https://mybinder.org/v2/gh/someone/fork/main?urlpath=lab/tree/book/{page}.md"
    )
    assert found["Repository"] == github
    assert found["Suggest edit"] == f"{github}/edit/main/book/{page}.md"
    assert found["Open issue"].startswith(f"{github}/issues/new?")


def test_what_the_links_open_is_there(published: Book):
    """Binder opens a source of the repository, Colab a notebook of the branch."""
    branch = published.root / "branch"
    write_notebooks(published.root, branch)
    for page in ("one", "part/two"):
        found = links(published, page)
        tree = parse_qs(urlsplit(found["Binder"]).query)["urlpath"][0]
        assert (published.root / tree.removeprefix("lab/tree/")).is_file()
        path = unquote(urlsplit(found["Colab"]).path).partition("/blob/notebooks/")[2]
        assert (branch / path).is_file()


@pytest.mark.parametrize("page", ["one", "part/two"])
def test_the_download_lies_on_the_site(published: Book, page: str):
    folder = (published.root / f"_build/html/{page}.html").parent
    notebook = nbformat.read(folder / links(published, page)[".ipynb"], as_version=4)
    assert notebook.cells[0].source.startswith("# Install the book's package")
    assert "a" * 40 in notebook.cells[0].source
    assert all(cell.outputs == [] for cell in notebook.cells if cell.cell_type == "code")


def test_a_page_without_code_has_no_notebook(published: Book):
    assert not {"Colab", "Binder", ".ipynb"} & set(links(published, "index"))


def test_buttons_follow_the_repository(published: Book, monkeypatch: pytest.MonkeyPatch):
    # Not a letter of the book has changed, only where it is published.
    monkeypatch.setenv("GITHUB_REPOSITORY", "another/fork")
    published.build()
    assert "/another/fork/" in links(published, "one")["Colab"]
    assert published.ran() == 1


def test_the_configuration_has_the_last_word(published: Book):
    published.edit(
        "_config.yml",
        "title: Tiny",
        "title: Tiny\nrepository: {url: https://github.com/an/other, branch: next}\n"
        "html: {use_issues_button: false}",
    )
    published.build()
    found = links(published, "one")
    assert found["Suggest edit"] == "https://github.com/an/other/edit/next/book/one.md"
    assert "Open issue" not in found


def test_a_tag_is_launched_and_not_edited(executed: Book, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/fork")
    monkeypatch.setenv("GITHUB_REF_NAME", "v1.0.0")
    monkeypatch.setenv("GITHUB_REF_TYPE", "tag")
    executed.build()
    found = links(executed, "one")
    assert "/someone/fork/v1.0.0?" in found["Binder"]
    assert "Suggest edit" not in found


def test_names_that_an_address_has_to_quote():
    repository = Repository("o/n", "a/b", "c", "")
    found = launch_links(repository, "part two/x")
    assert found["Binder"].endswith("/gh/o/n/a%2Fb?urlpath=lab/tree/book/part%20two/x.md")
    assert found["Colab"].endswith("/blob/notebooks/part%20two/x.ipynb")
