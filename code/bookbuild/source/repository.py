"""Where the book's source is published: what buttons, notebooks and the cache archive point to.

Nothing is fixed in the source, so that a fork's buttons lead to the fork. In this order: what
``_config.yml`` says under ``repository``; what GitHub Actions says in its environment; what git
knows of ``origin``. Only GitHub is known here, because Colab and the releases are.
"""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_GITHUB = re.compile(
    r"(?:https://(?:[^/@]+@)?|ssh://git@|git@)github\.com[:/]([\w.-]+)/([\w.-]+?)(?:\.git)?/?"
)


@dataclass(frozen=True)
class Repository:
    """A public repository, and the state of it that this book was made from.

    Attributes
    ----------
    slug
        ``owner/name``.
    branch
        The branch that readers may edit; None if none is known, as in the build of a tag.
    ref
        A tag, or else a commit, or else the branch: what holds the code of this build and can be
        installed by others. None if nothing of this build is published.
    site
        The address of the hosted book, ending in a slash.
    """

    slug: str
    branch: str | None
    ref: str | None
    site: str

    @property
    def url(self) -> str:
        """The address of the repository."""
        return f"https://github.com/{self.slug}"


def find_repository(root: Path) -> Repository | None:
    """Return the repository that the book in folder `root` belongs to, if anything tells."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8")) or {}
    said = config.get("repository") or {}
    slug = _slug(said.get("url", "")) or _builds(root)
    if not slug:
        return None
    # Codespaces name the repository in the environment too, but not its state.
    branch, ref = _state_in_actions() if "GITHUB_REF_NAME" in os.environ else _state(root)
    branch = said.get("branch") or branch
    if slug.lower() != (_builds(root) or "").lower():
        ref = None  # a commit of this repository need not be in the one that is named
    return Repository(slug, branch, ref or branch, _site(config, slug))


def _builds(root: Path) -> str | None:
    """Return the repository that this build is of, whatever the configuration says."""
    return os.environ.get("GITHUB_REPOSITORY") or _slug(_git(root, "remote", "get-url", "origin"))


def _slug(url: str) -> str | None:
    found = _GITHUB.fullmatch(url)
    return f"{found[1]}/{found[2]}" if found else None


def _site(config: dict[str, Any], slug: str) -> str:
    said = (config.get("html") or {}).get("baseurl")
    owner, _, name = slug.partition("/")
    host = f"{owner.lower()}.github.io"
    site = f"https://{host}" if name.lower() == host else f"https://{host}/{name}"
    return (said or site).rstrip("/") + "/"


def _state_in_actions() -> tuple[str | None, str | None]:
    name = os.environ.get("GITHUB_REF_NAME")
    if os.environ.get("GITHUB_REF_TYPE") == "tag":
        return None, name
    if base := os.environ.get("GITHUB_BASE_REF"):  # a pull request: its merge commit is no one's
        return base, base
    return name, os.environ.get("GITHUB_SHA")


def _state(root: Path) -> tuple[str | None, str | None]:
    """Return branch and ref as git knows them, without asking the network."""
    upstream = _git(root, "rev-parse", "--abbrev-ref", "HEAD@{upstream}")
    upstream = upstream or _git(root, "rev-parse", "--abbrev-ref", "origin/HEAD")
    branch = upstream.partition("/")[2] or None
    if tag := _git(root, "describe", "--tags", "--exact-match", "HEAD"):
        return branch, tag
    published = _git(root, "branch", "--remotes", "--contains", "HEAD", "--list", "origin/*")
    return branch, _git(root, "rev-parse", "HEAD") if published else branch


def _git(root: Path, *arguments: str) -> str:
    """Return what git answers, and nothing where it can't: no git, no repository, no such thing."""
    # A folder inside someone else's repository is not a clone of that one.
    ceiling = os.environ | {"GIT_CEILING_DIRECTORIES": str(root.resolve().parent)}
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, env=ceiling, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
