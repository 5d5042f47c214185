"""The Sphinx extension that lets a reader search the hosted book with Pagefind.

The index is made of what the pages say, not of how they are typeset: a Greek letter counts as its
name, and what only a program reads is left out. A browser asks for the few pieces of it that a
search needs. From disk it may not, and there Sphinx's own search answers.
"""

import re
import shutil
import subprocess
import sys
import unicodedata
from html import escape, unescape
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from bookbuild.source.memory import Memory

FOLDER = "pagefind"
WEIGHTS = {  # of words in these places, where others count 1
    "dt": "3",  # terms that are explained there
    "table td:first-child": "10",  # symbols that are
    "pre": "0.3",
    "p.caption, figcaption": "0.7",
}
WORTH = {
    "solutions/": 0.6,
    "common-errors": 0.4,
    "scoreboard": 0.8,
    "api/": 0.3,
    "errata": 0.5,
    "notation": 1.3,
}
"""Of a page, where others have 1: a chapter comes before what only speaks of it."""
NOT_FOUND = {"equations", "references", "cite"}
"""Pages whose words all stand elsewhere."""
_LEFT_OUT = (
    "script, style, button, a.headerlink, p.equation-links, p.effort, div.math, "
    ".prev-next-footer, .toctree-wrapper"
)
_FORMULA = re.compile(r"<mjx-container\b.*?</mjx-container>", re.DOTALL)
_MATHML = re.compile(r"<mjx-assistive-mml\b[^>]*>(.*?)</mjx-assistive-mml>", re.DOTALL)
_GREEK = re.compile(r"GREEK (?:SMALL|CAPITAL) LETTER (\w+)")
_SCRIPTS = re.compile(
    r'[ \t]*<script defer src="(?:_static/searchtools\.js|_static/language_data\.js|'
    r"searchindex\.js)[^>]*></script>\n?"
)
PROGRAM = """{
  const asked = new URLSearchParams(location.search).get("q")?.trim() ?? "";
  const make = (tag, properties, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const entry = (url, title, excerpt) => [
    make("a", {href: url, textContent: title}),
    make("p", {className: "context", innerHTML: excerpt}),  // the index escapes all but its marks
  ];
  const result = ({url, excerpt, meta, sub_results}) => {
    const sections = sub_results.filter((section) => section.url.includes("#")).slice(0, 3);
    const list = sections.map((one) => make("li", {}, ...entry(one.url, one.title, one.excerpt)));
    const [link, context] = entry(url, meta.title, excerpt);
    return make("li", {}, link, list.length ? make("ul", {}, ...list) : context);
  };
  const answer = async () => {
    for (const input of document.querySelectorAll("input[name=q]")) input.value = asked;
    if (!asked) return;
    const pagefind = await import("./pagefind/pagefind.js");
    await pagefind.options({ranking: {pageLength: 0.1}});  // a short page is no better a page
    const {results} = await pagefind.search(asked);
    const read = async (one) => [await one.data(), one.score];
    const pages = await Promise.all(results.slice(0, 20).map(read));
    const rank = ([{meta}, score]) => score * meta.worth;
    pages.sort((one, other) => rank(other) - rank(one));
    const told = results.length === 1 ? "1 page" : `${results.length || "No"} pages`;
    const summary = make("p", {textContent: `${told} for “${asked}”`});
    summary.setAttribute("role", "status");
    const list = make("ul", {className: "search"}, ...pages.map(([page]) => result(page)));
    document.getElementById("search-results").replaceChildren(summary, list);
  };
  if (location.protocol === "file:")
    for (const src of ["_static/searchtools.js", "_static/language_data.js", "searchindex.js"])
      document.head.append(make("script", {src, async: false}));
  else answer();
}"""


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension; Sphinx calls this."""
    app.connect("build-finished", _index, priority=900)  # when the pages are as they stay
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _index(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    html, root = Path(app.outdir), app.srcdir.parent
    memory = Memory(root, "search", Path(__file__).read_bytes())
    plain = {}
    for name in sorted(app.env.found_docs - NOT_FOUND):
        file = html / f"{name}.html"
        if file.is_file():
            page = file.read_text(encoding="utf-8")
            plain[name] = memory.recall(name, page, answer=lambda p=page, n=name: readable(p, n))
    memory.save(forget=True)
    make_index(plain, root / "_build/.search", html / FOLDER)
    results = html / "search.html"
    if results.is_file():
        results.write_text(with_program(results.read_text(encoding="utf-8")), encoding="utf-8")


def make_index(pages: dict[str, str], folder: Path, output: Path) -> None:
    """Index pages, which lie in `folder` meanwhile, into the folder `output`.

    Raises
    ------
    ExtensionError
        If Pagefind fails.
    """
    for old in (folder, output):
        shutil.rmtree(old, ignore_errors=True)
    for name, page in pages.items():
        file = folder / f"{name}.html"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page, encoding="utf-8")
    command = [sys.executable, "-m", "pagefind_bin", "--site", folder, "--output-path", output]
    done = subprocess.run([*map(str, command), "--quiet"], capture_output=True, text=True)
    shutil.rmtree(folder, ignore_errors=True)
    if done.returncode or not (output / "pagefind.js").is_file():
        raise ExtensionError(f"Pagefind made no index: {done.stdout}{done.stderr}")
    for pattern in ("*ui*", "*highlight*"):  # what the pages do by themselves
        for file in output.glob(pattern):
            file.unlink()


def readable(page: str, name: str) -> str:
    """Return a page of the book as Pagefind is to read it."""
    tree = BeautifulSoup(_FORMULA.sub(_said, page), "lxml")
    article = tree.select_one("article.bd-article") or tree.body
    for part in article.select(_LEFT_OUT):
        part.decompose()
    for heading in article.select("section[id] > :is(h1, h2, h3, h4)"):
        heading["id"] = heading.parent["id"]  # so that a result leads to its section
    for place, weight in WEIGHTS.items():
        for part in article.select(place):
            part["data-pagefind-weight"] = weight
    worth = next((worth for start, worth in WORTH.items() if name.startswith(start)), 1)
    return (
        f'<!DOCTYPE html><html lang="en"><head>{tree.title or ""}</head>'
        f'<body data-pagefind-body data-pagefind-meta="worth:{worth}">{article}</body></html>'
    )


def _said(formula: re.Match[str]) -> str:
    """Return what a formula of a page says, from the MathML that a screen reader reads."""
    symbols = re.sub("<[^>]*>", "", "".join(_MATHML.findall(formula[0])))
    return escape(spoken(unescape(symbols)))


def spoken(symbols: str) -> str:
    """Return the symbols of a formula, with the name of each Greek letter behind it.

    They are words apart: who looks for "beta" finds a formula with that letter.
    """
    words = []
    for symbol in unicodedata.normalize("NFKC", symbols):
        found = _GREEK.fullmatch(unicodedata.name(symbol, ""))
        name = found[1].lower().replace("mda", "mbda") if found else ""
        words.append(f" {symbol} {name} " if found else symbol)
    return " ".join("".join(words).split())


def with_program(page: str) -> str:
    """Return the page of results, with the program in place of Sphinx's scripts."""
    rest, found = _SCRIPTS.subn("", page)
    if not found:
        return page  # as an earlier build has left it
    return rest.replace("</head>", f'<script type="module">{PROGRAM}</script>\n</head>', 1)
