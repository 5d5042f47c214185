"""The rooms of the build, and what is an extension."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml

import bookbuild

HERE = Path(bookbuild.__file__).parent
ROOMS = ["source", "run", "notebooks", "extensions", "checks"]
EXTENSIONS = sorted((HERE / "extensions").glob("[a-z]*.py"))


@pytest.mark.parametrize("room", [".", *ROOMS])
def test_a_room_says_what_lives_there_and_holds_nothing_else(room: str):
    (said,) = ast.parse((HERE / room / "__init__.py").read_text(encoding="utf-8")).body
    assert isinstance(said, ast.Expr)


def test_each_module_among_the_extensions_is_one_and_is_used():
    for file in EXTENSIONS:
        assert callable(import_module(f"bookbuild.extensions.{file.stem}").setup)
    config = (HERE.parents[1] / "_config.yml").read_text(encoding="utf-8")
    named = set(yaml.safe_load(config)["sphinx"]["local_extensions"])
    for file in EXTENSIONS:
        named |= set(re.findall(r'setup_extension\("(bookbuild[\w.]+)"', file.read_text("utf-8")))
    assert named == {f"bookbuild.extensions.{file.stem}" for file in EXTENSIONS}


@pytest.mark.parametrize("file", EXTENSIONS, ids=lambda file: file.stem)
def test_no_extension_keeps_anything_on_the_application(file: Path):
    assert not re.search(r"\bapp\.bookbuild_", file.read_text(encoding="utf-8"))
