"""The blocks of MyST Markdown that plain Markdown does not know, found by reading lines."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

_FENCE = re.compile(r"\s*(?P<fence>`{3,}|~{3,}|:{3,})(?:\{(?P<name>[\w:-]+)\})?(?P<rest>[^`]*)")
_LABEL = re.compile(r"\((?P<name>[\w:.-]+)\)=\s*")
_MATH_END = re.compile(r"(?P<tex>.*?)\$\$\s*(?:\((?P<label>[\w:.-]+)\))?\s*")
_HEADING = re.compile(r"#+\s+(?P<title>.*?)\s*")


@dataclass
class Prose:
    """Lines that hold text and roles."""

    text: str

    @property
    def title(self) -> str | None:
        """The heading that the lines begin with, if they do."""
        found = _HEADING.fullmatch(self.text.lstrip("\n").partition("\n")[0])
        return found["title"] if found else None


@dataclass
class Code:
    """A fenced block that is shown and not run, fences included."""

    text: str


@dataclass
class Maths:
    """A displayed equation, without its dollar signs."""

    tex: str
    label: str | None


@dataclass
class Label:
    """The name of what follows: ``(name)=``."""

    name: str


@dataclass
class Directive:
    """A fenced directive."""

    name: str
    argument: str
    options: dict[str, str] = field(default_factory=dict)
    body: str = ""


Block = Prose | Code | Maths | Label | Directive


def blocks(text: str) -> Iterator[Block]:
    """Yield the blocks of a piece of MyST Markdown, in order."""
    lines = text.splitlines()
    prose: list[str] = []
    at = 0
    while at < len(lines):
        block, end = _special(lines, at)
        if block is None:
            prose.append(lines[at])
            at += 1
            continue
        if any(line.strip() for line in prose):
            yield Prose("\n".join(prose))
        prose = []
        yield block
        at = end
    if any(line.strip() for line in prose):
        yield Prose("\n".join(prose))


def _special(lines: list[str], at: int) -> tuple[Block | None, int]:
    """Return the block that begins at a line and the line after it; None if it is prose."""
    line = lines[at]
    if found := _LABEL.fullmatch(line):
        return Label(found["name"]), at + 1
    if line.lstrip().startswith("$$"):
        return _maths(lines, at)
    if found := _FENCE.fullmatch(line):
        close = re.compile(rf"\s*{found['fence'][0]}{{{len(found['fence'])},}}\s*")
        rest = range(at + 1, len(lines))
        end = next((i for i in rest if close.fullmatch(lines[i])), len(lines))
        if found["name"]:
            return _directive(found["name"], found["rest"].strip(), lines[at + 1 : end]), end + 1
        return Code("\n".join(lines[at : end + 1])), end + 1
    return None, at


def _maths(lines: list[str], at: int) -> tuple[Maths, int]:
    first = lines[at].lstrip().removeprefix("$$")
    if found := _MATH_END.fullmatch(first):
        return Maths(found["tex"].strip(), found["label"]), at + 1
    tex = [first]
    for end in range(at + 1, len(lines)):
        if found := _MATH_END.fullmatch(lines[end]):
            return Maths("\n".join([*tex, found["tex"]]).strip(), found["label"]), end + 1
        tex.append(lines[end])
    return Maths("\n".join(tex).strip(), None), len(lines)


def _directive(name: str, argument: str, lines: list[str]) -> Directive:
    options: dict[str, str] = {}
    if lines and lines[0].strip() == "---":
        end = next(i for i in range(1, len(lines)) if lines[i].strip() == "---")
        options = {k: str(v) for k, v in (yaml.safe_load("\n".join(lines[1:end])) or {}).items()}
        lines = lines[end + 1 :]
    while lines and (found := re.fullmatch(r"\s*:([\w-]+):\s*(.*)", lines[0])):
        options[found[1]] = found[2].strip()
        lines = lines[1:]
    return Directive(name, argument, options, "\n".join(lines).strip("\n"))
