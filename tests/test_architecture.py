"""Who may import whom: downwards only."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = ROOT / "code"

# Each module, and what it may import of the package. A new module needs a row here.
ALLOWED = {
    "background": {"checks", "data", "schedules"},
    "checkpoint": {"files"},
    "checks": set(),
    "codes": {"checks", "diffusion", "distributions", "metrics", "samplers", "schedules", "vae"},
    "data": {"checks", "files"},
    "diffusion": {"checks", "distributions", "likelihoods", "schedules"},
    "distributions": {"checks"},
    "earlier": {
        "checks",
        "data",
        "diffusion",
        "distributions",
        "likelihoods",
        "networks",
        "onestep",
        "training",
        "vae",
    },
    "evaluation": {"data", "frechet", "metrics", "networks", "quality"},
    "files": set(),
    "frechet": {"checks", "metrics"},
    "gaussian": {"checks", "diffusion", "schedules"},
    "gradients": {"checks", "distributions"},
    "importance": {"checks"},
    "latents": {"checks", "distributions"},
    "likelihoods": {"checks", "distributions"},
    "metrics": {"checks", "distributions", "likelihoods", "vae"},
    "neighbours": {"checks"},
    "networks": {"checks"},
    "notebook": set(),
    "onestep": {"checks", "diffusion", "distributions", "likelihoods", "schedules", "vae"},
    "optimisers": set(),
    "pixels": {"checks", "data", "diffusion", "schedules"},
    "plots": set(),
    "precision": set(),
    "quality": set(),
    "samplers": {"checks", "diffusion", "distributions", "schedules"},
    "schedules": {"checks"},
    "studies": {
        "checks",
        "codes",
        "data",
        "diffusion",
        "distributions",
        "earlier",
        "evaluation",
        "frechet",
        "gaussian",
        "importance",
        "latents",
        "likelihoods",
        "metrics",
        "networks",
        "neighbours",
        "onestep",
        "optimisers",
        "pixels",
        "precision",
        "quality",
        "samplers",
        "schedules",
        "terms",
        "training",
        "vae",
        "zoo",
    },
    "toy": {"checks", "distributions"},
    "terms": {
        "checks",
        "data",
        "diffusion",
        "distributions",
        "likelihoods",
        "metrics",
        "schedules",
    },
    "training": {"checkpoint", "checks", "optimisers", "precision"},
    "vae": {"checks", "distributions", "likelihoods"},
    "zoo": {
        "background",
        "codes",
        "data",
        "diffusion",
        "distributions",
        "evaluation",
        "files",
        "frechet",
        "importance",
        "metrics",
        "networks",
        "optimisers",
        "precision",
        "quality",
        "samplers",
        "schedules",
        "training",
        "vae",
    },
}


def imported_modules(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import: write the name in full"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def siblings(path, package):
    """Names of the package's direct children that a file imports."""
    names = (name.split(".") for name in imported_modules(path))
    children = {parts[1] for parts in names if parts[0] == package and len(parts) > 1}
    return {c for c in children if list((CODE / package).glob(f"{c}*"))}


MODULES = sorted(p for p in (CODE / "onebound").rglob("*.py") if p.parent != CODE)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(CODE)))
def test_imports_go_downwards_only(path):
    place = path.relative_to(CODE / "onebound").parts[0].removesuffix(".py")
    if place == "__init__":
        assert siblings(path, "onebound") == set()
    else:
        assert place in ALLOWED, f"give {place} a row in ALLOWED"
        assert siblings(path, "onebound") - {place} <= ALLOWED[place]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(CODE)))
def test_only_plots_imports_matplotlib_and_nothing_imports_the_build(path):
    tops = {name.split(".")[0] for name in imported_modules(path)}
    assert "bookbuild" not in tops
    if path.name != "plots.py":
        assert "matplotlib" not in tops


def test_the_source_root_does_not_shadow_the_standard_library():
    assert not (CODE / "__init__.py").exists()


def test_every_allowed_module_exists():
    present = {p.name.removesuffix(".py") for p in (CODE / "onebound").iterdir()}
    assert set(ALLOWED) <= present
