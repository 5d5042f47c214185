"""Whether the chapters that have been given their shape still have it, and a table of all."""

import inspect
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bookbuild.source.chapters import READERS, BookError, Page, markdown_config, read_pages
from bookbuild.source.memory import Memory
from bookbuild.source.shape import Shape, shape_of

FILE = Path("book/shape.toml")


def shapes(root: Path) -> dict[str, Shape]:
    """Return the shape of every page of the book; that of one as it was before is not counted."""
    markdown = markdown_config(root)
    files = __file__, inspect.getfile(Page), inspect.getfile(Shape)
    libraries = map(version, (*READERS, "docutils"))
    extensions = sorted(markdown.enable_extensions)
    code = [Path(file).read_bytes() for file in files]
    memory = Memory(root, "shapes", *code, *libraries, *extensions)

    def counted(page: Page) -> dict[str, Any]:
        return {
            part: sorted(told) if isinstance(told, set) else told
            for part, told in vars(shape_of(page, markdown)).items()
        }

    found = {}
    for name, page in read_pages(root).items():
        told = memory.recall(page.path.read_bytes(), answer=partial(counted, page))
        parts = {part: set(told[part]) for part in ("folded", "pointed")}
        parts["sentences"] = [(numbers, text) for numbers, text in told["sentences"]]
        found[name] = Shape(**told | parts)
    memory.save(forget=True)
    return found


def shape_faults(root: Path) -> Iterator[str]:
    """Yield what is wrong with the shape of the pages that `FILE` lists."""
    if not (root / FILE).is_file():
        return
    rules = tomllib.loads((root / FILE).read_text(encoding="utf-8"))
    if not rules["pages"]:
        return
    found = shapes(root)
    for name in rules["pages"]:
        if name not in found:
            yield f"{FILE} lists {name}, which is no page"
            continue
        others = {other: shape.folded for other, shape in found.items()}
        yield from (f"{name}: {fault}" for fault in faults_of(found[name], rules["limits"], others))


def faults_of(
    shape: Shape, limits: Mapping[str, int], folded: Mapping[str, set[str]]
) -> Iterator[str]:
    """Yield what is wrong with a shape; `folded` are the labels in the folds of each page."""
    if shape.words > limits["words"]:
        yield f"its main line has {shape.words} words, of {limits['words']} at most"
    if shape.lines > limits["lines"]:
        yield f"{shape.lines} lines of code lie open, of {limits['lines']} at most"
    if shape.before_picture is None:
        yield "it has no picture before its first section"
    elif shape.before_picture > limits["before_picture"]:
        yield (
            f"its first picture comes after {shape.before_picture} words, "
            f"of {limits['before_picture']} at most"
        )
    for sentence in shape.crowded(limits["numbers"]):
        yield f"more than {limits['numbers']} numbers in a sentence: {sentence}"
    for title in shape.open_folds:
        yield f"a fold is open: {title}"
    for label in into_folds(shape, folded.values()):
        yield f"its main line points into a fold: {label}"


def into_folds(shape: Shape, folded: Iterable[set[str]]) -> list[str]:
    """Return the labels inside folds that the main line of a page points at.

    A label of the fold itself is none: to say where a proof stands is an invitation.
    """
    return sorted(shape.pointed & set().union(*folded))


def report(root: Path, name: str | None = None) -> str:
    """Return a table of the counts, and for one page what they are made of.

    Raises
    ------
    BookError
        If there is no such page.
    """
    rules = tomllib.loads((root / FILE).read_text(encoding="utf-8"))
    found = shapes(root)
    if name is not None and name not in found:
        raise BookError(f"_toc.yml names no page {name!r}")
    folded = [shape.folded for shape in found.values()]
    most = rules["limits"]["numbers"]
    lines = [f"{'page':34} words lines crowded picture open-folds into-folds"]
    for page, shape in found.items():
        if name in (None, page):
            picture = "none" if shape.before_picture is None else shape.before_picture
            lines.append(
                f"{page:32}{' *' if page in rules['pages'] else '  '}{shape.words:6}{shape.lines:6}"
                f"{len(shape.crowded(most)):8}{picture:>8}{len(shape.open_folds):11}"
                f"{len(into_folds(shape, folded)):11}"
            )
    if name is None:
        return "\n".join([*lines, f"* in the shape of {FILE}"])
    every = {page: shape.folded for page, shape in found.items()}
    return "\n".join([*lines, *faults_of(found[name], rules["limits"], every)])
