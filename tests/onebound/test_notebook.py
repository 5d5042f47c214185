from onebound import notebook
from onebound.notebook import glue, show_source, without_docstrings

SOURCE = '''
    def f(x):
        """Say what it does.

        At length.
        """
        y = 2 * x

        return y
'''


def shown(monkeypatch, function, *arguments):
    calls = []
    monkeypatch.setattr(notebook, "display", lambda *a, **k: calls.append((a, k)))
    function(*arguments)
    ((positional, keywords),) = calls
    return positional[0], keywords


def test_a_glued_value_is_what_mystnb_looks_for(monkeypatch):
    from myst_nb import glue as original

    ours = shown(monkeypatch, glue, "name", "1,234 ± 5")
    theirs = []
    monkeypatch.setattr("myst_nb.ext.glue.ipy_display", lambda *a, **k: theirs.append((a[0], k)))
    original("name", "1,234 ± 5", display=False)
    ((bundle, keywords),) = theirs
    assert ours[1] == keywords
    assert ours[0] == bundle


def test_the_source_of_a_function_becomes_a_block_of_code(monkeypatch):
    markdown, _ = shown(monkeypatch, show_source, glue)
    assert markdown.data.startswith("```python\ndef glue(")
    assert "Parameters" not in markdown.data


def test_source_is_shown_without_its_docstring_and_dedented():
    assert without_docstrings(SOURCE) == "def f(x):\n    y = 2 * x\n\n    return y"


def test_a_string_that_is_no_docstring_stays():
    source = 'def f():\n    return "kept"'
    assert without_docstrings(source) == source
