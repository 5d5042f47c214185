"""From each equation to the code that computes it, and on to the test that proves it.

Three places say so, and no fourth list has to be kept. A chapter labels an equation. The docstring
of a function cites the label in brackets. A test carries ``@pytest.mark.equation("label", ...)``.
All three are read, not run.

An equation that no function computes says in ``book/equations.toml`` why not: it only names
something (``definition``), or it is a step or a result of a derivation (``derivation``), or a cell
of its own chapter computes it (``cell``). None is merely forgotten: `check` refuses the book.
"""

import ast
import functools
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bookbuild.source.chapters import BookError, page_names
from bookbuild.source.memory import Memory

KINDS = ("definition", "derivation", "cell")
MARKS = Path("book/equations.toml")
_LABEL = re.compile(r"^\$\$[ \t]*\(([^)\s]+)\)[ \t]*$", re.MULTILINE)
_CITED = re.compile(r"\[(eq-[\w-]+)\]")


@dataclass(frozen=True, order=True)
class Place:
    """A function, a class or a test: where in the repository, its name and the line it starts.

    The name is qualified, ``Bound.elbo``; that of a module itself is empty.
    """

    file: str
    line: int
    name: str

    @property
    def called(self) -> str:
        """What to call it: a module goes by its file."""
        return self.name or self.file

    @property
    def sentence(self) -> str:
        """What the name of a test says."""
        return self.name.rpartition(".")[2].removeprefix("test_").replace("_", " ")


@dataclass(frozen=True)
class Equation:
    """One labelled equation: its page, what computes it, what proves it, and its kind if marked."""

    label: str
    page: str
    code: tuple[Place, ...]
    tests: tuple[Place, ...]
    kind: str | None


def index(root: Path) -> list[Equation]:
    """Return the labelled equations, in the order of the book."""
    code, tests, kinds = _code(root), _tests(root), _kinds(root)
    return [
        Equation(
            label,
            page,
            tuple(place for place, cited in code if label in cited),
            tuple(place for place, cited in tests if label in cited),
            kinds.get((page, label)),
        )
        for page, label in _labels(root)
    ]


def check(root: Path) -> None:
    """Refuse a book in which an equation lacks its code, its test or its mark.

    Raises
    ------
    BookError
        One line for each fault.
    """
    if found := list(faults(root)):
        raise BookError("\n".join(["the equations are not in order", *found]))


def faults(root: Path) -> Iterator[str]:
    """Yield everything that is wrong, each in one line."""
    labels = _labels(root)
    known = [label for _, label in labels]
    for page, label in labels:
        if known.count(label) > 1:
            yield f"{page}: {label} is the label of {known.count(label)} equations"
    for place, cited in [*_code(root), *_tests(root)]:
        for label in sorted(cited.difference(known)):
            yield f"{place.file}:{place.line}: {label} is the label of no equation"
    pages = page_names(root)
    for page, label in _kinds(root):
        if page in pages and (page, label) not in labels:  # a page may be left out of the book
            yield f"{MARKS}: {label} is the label of no equation of {page}"
    for equation in index(root):
        where = f"{equation.page}: {equation.label}"
        if equation.code and equation.kind:
            yield f"{where} is a {equation.kind} in {MARKS}, and cited by {equation.code[0].called}"
        if not equation.code and not equation.kind:
            yield f"{where} is cited by no function: cite it, or give it a kind in {MARKS}"
        if equation.code and not equation.tests:
            yield f"{where} is computed by {equation.code[0].called}, and no test is marked with it"


def _labels(root: Path) -> list[tuple[str, str]]:
    """Return page and label of each labelled equation."""
    return [
        (page, label)
        for page in page_names(root)
        for label in _LABEL.findall((root / f"book/{page}.md").read_text(encoding="utf-8"))
    ]


def _kinds(root: Path) -> dict[tuple[str, str], str]:
    """Return the kind of each marked equation, by page and label."""
    if not (root / MARKS).is_file():
        return {}
    try:
        pages = tomllib.loads((root / MARKS).read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise BookError(f"{MARKS}: {error}") from error
    kinds: dict[tuple[str, str], str] = {}
    for page, lists in pages.items():
        for kind, labels in lists.items():
            if kind not in KINDS:
                raise BookError(f"{MARKS}: {kind!r} in {page} is none of {', '.join(KINDS)}")
            for label in labels:
                if (page, label) in kinds:
                    raise BookError(f"{MARKS}: {label} stands in {page} twice")
                kinds[page, label] = kind
    return kinds


def _code(root: Path) -> list[tuple[Place, set[str]]]:
    """Return whatever cites an equation in its docstring, and the labels."""
    return [(place, set(cited)) for place, cited, _ in _definitions(root, "code") if cited]


def _tests(root: Path) -> list[tuple[Place, set[str]]]:
    """Return whatever is marked as the test of an equation, and the labels."""
    return [(place, set(marked)) for place, _, marked in _definitions(root, "tests") if marked]


def _definitions(root: Path, folder: str) -> list[tuple[Place, list[str], list[str]]]:
    """Return the modules below a folder and the classes and functions in them.

    With the labels that the docstring of each cites, and those that it is marked with as a test.
    """
    memory = Memory(root, f"equations-{folder}", Path(__file__).read_bytes(), sys.version)
    found = []
    for path in sorted((root / folder).rglob("*.py")):
        file, text = path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")
        told = memory.recall(file, text, answer=functools.partial(_definitions_in, file, text))
        found += [(Place(file, line, name), cited, marked) for line, name, cited, marked in told]
    memory.save(forget=True)
    return found


def _definitions_in(file: str, text: str) -> list[tuple[int, str, list[str], list[str]]]:
    """Return line and name of what a module defines and that has to do with equations, and how."""
    tree = ast.parse(text, filename=file)
    found = [(1, "", _cited(tree), [])]
    for name, node in _inside(tree, ""):
        # What is shown starts with the decorators.
        line = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        marks = [label for call in node.decorator_list for label in _marked(file, line, call)]
        found.append((line, name, _cited(node), marks))
    return [one for one in found if one[2] or one[3]]


def _cited(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> list[str]:
    return _CITED.findall(ast.get_docstring(node, clean=False) or "")


def _marked(file: str, line: int, decorator: ast.expr) -> list[str]:
    """Return the labels in ``pytest.mark.equation(...)``, none for another decorator."""
    if not isinstance(decorator, ast.Call) or ast.unparse(decorator.func) != "pytest.mark.equation":
        return []
    labels = [node.value for node in decorator.args if isinstance(node, ast.Constant)]
    if len(labels) != len(decorator.args) or decorator.keywords or not labels:
        raise BookError(f"{file}:{line}: mark.equation takes labels as they stand")
    return labels


def _inside(tree: ast.AST, prefix: str) -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield prefix + node.name, node
            yield from _inside(node, f"{prefix}{node.name}.")
