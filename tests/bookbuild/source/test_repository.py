import subprocess
from pathlib import Path

import pytest
from conftest import Book

from bookbuild.source.repository import Repository, find_repository


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REPOSITORY", "REF_NAME", "REF_TYPE", "BASE_REF", "SHA"):
        monkeypatch.delenv(f"GITHUB_{name}", raising=False)


def actions(patch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in {"REPOSITORY": "someone/fork", **variables}.items():
        patch.setenv(f"GITHUB_{name}", value)


def git(root: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", *settings, *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


def clone(root: Path, address: str) -> None:
    """Make `root` a repository with one commit, which `address` has on its branch main."""
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "remote", "add", "origin", address)
    git(root, "commit", "--quiet", "--allow-empty", "--message=one")
    git(root, "update-ref", "refs/remotes/origin/main", "HEAD")
    git(root, "branch", "--quiet", "--set-upstream-to=origin/main")


def head(root: Path) -> str:
    return git(root, "rev-parse", "HEAD").strip()


def test_where_nothing_tells_nothing_is_known(book: Book):
    assert find_repository(book.root) is None


def test_a_push_in_actions(book: Book, monkeypatch: pytest.MonkeyPatch):
    actions(monkeypatch, REF_NAME="main", REF_TYPE="branch", SHA="a" * 40, BASE_REF="")
    site = "https://someone.github.io/fork/"
    assert find_repository(book.root) == Repository("someone/fork", "main", "a" * 40, site)


def test_a_tag_in_actions_has_nothing_to_edit(book: Book, monkeypatch: pytest.MonkeyPatch):
    actions(monkeypatch, REF_NAME="v1.0.0", REF_TYPE="tag", SHA="a" * 40)
    found = find_repository(book.root)
    assert (found.branch, found.ref) == (None, "v1.0.0")


def test_a_pull_request_points_to_what_it_would_change(book: Book, monkeypatch: pytest.MonkeyPatch):
    actions(monkeypatch, REF_NAME="7/merge", REF_TYPE="branch", BASE_REF="main", SHA="a" * 40)
    found = find_repository(book.root)
    assert (found.branch, found.ref) == ("main", "main")


@pytest.mark.parametrize(
    "address",
    [
        "https://github.com/someone/a.fork",
        "https://github.com/someone/a.fork.git",
        "https://token@github.com/someone/a.fork.git/",
        "git@github.com:someone/a.fork.git",
        "ssh://git@github.com/someone/a.fork",
    ],
)
def test_origin_in_all_its_forms(book: Book, address: str):
    clone(book.root, address)
    assert find_repository(book.root) == Repository(
        "someone/a.fork", "main", head(book.root), "https://someone.github.io/a.fork/"
    )


@pytest.mark.parametrize(
    "address", ["/srv/book.git", "https://example.org/someone/fork", "https://notgithub.com/a/b"]
)
def test_an_origin_that_is_not_on_github_is_none(book: Book, address: str):
    clone(book.root, address)
    assert find_repository(book.root) is None


def test_nothing_refers_to_a_commit_that_is_not_published(book: Book):
    clone(book.root, "https://github.com/someone/fork")
    published = head(book.root)
    git(book.root, "commit", "--quiet", "--allow-empty", "--message=two")
    assert find_repository(book.root).ref == "main"
    git(book.root, "reset", "--quiet", "--hard", published)
    assert find_repository(book.root).ref == published
    git(book.root, "tag", "v1.0.0")
    assert find_repository(book.root).ref == "v1.0.0"


def test_a_folder_inside_a_repository_is_not_a_clone_of_it(book: Book):
    clone(book.root, "https://github.com/someone/fork")
    inner = book.root / "inner"
    inner.mkdir()
    (inner / "_config.yml").write_text("title: Other")
    assert find_repository(inner) is None


def test_the_configuration_overrides(book: Book, monkeypatch: pytest.MonkeyPatch):
    actions(monkeypatch, REF_NAME="main", REF_TYPE="branch", SHA="a" * 40)
    book.edit(
        "_config.yml",
        "title: Tiny",
        "title: Tiny\nrepository: {url: https://github.com/an/other, branch: next}\n"
        "html: {baseurl: https://book.example.org}",
    )
    assert find_repository(book.root) == Repository(
        "an/other", "next", "next", "https://book.example.org/"
    )


def test_a_configuration_that_names_this_repository_keeps_its_commit(
    book: Book, monkeypatch: pytest.MonkeyPatch
):
    actions(monkeypatch, REF_NAME="main", REF_TYPE="branch", SHA="a" * 40)
    book.edit(
        "_config.yml",
        "title: Tiny",
        "title: Tiny\nrepository: {url: https://github.com/Someone/fork}",
    )
    assert find_repository(book.root).ref == "a" * 40


def test_a_codespace_knows_its_state_from_git(book: Book, monkeypatch: pytest.MonkeyPatch):
    clone(book.root, "https://github.com/someone/fork")
    actions(monkeypatch)
    found = find_repository(book.root)
    assert (found.branch, found.ref) == ("main", head(book.root))


def test_a_users_own_site_lies_at_its_root(book: Book, monkeypatch: pytest.MonkeyPatch):
    actions(monkeypatch, REPOSITORY="Someone/someone.github.io", REF_NAME="main")
    assert find_repository(book.root).site == "https://someone.github.io/"
