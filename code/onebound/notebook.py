"""What a notebook says to the page it stands on."""

import ast
import inspect
import textwrap
from collections.abc import Callable

from IPython.display import Markdown, display

_HIDDEN = "application/papermill.record/"  # the prefix under which MyST-NB looks for glued values


def glue(name: str, value: object) -> None:
    """Hand `value` to the prose, which shows it where it says ``{glue:text}`name```.

    Does what `myst_nb.glue` does for text, without asking a reader to install MyST-NB. Nothing is
    displayed.

    Parameters
    ----------
    name
        What the prose calls it; one name once in the book.
    value
        Anything; its `str` is what readers see.
    """
    display(
        {f"{_HIDDEN}text/plain": str(value)},
        raw=True,
        metadata={"scrapbook": {"name": name, "mime_prefix": _HIDDEN}},
    )


def show_source(*functions: Callable[..., object]) -> None:
    """Display the code of functions or classes as it runs, without the docstrings."""
    sources = [without_docstrings(inspect.getsource(function)) for function in functions]
    display(Markdown("```python\n" + "\n\n".join(sources) + "\n```"))


def without_docstrings(source: str) -> str:
    """Return `source`, dedented, less the docstrings of its functions and classes."""
    lines = textwrap.dedent(source).rstrip().splitlines()
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            docstring = node.body[0]
            assert docstring.end_lineno is not None
            first, last = docstring.lineno - 1, docstring.end_lineno
            lines[first:last] = [""] * (last - first)
    kept = [line for i, line in enumerate(lines) if line or (i and lines[i - 1])]
    return "\n".join(kept)
