"""The Sphinx extension that typesets the mathematics while the book is built.

MathJax runs here, in V8, and leaves HTML, a style sheet and fonts. It starts for a formula that no
build before has met: the others are remembered, and those of the book are shipped with it, so V8 is
installed for a formula that is new. A page then needs no script for its formulas: they stand when
it opens, also from disk, on paper and where scripts are off. A formula that MathJax cannot read is
a warning, which fails the build. MathJax itself comes from the package sphinx-mathjax-offline.
"""

import functools
import importlib.util
import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

from bookbuild.extensions.written import written
from bookbuild.notebooks.plain import expand
from bookbuild.source.chapters import BookError
from bookbuild.source.memory import Memory, lacking, ship

if TYPE_CHECKING:
    from py_mini_racer import MiniRacer

NAME = "mathematics"
SHIPPED = Path("book/formulas.json.gz")
LOGGER = logging.getLogger(__name__)
PARTS = (
    "startup",
    "core",
    "adaptors/liteDOM",
    "input/tex-full",
    "output/chtml",
    "output/chtml/fonts/tex",
    "a11y/assistive-mml",
)
FONTS = "output/chtml/fonts/woff-v2"
# Without those that show an unknown command in red instead of refusing it, and without definitions
# in a formula: what one looks like may not depend on those before it.
TEX_PACKAGES = ["base", "ams", "boldsymbol", "configmacros"]
START = """
MathJax.startup.getComponents();
MathJax.startup.makeMethods();
globalThis.outer = (node) => MathJax.startup.adaptor.outerHTML(node);
globalThis.typeset = (tex, display) => outer(MathJax.tex2chtml(tex, {display}));
globalThis.styles = () => MathJax.startup.adaptor.textContent(MathJax.chtmlStylesheet());
"""


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension; Sphinx calls this."""
    renderer = _Renderer()
    app.add_html_math_renderer("typeset", (renderer.inline, None), (renderer.display, None))
    app.add_config_value("bookbuild_fresh", False, "")
    app.connect("builder-inited", renderer.start)
    app.connect("doctree-resolved", _keep_punctuation)
    app.connect("build-finished", renderer.stop)
    app.setup_extension("bookbuild.extensions.written")
    app.add_css_file("mathematics/mathematics.css")
    return {"parallel_read_safe": True, "parallel_write_safe": False}


class NoEngineError(BookError, SphinxError):
    """A formula has to be typeset, and V8 is not installed."""

    category = "A formula has to be typeset"


class Typesetter:
    """MathJax with the given macros, and in `root` what it has typeset before unless `fresh`.

    Raises
    ------
    NoEngineError
        When a formula has to be typeset and V8 is not installed.
    """

    def __init__(self, macros: dict[str, Any], root: Path, *, fresh: bool = False):
        config = {
            "loader": {"load": []},
            "startup": {"typeset": False, "input": ["tex"], "output": "chtml"},
            "tex": {"packages": TEX_PACKAGES, "macros": macros},
            "chtml": {"fontURL": ".", "adaptiveCSS": False},
        }
        self._programs = [
            f"globalThis.MathJax = {json.dumps(config)}",
            *((mathjax() / f"{part}.js").read_text(encoding="utf-8") for part in PARTS),
            START,
        ]
        shipped = root / SHIPPED
        self._memory = Memory(root, NAME, *self._programs, shipped=shipped, fresh=fresh)

    @functools.cached_property
    def _engine(self) -> "MiniRacer":
        try:
            from py_mini_racer import MiniRacer
        except ImportError:
            raise NoEngineError(
                f"{SHIPPED} is damaged or lacks a formula, and mini-racer, which typesets it, "
                "is not installed: `make book` does that"
            ) from None
        engine = MiniRacer()
        for program in self._programs:
            engine.eval(program)
        return engine

    def __call__(self, tex: str, *, display: bool) -> str:
        """Return a formula as HTML; one that MathJax can't read contains ``<mjx-merror``."""
        return self._memory.recall(
            tex, str(display), answer=lambda: self._engine.call("typeset", tex, display)
        )

    def styles(self) -> str:
        """Return the style sheet, which looks for its fonts in its own folder."""
        return self._memory.recall("styles", answer=lambda: self._engine.eval("styles()"))

    def close(self, *, forget: bool) -> None:
        """Stop the engine, and keep what it did; `forget` what was not asked for."""
        self._memory.save(forget=forget)
        if "_engine" in vars(self):
            self._engine.close()


def mathjax() -> Path:
    """Return the folder that holds MathJax."""
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    return Path(spec.origin).parent / "static/mathjax"


def fault(root: Path) -> str | None:
    """Say what keeps a fresh clone from taking all formulas that were typeset or taken here."""
    number = lacking(root, NAME, root / SHIPPED)
    return f"{SHIPPED} lacks {number} formulas, or has others" if number else None


def renew(root: Path) -> None:
    """Ship the formulas of the last build."""
    ship(root, NAME, root / SHIPPED)


class _Renderer:
    """A typesetter for one build; a program that runs, so that no environment can hold it."""

    typesetter: Typesetter
    macros: dict[str, Any]

    def start(self, app: Sphinx) -> None:
        tex = (app.config.mathjax3_config or {}).get("tex", {})
        self.macros = tex.get("macros", {})
        fresh = app.config.bookbuild_fresh
        self.typesetter = Typesetter(self.macros, app.srcdir.parent, fresh=fresh)
        if app.builder.format == "html":
            folder = Path(app.outdir, "_static/mathematics")
            shutil.copytree(mathjax() / FONTS, folder, dirs_exist_ok=True)
            (folder / "mathematics.css").write_text(self.typesetter.styles(), encoding="utf-8")

    def stop(self, app: Sphinx, error: Exception | None) -> None:
        whole = app.builder.format == "html" and not error
        if whole:
            files = {Path(app.builder.get_outfilename(name)) for name in app.env.found_docs}
            whole = files <= set(written(app))
        self.typesetter.close(forget=whole)

    def inline(self, translator: HTML5Translator, node: nodes.math) -> None:
        formula = self._typeset(node, node.astext(), display=False)
        opening = translator.starttag(node, "span", "", CLASS="math notranslate nohighlight")
        after = translator.encode(node.get("after", ""))
        translator.body.append(f"{opening}{formula}{after}</span>")
        raise nodes.SkipNode

    def display(self, translator: HTML5Translator, node: nodes.math_block) -> None:
        body = translator.body
        # To be copied: in TeX that needs no definitions of this book's.
        source = {"data-tex": expand(node.astext().strip(), self.macros)}
        body.append(
            translator.starttag(node, "div", CLASS="math notranslate nohighlight", **source)
        )
        if node["number"]:
            body.append(f'<span class="eqno">({get_node_equation_number(translator, node)})')
            translator.add_permalink_ref(node, "Link to this equation")
            body.append("</span>")
        tex = node.astext() if node["nowrap"] else _aligned(node.astext())
        body.append(self._typeset(node, tex, display=True))
        body.append("</div>\n")
        raise nodes.SkipNode

    def _typeset(self, node: nodes.Node, tex: str, *, display: bool) -> str:
        html = self.typesetter(tex, display=display)
        if "<mjx-merror" in html:
            LOGGER.warning("MathJax cannot read %r", tex, location=node)
        return html


def _keep_punctuation(app: Sphinx, doctree: nodes.document, _: str) -> None:
    """Give each formula in a line the punctuation behind it, or a line may begin with a comma."""
    for formula in list(doctree.findall(nodes.math)) if app.builder.format == "html" else []:
        parent, behind = formula.parent, formula.parent.children.index(formula) + 1
        if behind < len(parent) and isinstance(text := parent[behind], nodes.Text):
            formula["after"] = re.match(r"[^\s\w]*", text)[0]
            parent[behind] = nodes.Text(text[len(formula["after"]) :])


def _aligned(tex: str) -> str:
    r"""Let a formula break where it says ``\\``, and at empty lines."""
    lines = [line for line in tex.split("\n\n") if line.strip()]
    lines = [rf"\begin{{split}}{line}\end{{split}}" if r"\\" in line else line for line in lines]
    if len(lines) == 1:
        return lines[0]
    return r"\begin{aligned}" + r"\\".join(lines) + r"\end{aligned}"
