"""The notebooks that readers launch: plain Markdown, and cells that run anywhere."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from bookbuild.chapters import read_pages
from bookbuild.notebooks import make_notebooks

ROOT = Path(__file__).parents[2]
NAMES = [name for name, page in read_pages(ROOT).items() if page.cells]

# What only MyST understands: roles, directives, labels; and the book's own TeX commands.
MYST = re.compile(
    r"\{[a-z][\w:-]*\}`|^\s*[:`]{3,}\{|^\([\w-]+\)=|\$\$ \([\w-]+\)"
    r"|\\(?:E|KL|N|L|diag)(?![A-Za-z])",
    re.MULTILINE,
)
RUN = """
import sys
import nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
resources = {"metadata": {"path": sys.argv[2]}}
nbclient.NotebookClient(notebook, timeout=1800, resources=resources).execute()
"""


@pytest.fixture(scope="module")
def notebooks() -> dict[str, nbformat.NotebookNode]:
    return make_notebooks(ROOT)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_reads_well_without_myst(notebooks: dict[str, nbformat.NotebookNode], name: str):
    for cell in notebooks[name].cells:
        if cell.cell_type == "markdown":
            prose = re.sub(r"```.*?```|(?<!\})`[^`\n]+`", "", cell.source, flags=re.DOTALL)
            assert not MYST.search(prose), MYST.search(prose)
            assert cell.source.count("$$") % 2 == 0


@pytest.mark.parametrize("name", NAMES)
def test_every_equation_of_a_notebook_has_a_number_of_its_own(
    notebooks: dict[str, nbformat.NotebookNode], name: str
):
    text = "\n".join(cell.source for cell in notebooks[name].cells)
    labels = re.findall(r"^\$\$ \((.*)\)$", (ROOT / f"book/{name}.md").read_text(), re.MULTILINE)
    numbers = [int(number) for number in re.findall(r"\\tag\{(\d+)\}", text)]
    assert numbers == list(range(1, len(labels) + 1))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has the package, what it needs at run time, and a kernel; nothing else."""
    folder = tmp_path_factory.mktemp("stranger")
    source = folder / "source"
    shutil.copytree(ROOT / "code", source / "code", ignore=shutil.ignore_patterns("*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv/bin/python"
    pip = [python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt"]
    subprocess.run([*pip, source, "ipykernel", "nbclient"], check=True)
    return python


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_with_the_package_and_a_kernel_alone(
    notebooks: dict[str, nbformat.NotebookNode], stranger: Path, name: str, tmp_path: Path
):
    file = tmp_path / "notebook.ipynb"
    nbformat.write(notebooks[name], file)
    done = subprocess.run(
        [stranger, "-I", "-c", RUN, file, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.slow
def test_the_stranger_has_nothing_of_the_build(stranger: Path):
    look = "import importlib.util as u, sys; sys.exit(any(map(u.find_spec, sys.argv[1:])))"
    others = ["myst_nb", "jupyter_book", "sphinx", "pytest"]
    assert subprocess.run([stranger, "-I", "-c", look, *others], check=False).returncode == 0
