import ast
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bookbuild import install
from bookbuild.install import download

ROOT = Path(__file__).parents[2]

LOCK = {
    "packages": [
        {"name": "here", "version": "1.0", "wheels": [{"size": 7}]},
        {"name": "older-here", "version": "2.0", "wheels": [{"size": 10}, {"size": 30}]},
        {"name": "source", "version": "1", "sdist": {"size": 500}},
        {"name": "on-disk", "version": "1", "wheels": [{"url": "file:///x.whl"}]},
    ]
}


def test_what_is_said_to_be_downloaded_is_what_is_not_here():
    assert download(LOCK, {"here-1.0", "older-here-1.0"}) == (3, 530)


def test_installed_packages_are_found_by_their_normal_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(install, "VENV", tmp_path)
    (tmp_path / "lib/python3.99/site-packages/Some_Thing-1.2.dist-info").mkdir(parents=True)
    assert install._installed() == {"some-thing-1.2"}


def test_uv_is_told_what_pip_is_told(monkeypatch: pytest.MonkeyPatch):
    told = (
        ":env:.find-links='/a /b'\nglobal.find-links='/c'\nglobal.cert='/cert.pem'\n"
        "global.extra-index-url='file:///one file:///two'\ndownload.index-url='no'\n"
    )
    monkeypatch.setattr(install.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=told))
    assert install._for_uv(install._settings_of_pip(), "https://torch") == {
        "UV_FIND_LINKS": "/a,/b",
        "UV_INDEX": "file:///one file:///two https://torch",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "SSL_CERT_FILE": "/cert.pem",
    }


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment with a Python; what installs into it notes that and may be cut short."""
    folder = tmp_path / ".venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").touch()
    monkeypatch.setattr(install, "VENV", folder)
    monkeypatch.setattr(install, "PYTHON", folder / "bin/python")
    monkeypatch.setattr(install, "_settings_of_pip", dict)
    monkeypatch.setattr(install, "_with_uv", lambda *_: True)
    monkeypatch.setattr(install.shutil, "which", lambda _: "uv")
    return folder


def test_an_environment_that_is_whole_is_added_to(venv: Path):
    stamp = venv / ".ready"
    stamp.touch()
    before = stamp.stat().st_mtime
    install.install([], "c", None)
    assert (venv / "bin/python").exists()
    assert stamp.stat().st_mtime == before


def test_one_whose_installation_was_cut_short_is_begun_anew(
    venv: Path, monkeypatch: pytest.MonkeyPatch
):
    (venv / ".ready-to-render").touch()

    def cut(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(install, "_with_uv", cut)
        with pytest.raises(KeyboardInterrupt):
            install.install([], "c", None)
    install.install([], "c", None)
    assert not venv.exists()  # until the installer makes it


def test_pip_does_it_where_uv_does_not(venv: Path, monkeypatch: pytest.MonkeyPatch):
    (venv / ".ready").touch()
    asked = []
    monkeypatch.setattr(install, "_with_uv", lambda *_: False)
    monkeypatch.setattr(install, "_with_pip", lambda *arguments: asked.append(arguments))
    install.install(["torch"], "c", "https://torch")
    assert asked == [(["torch"], "c", "https://torch")]


@pytest.mark.parametrize(
    ("wanted", "there", "left_out"),
    [
        (["click"], None, install.UNUSED),
        (["click", "torch>=2"], None, ()),
        (["click"], "torch-2.9.dist-info", ()),
    ],
)
def test_what_only_a_kernel_needs_is_installed_with_what_executes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wanted: list[str],
    there: str | None,
    left_out: tuple[str, ...],
):
    monkeypatch.setattr(install, "VENV", tmp_path / "venv")
    if there:
        (tmp_path / "venv/lib/python3.99/site-packages" / there).mkdir(parents=True)
    assert not install._with_uv("false", tmp_path, wanted, ["c"], {}, None)
    lines = (tmp_path / "unused.txt").read_text().splitlines()
    assert tuple(line.partition(";")[0] for line in lines) == left_out


def test_the_installer_needs_the_standard_library_alone():
    for name in ("__init__", "install"):
        tree = ast.parse((ROOT / f"code/bookbuild/{name}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


def test_nothing_that_renders_needs_the_package():
    needy = {
        file.name
        for file in (ROOT / "code/bookbuild").rglob("*.py")
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
        if name and name.split(".")[0] in ("torch", "onebound")
        if name != "onebound.machine"  # which needs the standard library alone
    }
    assert needy == {"studies.py"}


def test_a_python_without_venv_says_which_package_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(install.shutil, "which", lambda _: None)
    monkeypatch.setattr(install, "find_spec", lambda name: name != "ensurepip")
    with (
        pytest.raises(SystemExit, match=r"no module ensurepip: .*apt-get install python3-venv"),
        install._uv(tmp_path, "constraints.txt"),
    ):
        pass
