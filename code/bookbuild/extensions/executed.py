"""The Sphinx extension that hands MyST-NB the outputs that `bookbuild.run.execution` has stored.

MyST-NB's own cache is keyed on the cells alone, so it would show old outputs after a change to the
code that they import. Here every page gets a cache folder of its own, named by its key, and a page
is read again when its key or its outputs change. Under ``make book`` every page has been executed
by then; under a plain ``jupyter-book build`` a page without outputs is executed here, in the same
way. Where one page alone is wanted (``bookbuild_only``), the others do without what they lack.

Here, too, is decided what is written again: the pages that were read, and all of them once
something that pages share is another.
"""

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from bookbuild.extensions._shared import shared
from bookbuild.run.cache import current_folder, run_of
from bookbuild.run.execution import outputs_folder
from bookbuild.source.chapters import Page, markdown_config, read_page


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension; Sphinx calls this."""
    app.add_config_value("bookbuild_only", "", "")
    app.connect("env-get-outdated", _pages_with_a_new_key)
    app.connect("env-get-updated", _every_page, priority=900)  # once all pages have their numbers
    app.connect("source-read", _point_to_outputs)
    return {"parallel_read_safe": False, "parallel_write_safe": True}


def _read(app: Sphinx, name: str) -> Page:
    return read_page(app.srcdir.parent, name, app.env.bookbuild_markdown)


def _pages_with_a_new_key(app: Sphinx, env: BuildEnvironment, *_: set[str]) -> list[str]:
    env.bookbuild_markdown = markdown_config(app.srcdir.parent)
    before = getattr(env, "bookbuild_runs", {})
    env.bookbuild_runs = {name: _run(app, name) for name in env.found_docs}
    return [name for name in env.found_docs if before.get(name) != env.bookbuild_runs[name]]


def _run(app: Sphinx, name: str) -> tuple[str, str | None]:
    """Return what tells the run that made a page's outputs from any other."""
    folder = current_folder(app.srcdir.parent, _read(app, name))
    return folder.name, run_of(folder)["sha256"] if folder.is_dir() else None


def _point_to_outputs(app: Sphinx, name: str, _: list[str]) -> None:
    env = app.env
    page = _read(app, name)
    folder = outputs_folder(app.srcdir.parent, page) if _wanted(app, page) else None
    # Without code cells there is nothing to look up, and MyST-NB would start a kernel all the same.
    mode = {"execution_mode": "cache" if folder else "off"}
    env.mystnb_config = env.mystnb_config.copy(execution_cache_path=str(folder), **mode)
    # MyST-NB leaves this file alone if the page no longer glues anything, and other pages read it.
    Path(env.mystnb_config.output_folder, f"{name}.glue.json").unlink(missing_ok=True)


def _wanted(app: Sphinx, page: Page) -> bool:
    """Whether a page is shown with its outputs even if it has to execute for that."""
    there = page.cells and current_folder(app.srcdir.parent, page).is_dir()
    return bool(there) or app.config.bookbuild_only in ("", page.name)


def _every_page(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Write all pages again if what one can know of the others has changed."""
    before, env.bookbuild_shared = getattr(env, "bookbuild_shared", None), shared(env)
    env.bookbuild_all_written = before != env.bookbuild_shared
    return sorted(env.found_docs) if env.bookbuild_all_written else []
