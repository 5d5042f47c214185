"""The Sphinx extension that puts figures into pages which run there, with the book's own models.

``{live}`` is a figure like any other: a still picture, its alt text and a caption, which is all
that paper and a page without scripts show. Its button loads the program in ``book/live`` and,
if the figure needs one, a model of the zoo. Both are files of one script each, so that a page from
disk loads them too, and are named after their content. Nothing of it is loaded before.
"""

import json
import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.directives.patches import Figure
from sphinx.errors import ExtensionError

FOLDER = "live"
"""Of the sources below ``book/``, and of what is made of them in the built book."""
NEEDS = {
    "draw-and-denoise": ["unet_classes"],
    "first-look": ["unet_classes"],
    "forward-process": ["digits"],
    "latent-map": ["vae_plane", "digits"],
    "one-step": ["unet_small", "digits"],
}
"""The models of the zoo that a figure needs, and "digits": test digits with their labels."""
MEGABYTES = 4
"""The most that one figure may load."""
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([a-z-]+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:const|class|(?:async )?function\*?) (\w+))", re.MULTILINE)
_COMMENT = re.compile(r"^[ \t]*(?://[^\n]*|/\*.*?\*/)\n", re.MULTILINE | re.DOTALL)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the extension; Sphinx calls this."""
    app.add_directive("live", Live)
    app.add_node(bar, html=(_visit_bar, None), latex=(_skip, None), text=(_skip, None))
    app.connect("html-page-context", _give_loader)
    app.connect("build-finished", _write_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class bar(nodes.General, nodes.Element):
    """The place of the button that starts a figure."""


class Live(Figure):
    """A figure whose picture is ``images/live-NAME.png``; the content is its caption."""

    option_spec = Figure.option_spec | {"start": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Return the figure, with a button under its picture."""
        name = self.arguments[0]
        env = self.state.document.settings.env
        sources = Path(env.srcdir, FOLDER)
        for file in sorted(sources.iterdir()):
            env.note_dependency(str(file))
        if "name" not in self.options or "start" not in self.options:
            raise self.error(f"a live figure has a :name: and says in :start: what starts: {name}")
        self.arguments[0] = f"images/live-{name}.png"
        start = self.options.pop("start")
        (figure,) = super().run()
        if not isinstance(figure, nodes.figure):
            return [figure]  # what is wrong
        figure["classes"].append("live")
        engine, _ = engine_file(sources)
        files = {}
        for need in NEEDS.get(name, []):
            env.note_dependency(str(zoo_file(sources, need)))
            files[need], _ = file_of(sources, need)
        figure.insert(1, bar(live=name, start=start, engine=engine, files=files))
        return [figure]


def _visit_bar(translator: Any, node: bar) -> None:
    page = translator.builder.current_docname
    up = "../" * page.count("/")
    files = {name: f"{up}{FOLDER}/{file}" for name, file in node["files"].items()}
    translator.body.append(
        f'<div class="live-bar" data-live="{node["live"]}" '
        f"data-engine=\"{up}{FOLDER}/{node['engine']}\" data-files='{json.dumps(files)}'>"
        f'<button type="button" class="live-start">{node["start"]}</button>'
        '<p class="live-says" role="status"></p></div>'
        "<noscript><style>.live-bar {display: none}</style></noscript>\n"
    )
    raise nodes.SkipNode


def _skip(translator: Any, node: bar) -> None:
    raise nodes.SkipNode


def _give_loader(
    app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Give what starts a figure to the pages that have one."""
    if doctree is None or not any(doctree.findall(bar)):
        return
    sources = Path(app.srcdir, FOLDER)
    style, loader = (
        _COMMENT.sub("", (sources / file).read_text(encoding="utf-8"))
        for file in ("page.css", "loader.js")
    )
    context["metatags"] = (
        f"{context.get('metatags', '')}<style>{style}</style>\n"
        f'<script type="module">{loader}</script>\n'
    )


def _write_files(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir, FOLDER)
    folder.mkdir(exist_ok=True)
    sources = Path(app.srcdir, FOLDER)
    needs = {need for needs in NEEDS.values() for need in needs}
    wanted = dict([engine_file(sources), *(file_of(sources, need) for need in sorted(needs))])
    for file in folder.iterdir():
        if file.name not in wanted:
            file.unlink()
    for name, text in wanted.items():
        if len(text) > MEGABYTES * 1_000_000:
            raise ExtensionError(f"{name} has {len(text)} bytes, more than {MEGABYTES} MB")
        if not (folder / name).is_file():
            (folder / name).write_text(text, encoding="utf-8")


def zoo_file(sources: Path, need: str) -> Path:
    """Return where something that a figure needs lies; it is read without PyTorch."""
    if need == "digits":
        return sources / "digits.png"
    return sources.parents[1] / f"code/onebound/zoo/{need}.safetensors"


def engine_file(sources: Path) -> tuple[str, str]:
    """Return the program of all figures: the name of its file, and its text."""
    worker = f"const WORKER = {json.dumps(bundle(sources, 'worker'))};\n"
    return _named("engine", f"{{\n{worker}{bundle(sources, 'main')}}}\n")


def file_of(sources: Path, need: str) -> tuple[str, str]:
    """Return what a figure needs as a script: the name of its file, and its text."""
    content: Any = b64encode(zoo_file(sources, need).read_bytes()).decode()
    if need == "digits":
        labels = (sources / "digits.txt").read_text(encoding="utf-8").strip()
        content = {"png": content, "labels": labels}
    return _named(need, f'onebound.files["{need}"] = {json.dumps(content)};\n')


def _named(stem: str, text: str) -> tuple[str, str]:
    return f"{stem}-{sha256(text.encode()).hexdigest()[:12]}.js", text


def bundle(sources: Path, *entries: str) -> str:
    """Return modules and all that they import as one script.

    Each module becomes a function that returns what it exports, called in the order of need. The
    sources keep to two forms: ``import {a, b} from "./module.js";``, at the start of a line, and
    ``export`` before a ``const``, ``class`` or ``function``.
    """
    done: dict[str, str] = {}
    exports: dict[str, list[str]] = {}

    def add(name: str) -> None:
        text = (sources / f"{name}.js").read_text(encoding="utf-8")
        done[name] = ""  # a circle would find it unfinished
        exports[name] = _EXPORT.findall(text)
        for names, needed in _IMPORT.findall(text):
            if needed not in done:
                add(needed)
            elif not done[needed]:
                raise ExtensionError(f"{name}.js and {needed}.js import each other")
            if lacking := set(re.findall(r"\w+", names)) - set(exports[needed]):
                raise ExtensionError(f"{needed}.js does not export {', '.join(sorted(lacking))}")
        body = _IMPORT.sub(lambda found: f"const {{{found[1]}}} = {_variable(found[2])};\n", text)
        body = _COMMENT.sub("", _EXPORT.sub("", body))
        if left := re.search(r"^(?:import|export)\b.*", body, re.MULTILINE):
            raise ExtensionError(f"{name}.js: bundle() knows no such form: {left[0]}")
        del done[name]
        names = ", ".join(exports[name])
        done[name] = f"const {_variable(name)} = (() => {{\n{body}return {{{names}}};\n}})();\n"

    for entry in entries:
        if entry not in done:
            add(entry)
    return "".join(done.values())


def _variable(module: str) -> str:
    return "$" + module.replace("-", "_")
