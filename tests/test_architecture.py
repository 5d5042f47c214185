"""What the contracts of `pyproject.toml` do not say about imports, and how far it is to a loss."""

import ast
import sys
from pathlib import Path

import pytest
import torch

from onebound.diffusion.denoisers import denoiser
from onebound.diffusion.loss import denoising_loss
from onebound.diffusion.process import x_0_from_v
from onebound.diffusion.schedules import cosine_schedule

ROOT = Path(__file__).parents[1]
CODE = ROOT / "code"


def imported_modules(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import: write the name in full"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


MODULES = sorted(p for p in (CODE / "onebound").rglob("*.py") if p.parent != CODE)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(CODE)))
def test_only_plots_imports_matplotlib_and_nothing_imports_the_build(path):
    tops = {name.split(".")[0] for name in imported_modules(path)}
    assert "bookbuild" not in tops
    if path.name != "plots.py":
        assert "matplotlib" not in tops


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(CODE)))
def test_a_module_can_be_read_in_one_go(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def test_the_source_root_does_not_shadow_the_standard_library():
    assert not (CODE / "__init__.py").exists()


LOOK_UP = {"like", "remembered", "T", "<listcomp>", "<genexpr>"}
"""How `at` keeps its tables, and their length; together with it they count as one function."""


def test_from_images_to_their_loss_it_is_eight_functions_in_four_files():
    """Count what runs of `onebound`, from images in [-1, 1], their steps and their noise on.

    Not counted are the checks, which change nothing, and the network, which is given.
    """
    schedule = cosine_schedule(10)
    denoise = denoiser(schedule, lambda x_t, t: x_t, x_0_from_v)
    x_0, eps, t = -torch.rand(2, 1, 4, 4), torch.randn(2, 1, 4, 4), torch.tensor([1, 10])
    batch = schedule, denoise, x_0, eps, t, schedule.snr + 1
    denoising_loss(*batch)  # the tables are made with the first batch, and kept
    ran = set()

    def see(frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(str(CODE)):
            ran.add((Path(frame.f_code.co_filename).stem, frame.f_code.co_name))

    sys.setprofile(see)
    try:
        denoising_loss(*batch)
    finally:
        sys.setprofile(None)
    counted = {(file, name) for file, name in ran if file != "checks" and name not in LOOK_UP}
    assert ("process", "sample_xt") in counted
    assert len(counted) <= 8, sorted(counted)
    assert len({file for file, _ in counted}) <= 4
