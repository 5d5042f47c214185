"""What the Makefile does when a build says that something is not installed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = "-m bookbuild page x"
FAILS_ONCE = """#!/bin/sh
echo "$@" >> said
[ -e failed ] || { touch failed; exit %d; }
"""


@pytest.mark.parametrize(
    ("status", "ends", "said"),
    [
        (0, 0, [BUILD]),
        (1, 2, [BUILD]),
        (3, 0, [BUILD, "--package book formulas dev", "-m onebound.data.fetch", BUILD]),
        (4, 0, [BUILD, "formulas", BUILD]),
    ],
)
def test_what_a_page_lacks_is_installed_and_the_page_built(
    tmp_path: Path, status: int, ends: int, said: list[str]
):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "constraints.txt", "code/onebound/data/fetch.py", "book/x.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("tests", ".venv"):
        (tmp_path / name).mkdir()
    (tmp_path / ".venv/.ready-to-render").touch()
    (tmp_path / "python").write_text(FAILS_ONCE % status)
    (tmp_path / "python").chmod(0o755)
    done = subprocess.run(
        ["make", "page", "NAME=x", "BIN=.", "INSTALL=./python"],
        cwd=tmp_path,
        env=os.environ | {"MAKEFLAGS": ""},
        capture_output=True,
    )
    assert done.returncode == ends, done.stderr
    assert (tmp_path / "said").read_text().splitlines() == said
