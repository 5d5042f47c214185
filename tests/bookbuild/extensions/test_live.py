"""The program of the live figures is put together from its modules; files are named by content."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from py_mini_racer import MiniRacer
from sphinx.errors import ExtensionError

from bookbuild.extensions.live import NEEDS, bundle, engine_file, file_of, zoo_file

SOURCES = Path(__file__).parents[3] / "book/live"


def written(folder: Path, **modules: str) -> Path:
    for name, text in modules.items():
        (folder / f"{name}.js").write_text(text)
    return folder


def test_modules_see_what_they_import_and_nothing_else(tmp_path):
    written(
        tmp_path,
        main='import {twice, HALF} from "./two.js";\nimport {one} from "./one.js";\n'
        "const own = 3;\nexport const all = [twice(own), HALF, one()];\n",
        two='import {one} from "./one.js";\n// A comment.\nconst own = 2;\n'
        "export const HALF = 1 / own;\n/** Doubles. */\nexport function twice(x) {\n"
        "  return one() * own * x;\n}\n",
        one="const own = 1;\nexport const one = () => own;\nexport class Unused {}\n"
        "export async function later() {}\nexport function* some() {}\n",
    )
    text = bundle(tmp_path, "main")
    assert "comment" not in text
    assert "Doubles" not in text
    assert text.count("const $one") == 1
    assert json.loads(MiniRacer().eval(text + "JSON.stringify($main.all)")) == [6, 0.5, 1]


@pytest.mark.parametrize(
    ("module", "fault"),
    [
        ('import {missing} from "./one.js";\n', "one.js does not export missing"),
        ('import * as one from "./one.js";\n', "knows no such form"),
        ("export default 3;\n", "knows no such form"),
        ('import {two} from "./two.js";\n', "import each other"),
    ],
)
def test_what_it_does_not_know_it_refuses(tmp_path, module, fault):
    written(tmp_path, main=module, one="export const one = 1;\n")
    written(tmp_path, two='import {main} from "./main.js";\nexport const two = 2;\n')
    with pytest.raises(ExtensionError, match=fault):
        bundle(tmp_path, "main")


def test_a_file_has_another_name_when_its_content_is_another(tmp_path):
    sources = tmp_path / "book/live"
    zoo = tmp_path / "code/onebound/zoo"
    sources.mkdir(parents=True)
    zoo.mkdir(parents=True)
    (zoo / "net.safetensors").write_bytes(b"weights")
    name, text = file_of(sources, "net")
    assert text == 'onebound.files["net"] = "d2VpZ2h0cw==";\n'
    assert file_of(sources, "net") == (name, text)
    (zoo / "net.safetensors").write_bytes(b"others")
    assert file_of(sources, "net")[0] != name


def test_what_figures_need_is_there_and_fits():
    size = len(engine_file(SOURCES)[1])
    for name, needs in NEEDS.items():
        assert all(zoo_file(SOURCES, need).is_file() for need in needs)
        assert size + sum(len(file_of(SOURCES, need)[1]) for need in needs) < 4_000_000, name


def test_a_changed_model_makes_new_files_and_the_pages_name_them(tmp_path):
    book, zoo = tmp_path / "book", tmp_path / "code/onebound/zoo"
    for folder in (book / "live", book / "images", zoo):
        folder.mkdir(parents=True)
    for source in SOURCES.iterdir():
        (book / "live" / source.name).write_bytes(source.read_bytes())
    for need in {need for needs in NEEDS.values() for need in needs} - {"digits"}:
        (zoo / f"{need}.safetensors").write_bytes(b"weights")
    (book / "images/live-first-look.png").write_bytes((SOURCES / "digits.png").read_bytes())
    (book / "index.md").write_text(
        "# Tiny\n\n```{live} first-look\n:name: live-first-look\n:start: Start\n"
        ":alt: Digits\n\nText.\n```\n"
    )

    def built() -> tuple[dict[str, str], set[str]]:
        out, extensions = tmp_path / "html", "myst_parser,bookbuild.extensions.live"
        subprocess.run(  # Sphinx keeps what it registers, and other tests build in this process
            [
                sys.executable,
                "-m",
                "sphinx",
                "-q",
                "-C",
                "-D",
                f"extensions={extensions}",
                "-D",
                "html_theme=basic",
                "-d",
                tmp_path / "trees",
                book,
                out,
            ],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
        )
        page = BeautifulSoup((out / "index.html").read_text(encoding="utf-8"), "html.parser")
        bar = page.select_one(".live-bar")
        named = json.loads(bar["data-files"]) | {"engine": bar["data-engine"]}
        return named, {f"live/{file.name}" for file in (out / "live").iterdir()}

    first, files = built()
    assert set(first.values()) <= files
    (zoo / "unet_classes.safetensors").write_bytes(b"others")
    second, files = built()
    assert second["unet_classes"] != first["unet_classes"]
    assert second["engine"] == first["engine"]
    assert set(second.values()) <= files
    assert first["unet_classes"] not in files
    with (book / "live/random.js").open("a") as file:
        file.write("export const more = 1;\n")
    third, files = built()
    assert third["engine"] != first["engine"]
    assert third["engine"] in files
