"""What the chapters can import from ``onebound``: names, signatures, docstrings. Read, not run.

A name that begins with an underscore is nobody's but its module's.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """A function, a class, or what a class has; its `name` as in ``VAE.bound``."""

    kind: str
    name: str
    signature: str
    text: str
    within: tuple["Entry", ...] = ()


@dataclass(frozen=True)
class Module:
    """A module, by its dotted name, with its file and what it defines."""

    name: str
    file: Path
    text: str
    entries: tuple[Entry, ...]


def modules(code: Path, package: str) -> Iterator[Module]:
    """Yield a package, then its public modules by name; of packages inside it none."""
    folder = code.joinpath(*package.split("."))
    yield _module(folder / "__init__.py", package)
    for file in sorted(folder.glob("[!_]*.py")):
        yield _module(file, f"{package}.{file.stem}")


def _module(file: Path, name: str) -> Module:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    meant = {
        one.asname or one.name: f"{node.module}.{one.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("onebound")
        for one in node.names
    }
    for node in ast.walk(tree):  # two modules may have a class of one name
        if isinstance(node, ast.Name):
            node.id = meant.get(node.id, node.id)
    return Module(name, file, ast.get_docstring(tree) or "", tuple(_entries(tree)))


def _entries(owner: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[Entry]:
    for node in owner.body:
        match node:
            case ast.FunctionDef() if not node.name.startswith("_"):
                kind = ("method" if prefix else "function", "property")[_is_property(node)]
                signature = _result(node) if kind == "property" else _signature(node, bool(prefix))
                text = ast.get_docstring(node) or ""
                yield Entry(kind, prefix + node.name, signature, text)
            case ast.ClassDef() if not node.name.startswith("_"):
                within = tuple(_entries(node, f"{prefix}{node.name}."))
                text = ast.get_docstring(node) or ""
                yield Entry("class", prefix + node.name, _made_by(node), text, within)
            case ast.AnnAssign(target=ast.Name(id=name)) if prefix and not name.startswith("_"):
                yield Entry("attribute", prefix + name, ast.unparse(node.annotation), "")


def _is_property(node: ast.FunctionDef) -> bool:
    return any(ast.unparse(one).endswith("property") for one in node.decorator_list)


def _made_by(node: ast.ClassDef) -> str:
    for one in node.body:
        if isinstance(one, ast.FunctionDef) and one.name == "__init__":
            return _signature(one, True).removesuffix(" -> None")
    return ""


def _signature(node: ast.FunctionDef, of_a_class: bool) -> str:
    """Return ``(x: Tensor) -> Tensor``, without the ``self`` of a method."""
    static = any(ast.unparse(one) == "staticmethod" for one in node.decorator_list)
    if of_a_class and not static:
        (node.args.posonlyargs or node.args.args).pop(0)
    result = _result(node)
    return f"({ast.unparse(node.args)})" + (f" -> {result}" if result else "")


def _result(node: ast.FunctionDef) -> str:
    return ast.unparse(node.returns) if node.returns else ""
