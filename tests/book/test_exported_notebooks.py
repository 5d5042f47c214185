"""The notebooks that readers launch: plain Markdown, and cells that run anywhere."""

import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import jupytext
import nbformat
import pytest
from filelock import FileLock
from packaging.requirements import Requirement

from bookbuild.notebooks.export import make_notebooks
from bookbuild.notebooks.targets import chapter_numbers
from bookbuild.run.execution import CELL_TIMEOUT
from bookbuild.source.chapters import read_pages

ROOT = Path(__file__).parents[2]
NAMES = [name for name, page in read_pages(ROOT).items() if page.cells]

# What only MyST understands: roles, directives, labels; and the book's own TeX commands.
MYST = re.compile(
    r"\{[a-z][\w:-]*\}`|^\s*[:`]{3,}\{|^\([\w-]+\)=|\$\$ \([\w-]+\)"
    r"|\\(?:E|KL|N|L|diag)(?![A-Za-z])",
    re.MULTILINE,
)
# Runs a notebook and says where its kernel and its package lie.
RUN = """
import sys
import nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
where = "import sys, onebound; print(sys.prefix); print(onebound.__file__)"
notebook.cells.append(nbformat.v4.new_code_cell(where))
client = nbclient.NotebookClient(
    notebook, timeout=int(sys.argv[3]), resources={"metadata": {"path": sys.argv[2]}}
)
client.execute()
print(notebook.cells[-1].outputs[0].text)
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
    numbers = re.findall(r"\\tag\{([\d.]+)\}", text)
    chapter = chapter_numbers(ROOT).get(name)
    assert not labels or chapter, f"{name} is no chapter and has labelled equations"
    assert numbers == [f"{chapter}.{n}" for n in range(1, len(labels) + 1)]


@pytest.mark.parametrize("name", NAMES)
def test_binder_can_open_a_notebook_as_markdown(
    notebooks: dict[str, nbformat.NotebookNode], name: str
):
    """In the place of the page, `.binder/postBuild` puts its notebook in the page's own format."""
    again = jupytext.reads(jupytext.writes(notebooks[name], fmt="md:myst"), fmt="md:myst")
    cells = [(cell.cell_type, cell.source.strip()) for cell in notebooks[name].cells]
    assert [(cell.cell_type, cell.source.strip()) for cell in again.cells] == cells


def imported(source: str) -> Iterator[str]:
    """Yield the packages that some code imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


def test_nothing_is_imported_but_what_comes_with_the_package_and_a_kernel(
    notebooks: dict[str, nbformat.NotebookNode],
):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {Requirement(line).name for line in project["dependencies"]}
    brought = {"IPython", "matplotlib_inline", "cycler"}  # by the kernel, and by matplotlib
    sources = {
        name: "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
        for name, notebook in notebooks.items()
    }
    sources |= {str(file): file.read_text() for file in (ROOT / "code/onebound").rglob("*.py")}
    for name, source in sources.items():
        others = set(imported(source)) - sys.stdlib_module_names - needed - brought
        assert others <= {"onebound"}, name


def digest(files: list[Path], *more: str) -> str:
    """Return a hash of files, by name and content, and of whatever else."""
    parts = [f"{file.relative_to(ROOT)} {file.stat().st_size} ".encode() + file.read_bytes()
             for file in sorted(files)]  # fmt: skip
    return hashlib.sha256(b"".join([*parts, *map(str.encode, more)])).hexdigest()[:16]


@pytest.fixture(scope="session")
def stranger() -> Path:
    """A Python that has the package, what it needs at run time, and a kernel; nothing else.

    PyTorch takes minutes to install. So it is kept below `_build` until a requirement changes, and
    shared by processes of pytest that run side by side.
    """
    pins = [ROOT / "pyproject.toml", ROOT / "constraints.txt"]
    code = [file for file in (ROOT / "code").rglob("*") if file.is_file()]
    code = [file for file in code if not re.search(r"__pycache__|\.egg-info", str(file))]
    folder = ROOT / "_build/stranger" / digest(pins, sys.version)
    folder.parent.mkdir(parents=True, exist_ok=True)
    python, stamp, package = folder / "bin/python", folder / ".package", digest(code)

    def install(*what: str | Path) -> None:
        command = [python, "-I", "-m", "pip", "install", "--quiet", "-c", pins[1], *what]
        subprocess.run(command, check=True)

    with FileLock(f"{folder}.lock"):
        if stamp.exists() and stamp.read_text() == package:
            return python
        source = folder / "source"
        if stamp.exists():
            kind = ["--no-deps", "--force-reinstall", source]
        else:  # no environment yet, or one that was not completed
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            kind = [source, "ipykernel", "nbclient"]
        shutil.rmtree(source, ignore_errors=True)
        for file in [*code, *(ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE"))]:
            copy = source / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
        install(*kind)
        stamp.write_text(package)
    return python


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_with_the_package_and_a_kernel_alone(
    notebooks: dict[str, nbformat.NotebookNode], stranger: Path, name: str, tmp_path: Path
):
    file = tmp_path / "notebook.ipynb"
    file.write_text(nbformat.writes(notebooks[name]), encoding="utf-8")
    # `-I` is for this process alone: nothing of our environment may reach the kernel either.
    ours = ("PYTHON", "JUPYTER", "IPYTHON", "VIRTUAL_ENV")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    side_by_side = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // side_by_side)))
    environment |= {"IPYTHONDIR": str(tmp_path / "profile"), "JUPYTER_PREFER_ENV_PATH": "1"}
    done = subprocess.run(
        [stranger, "-I", "-c", RUN, file, tmp_path, str(CELL_TIMEOUT)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    prefix, package = done.stdout.split()
    folder = stranger.parents[1]
    assert Path(prefix) == folder
    assert Path(package).is_relative_to(folder / "lib")


@pytest.mark.slow
def test_the_stranger_has_nothing_of_the_build(stranger: Path):
    look = "import importlib.util as u, sys; sys.exit(any(map(u.find_spec, sys.argv[1:])))"
    others = ["myst_nb", "jupyter_book", "sphinx", "pytest"]
    assert subprocess.run([stranger, "-I", "-c", look, *others], check=False).returncode == 0
