"""The Sphinx extension for the buttons that lead from a page to its notebook and its source.

The theme has such buttons, but takes the address of the repository from ``_config.yml``, lets Colab
open Markdown, and offers for download a notebook whose outputs depend on the cache. Here each page
offers the notebook of `bookbuild.notebooks`, which lies on the site; and buttons that need the
repository are shown only where it is known.
"""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from sphinx.application import Sphinx
from sphinx.config import Config

from bookbuild.notebooks.export import BRANCH, FOLDER, write_notebooks
from bookbuild.source.chapters import read_pages
from bookbuild.source.repository import Repository, find_repository

COLAB = "https://colab.research.google.com"
BINDER = "https://mybinder.org"


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension; Sphinx calls this."""
    # Pages are written again when it changes.
    app.add_config_value("bookbuild_repository", None, "html")
    app.connect("config-inited", _find)
    app.connect("builder-inited", _note_pages_with_code)
    app.connect("html-page-context", _add_buttons, priority=600)  # the theme's come first
    app.connect("build-finished", _write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _find(app: Sphinx, config: Config) -> None:
    """Tell the theme where the source lies; what ``_config.yml`` says of a button holds."""
    root = Path(app.srcdir).parent
    repository = find_repository(root)
    config.bookbuild_repository = repository and vars(repository)
    said = (yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8")) or {}).get(
        "html"
    ) or {}
    known = {
        "use_repository_button": repository is not None,
        "use_issues_button": repository is not None,
        "use_edit_page_button": repository is not None and repository.branch is not None,
    }
    options = config.html_theme_options
    options.update({name: said.get(name, True) and able for name, able in known.items()})
    options["repository_url"] = repository.url if repository else ""
    options["repository_branch"] = (repository and repository.branch) or ""
    options["path_to_docs"] = Path(app.srcdir).name


def _note_pages_with_code(app: Sphinx) -> None:
    pages = read_pages(Path(app.srcdir).parent)
    app.env.bookbuild_pages_with_code = {name for name, page in pages.items() if page.cells}


def launch_links(repository: Repository, page: str) -> dict[str, str]:
    """Return the addresses that open a page as a notebook, by the name of the service."""
    links = {}
    if repository.branch or repository.ref:
        state = quote(repository.branch or repository.ref, safe="")
        path = quote(f"book/{page}.md")
        links["Binder"] = f"{BINDER}/v2/gh/{repository.slug}/{state}?urlpath=lab/tree/{path}"
    links["Colab"] = f"{COLAB}/github/{repository.slug}/blob/{BRANCH}/{quote(page)}.ipynb"
    return links


def _add_buttons(
    app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    if name not in app.env.bookbuild_pages_with_code:
        return
    groups = context["header_buttons"]
    downloads = next((one for one in groups if one.get("label") == "download-buttons"), None)
    if downloads is None:
        return
    download = {
        "type": "link",
        "url": context["pathto"](f"{FOLDER}/{name}.ipynb", 1),
        "text": ".ipynb",
        "icon": "fas fa-code",
        "tooltip": "Download notebook file",
        "label": "download-notebook-button",
    }
    downloads["buttons"].insert(0, download)
    if not app.config.bookbuild_repository:
        return
    icons = {"Binder": "logo_binder.svg", "Colab": "logo_colab.png"}
    links = launch_links(Repository(**app.config.bookbuild_repository), name)
    buttons = [
        {
            "type": "link",
            "text": service,
            "tooltip": f"Launch on {service}",
            "icon": f"_static/images/{icons[service]}",
            "url": link,
        }
        for service, link in links.items()
    ]
    group = {
        "type": "group",
        "tooltip": "Launch interactive content",
        "icon": "fas fa-rocket",
        "buttons": buttons,
        "label": "launch-buttons",
    }
    groups.insert(groups.index(downloads), group)


def _write(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        write_notebooks(Path(app.srcdir).parent, Path(app.outdir) / FOLDER)
