"""What a notebook says to the page it stands on."""

import ast
import inspect
import textwrap
from collections.abc import Callable

from IPython.display import Markdown, display

_HIDDEN = "application/papermill.record/"  # the prefix under which MyST-NB looks for glued values


def glue(name: str, value: object) -> None:
    """Hand `value`, as `str` shows it, to the prose: ``{glue:text}`name` ``, one name once.

    Like `myst_nb.glue` of a text, for readers without MyST-NB. Nothing is displayed.
    """
    display(
        {f"{_HIDDEN}text/plain": repr(str(value))},  # unquoted, "1,234" would be read as a pair
        raw=True,
        metadata={"scrapbook": {"name": name, "mime_prefix": _HIDDEN}},
    )


def show_source(*functions: Callable[..., object]) -> None:
    """Display the code of functions or classes as it runs, without the docstrings."""
    sources = [without_docstrings(inspect.getsource(function)) for function in functions]
    display(Markdown("```python\n" + "\n\n".join(sources) + "\n```"))


def without_docstrings(source: str) -> str:
    """Return `source`, dedented, less the docstrings of its functions and classes."""
    source = textwrap.dedent(source).strip()
    lines = source.splitlines()
    dropped: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            last = node.body[0].end_lineno or 0
            while last < len(lines) and not lines[last]:
                last += 1
            dropped.update(range(node.body[0].lineno - 1, last))
    return "\n".join(line for i, line in enumerate(lines) if i not in dropped)
