"""The numbers of the text: what the cells of each page hand to the prose, now and as written down.

``book/values.json`` holds every such value as one build had it.
"""

import ast
import json
from pathlib import Path

from bookbuild.run.cache import current_folder, executed_notebook
from bookbuild.source.chapters import BookError, read_pages

RECORD = Path("book/values.json")
_PREFIX = "application/papermill.record/"


def glued(root: Path) -> dict[str, dict[str, str]]:
    """Return the values that the cells of each page hand to the prose, by page and name.

    Raises
    ------
    BookError
        If the cells of a page have not run as they stand.
    """
    found = {}
    for name, page in read_pages(root).items():
        if page.cells:
            folder = current_folder(root, page)
            if not folder.is_dir():
                raise BookError(f"the cells of {name} have not run as they stand: run `make book`")
            found[name] = glued_by(folder)
    return {name: values for name, values in found.items() if values}


def glued_by(folder: Path) -> dict[str, str]:
    """Return the values that the cells of one page hand to the prose, from its outputs."""
    found = {}
    for cell in executed_notebook(folder).cells:
        for output in cell.outputs:
            label = output.get("metadata", {}).get("scrapbook", {}).get("name")
            text = output.get("data", {}).get(f"{_PREFIX}text/plain")
            if label and text:
                found[label] = str(ast.literal_eval(text))
    return found


def record(root: Path) -> None:
    """Write the values of this build down, for others to be compared with."""
    text = json.dumps(glued(root), indent=1, ensure_ascii=False)
    (root / RECORD).write_text(f"{text}\n", encoding="utf-8")


def recorded(root: Path) -> dict[str, dict[str, str]]:
    """Return the values that are written down, by page and name; none if nothing is."""
    file = root / RECORD
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
