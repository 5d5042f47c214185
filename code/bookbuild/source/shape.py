"""The shape of a page: what a reader who opens no fold has to read.

The *main line* of a page is its text outside folds, and outside its exercises, their answers, its
history and its references. A *fold* is an admonition of the class ``dropdown``, a ``{dropdown}``, a
``{toggle}``, or HTML's own ``<details>``. Everything is read from the Markdown, with the parser
that renders it: what an author counts is what they wrote.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from docutils.parsers.rst import Directive
from docutils.parsers.rst.directives import unchanged
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.directives import MarkupError, parse_directive_text
from myst_parser.parsers.mdit import create_md_parser
from nbformat import NotebookNode

from bookbuild.source.chapters import Page

ASIDE = re.compile(r"(exercise|answer|history|further reading|reference)", re.IGNORECASE)
FOLDS = {"dropdown", "toggle"}
ASIDES = FOLDS | {"exercise", "solution", "glossary", "bibliography"}
FOLDED_CELL = {"hide-cell", "hide-input", "remove-cell", "remove-input"}
FOLDED_OUTPUT = {"hide-cell", "hide-output", "remove-cell", "remove-output"}
POINTING = {"eq", "ref", "numref", "prf:ref"}
LINE = 10  # words that a line of open code is worth on the way to the first picture

_DIRECTIVE = re.compile(r"\{([\w:.-]+)\}\s*(.*)", re.DOTALL)
_ROLE_TEXT = re.compile(r"(?P<text>.*?)\s*<(?P<target>[^<>]+)>", re.DOTALL)
_WORD = re.compile(r"[\w⟨][\w'’.,⟩-]*")
# A sentence ends where a new one begins: not after "e.g.", not inside a number.
_SENTENCE = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)[\"'”’)*]*\s+(?=[^a-z\s])")
_NUMBER = r"(?<![\w.⟨])[-−+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w⟩])"
_VALUE = rf"(?:{_NUMBER}|⟨[^⟩]*⟩)"
_WITH_ERROR = re.compile(rf"{_VALUE}(?:\s*(?:±|×|x|\\pm|\\times|\\cdot)\s*{_VALUE})*")
_NAMED = re.compile(  # a number that is part of a name
    r"\b(?:chapter|part|figure|table|equation|exercise|section|step|line|version)s?\s+\d+"
    r"(?:(?:,\s*|,?\s+(?:and|to|or)\s+)\d+)*",
    re.IGNORECASE,
)
_YEAR = re.compile(r"(?<![\w.,])(?:18|19|20)\d\d(?![\w,]|\.\d)")
_RELATION = re.compile(r"=|<|>|\\(?:le|ge|leq|geq|approx|sim|in|to)\b")


@dataclass
class Shape:
    """What the main line of a page holds.

    Attributes
    ----------
    words
        Words of its text, headings and captions included; a formula in a line is one word.
    lines
        Lines of code that lie open, the empty ones left out. What `show_source` shows is no code of
        the page, but an output.
    formulas
        Lines of its displayed mathematics.
    sentences
        How many numbers each sentence has, and the sentence, for those that have any.
    before_picture
        Words before the first picture, or None if a heading of level 2 comes first.
    open_folds
        The titles of folds that are not closed to begin with.
    folded
        The labels that lie inside folds.
    pointed
        The labels that the main line points at.
    """

    words: int = 0
    lines: int = 0
    formulas: int = 0
    sentences: list[tuple[int, str]] = field(default_factory=list)
    before_picture: int | None = None
    open_folds: list[str] = field(default_factory=list)
    folded: set[str] = field(default_factory=set)
    pointed: set[str] = field(default_factory=set)

    def crowded(self, most: int) -> list[str]:
        """Return the sentences with more numbers than `most`."""
        return [text for numbers, text in self.sentences if numbers > most]


def shape_of(page: Page, markdown: MdParserConfig) -> Shape:
    """Return the shape of a page."""
    reader = _Reader(create_md_parser(markdown, RendererHTML))
    for cell in page.notebook.cells:
        if cell.cell_type == "code":
            reader.read_code(cell)
        else:
            reader.read(cell.source)
    if not page.notebook.cells:  # plain Markdown
        reader.read(page.path.read_text(encoding="utf-8"))
    return reader.shape


def numbers_in(sentence: str) -> int:
    """Return how many numbers a reader meets in a sentence.

    A value that a cell hands over, in ⟨ ⟩ here, is one; so is a value with its standard error, and
    a size such as 28 × 28. A year is none, nor a number that is part of a name ("chapter 3").
    """
    plain = _YEAR.sub("", _NAMED.sub("", sentence))
    return len(_WITH_ERROR.findall(plain))


def value_of(tex: str) -> str:
    r"""Return the value that a formula in a line gives, as text; the symbols of others are words.

    ``\sigma = 0.4`` gives 0.4, ``10^{-3}`` is one, ``x_0`` and ``\frac{1}{2} x^2`` give none. Nor
    do 0 and 1, which in a formula are algebra and no result.
    """
    last = _RELATION.split(tex)[-1].strip().rstrip(".,;")
    last = re.sub(r"\\[,;!% ]|[{}]|\\(?:text|mathrm)|(?<=\d)\\,(?=\d)", "", last)
    last = re.sub(r"(?<=\d)\^[-−]?\d+", "", last)
    last = re.sub(r"\s*\\(pm|times|cdot)\s*", lambda sign: " × ", last)
    return last if re.fullmatch(_WITH_ERROR, last) and last not in ("0", "1", "-1") else ""


class _AnyDirective(Directive):
    """Stands for each directive: only its options and its body are told apart here."""

    optional_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec = {"class": unchanged}  # noqa: RUF012


class _Reader:
    """Goes through a page once, and knows where it is."""

    def __init__(self, parser: MarkdownIt):
        self.parser = parser
        self.shape = Shape()
        self.aside = False  # in a section that is not the main line
        self.level = 0  # of the heading that said so
        self.sections = 0  # headings of level 2 so far
        self.way = 0  # words so far, code included

    def read(self, text: str, *, within: bool = False, aside: bool = False) -> None:
        """Read a piece of Markdown, which may stand `within` a fold."""
        tokens = self.parser.parse(text)
        tables = details = 0  # open ones
        for at, token in enumerate(tokens):
            folded = bool(details) or within
            tables += (token.type == "table_open") - (token.type == "table_close")
            if token.type in ("math_block", "math_block_label", "amsmath"):
                self._formula(token.content, folded or aside or self.aside)
            if token.type == "heading_open":
                self._heading(int(token.tag[1]), tokens[at + 1].content, folded or aside)
            elif token.type == "inline":
                self._inline(token, folded, aside or self.aside, counts=not tables)
            elif token.type in ("fence", "colon_fence"):
                self._fence(token, folded, aside or self.aside)
            elif token.type in ("myst_target", "math_block_label", "amsmath"):
                self._labelled(token.content if token.type == "myst_target" else token.info, folded)
            elif token.type == "html_block":
                details += len(re.findall("<details", token.content))
                details -= token.content.count("</details>")
                if re.search(r"<details[^>]*\bopen\b", token.content):
                    self.shape.open_folds.append(token.content.strip())

    def read_code(self, cell: NotebookNode) -> None:
        """Read a code cell."""
        tags = {tag.replace("_", "-") for tag in cell.metadata.get("tags", [])}
        rendered = cell.metadata.get("mystnb", {})
        if name := rendered.get("figure", {}).get("name"):
            self._labelled(name, bool(tags & FOLDED_OUTPUT))
        if not tags & FOLDED_CELL:
            self._open_code(cell.source)
        if rendered.keys() & {"image", "figure"} and not tags & FOLDED_OUTPUT:
            self._picture()
            self.read(rendered.get("figure", {}).get("caption", ""))

    def _heading(self, level: int, title: str, inside: bool) -> None:
        if inside:
            return
        if not self.aside or level <= self.level:
            self.aside, self.level = bool(level > 1 and ASIDE.match(title)), level
        self.sections += level == 2

    def _inline(self, token: Token, folded: bool, aside: bool, *, counts: bool) -> None:
        text = "".join(self._texts(token.children or [], folded, aside or folded))
        if folded or aside or not counts:
            return
        words = len(_WORD.findall(text))
        self.shape.words += words
        self.way += words
        for sentence in _SENTENCE.split(" ".join(text.split())):
            if numbers := numbers_in(sentence):
                self.shape.sentences.append((numbers, sentence))

    def _texts(self, children: list[Token], folded: bool, apart: bool) -> Iterator[str]:
        """Yield the text of what stands in a line: what a reader reads of each piece."""
        for child in children:
            if child.type in ("text", "softbreak", "hardbreak"):
                yield child.content or " "
            elif child.type == "code_inline":
                yield re.sub(r"[^A-Za-z_.]+", "_", child.content)  # one name
            elif child.type.startswith("math_inline"):
                yield value_of(child.content) or "formula"
            elif child.type == "myst_role":
                yield self._role(child.meta["name"], child.content, apart)
            elif child.type == "link_open" and not apart:
                if (target := str(child.attrs.get("href", ""))).startswith("#"):
                    self.shape.pointed.add(target[1:])
            elif child.type == "image" and not apart:
                self._picture()

    def _role(self, name: str, content: str, apart: bool) -> str:
        found = _ROLE_TEXT.fullmatch(content)
        text, target = (found["text"], found["target"]) if found else ("", content)
        if name in POINTING and not apart:
            self.shape.pointed.add(target)
        if name.startswith("glue"):
            return "⟨value⟩"
        if name.startswith("cite"):
            return ""
        return text or ("reference" if name in POINTING else target)

    def _fence(self, token: Token, folded: bool, aside: bool) -> None:
        found = _DIRECTIVE.fullmatch(token.info.strip())
        if not found:
            if not folded and not aside:
                self._open_code(token.content)
            return
        name, argument = found[1], found[2].strip()
        options, body = _parts(token.content)
        classes = options.get("class", "").split()
        fold = name in FOLDS or "dropdown" in classes
        for label in (options.get("name"), options.get("label")):
            self._labelled(label, folded)
        if fold and ("open" in options or "toggle-shown" in classes):
            self.shape.open_folds.append(argument)
        inside = folded or fold
        if name in ("figure", "image", "live") and not inside and not aside:
            self._picture()
        if name in ("math", "image", "code-block", "raw", "tableofcontents"):
            return
        self.read(body, within=inside, aside=aside or name in ASIDES)

    def _labelled(self, label: str | None, folded: bool) -> None:
        if label and folded:
            self.shape.folded.add(label)

    def _formula(self, tex: str, apart: bool) -> None:
        if not apart:
            self.shape.formulas += 1 + len(re.findall(r"\\\\(?!\s*(?:\\end|$))", tex))

    def _open_code(self, source: str) -> None:
        if not self.aside:
            lines = sum(bool(line.strip()) for line in source.splitlines())
            self.shape.lines += lines
            self.way += LINE * lines

    def _picture(self) -> None:
        if self.shape.before_picture is None and not self.sections and not self.aside:
            self.shape.before_picture = self.way


def _parts(content: str) -> tuple[dict[str, str], str]:
    """Return the options of a directive and its body."""
    try:
        parsed = parse_directive_text(_AnyDirective, "", content, validate_options=False)
    except MarkupError:
        return {}, content
    return {name: str(value or "") for name, value in parsed.options.items()}, "\n".join(
        parsed.body
    )
