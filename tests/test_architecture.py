"""What the contracts of `pyproject.toml` do not say about imports."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = ROOT / "code"


def imported_modules(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import: write the name in full"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


MODULES = sorted(p for p in (CODE / "onebound").rglob("*.py") if p.parent != CODE)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(CODE)))
def test_only_plots_imports_matplotlib_and_nothing_imports_the_build(path):
    tops = {name.split(".")[0] for name in imported_modules(path)}
    assert "bookbuild" not in tops
    if path.name != "plots.py":
        assert "matplotlib" not in tops


def test_the_source_root_does_not_shadow_the_standard_library():
    assert not (CODE / "__init__.py").exists()
