import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx_autobuild", reason="only `make watch` installs it")


@pytest.mark.parametrize("name", [None, "elbo"])
def test_it_builds_at_once_and_after_each_change(tmp_path, monkeypatch, capsys, name):
    from bookbuild import watch

    for folder in watch.WATCHED:
        (tmp_path / folder).mkdir()
    built, apps = [], []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: built.append(command[3:]))
    monkeypatch.setattr(watch.uvicorn, "run", lambda app, **_: apps.append(app))
    watch.watch(tmp_path, name)
    watch._rebuild([sys.executable, "-m", "bookbuild", "build"], tmp_path, [tmp_path / "book/a.md"])
    assert built == [["page", "elbo"] if name else ["build"], ["build"]]
    assert f"http://127.0.0.1:8000/{name or 'index'}.html shows it" in capsys.readouterr().out
    (app,) = apps
    served = next(route.app.directory for route in app.routes if route.name == "static")
    assert Path(served) == tmp_path / ("_build/page/html" if name else "_build/html")
