"""Fill ``.venv``, as the Makefile asks: with uv where it is to be had, else with pip.

    python -m bookbuild.install [--package] EXTRA ...

installs those extras of ``pyproject.toml``, through the constraints; with ``--package`` what the
package itself needs too, which is PyTorch and so gigabytes. It needs the standard library alone.
"""

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

VENV = Path(".venv")
PYTHON = VENV / "bin/python"
STAMPS = ".ready*"  # the Makefile's
# What IPython and ipykernel ask for and do without: completion and a debugger. Without PyTorch no
# kernel starts, and uv leaves them out.
UNUSED = ("debugpy", "jedi")


def install(requirements: list[str], constraints: str, torch_index: str | None) -> None:
    """Install what `requirements` name into `VENV`, and the package itself without what it needs.

    An installation that is cut short leaves an environment without a stamp. The next one then
    starts from nothing; what was downloaded lies in the installer's own cache.
    """
    stamps = {stamp: stamp.stat().st_mtime for stamp in VENV.glob(STAMPS)}
    if not stamps or not PYTHON.exists():
        shutil.rmtree(VENV, ignore_errors=True)
    for stamp in stamps:
        stamp.unlink(missing_ok=True)
    settings = _settings_of_pip()
    pins = [constraints, *settings.get("constraint", "").split()]
    with tempfile.TemporaryDirectory() as folder, _uv(Path(folder), pins[0]) as uv:
        done = uv and _with_uv(uv, Path(folder), requirements, pins, settings, torch_index)
        if not done:
            print("no uv that works here: pip installs, which takes longer", flush=True)
            _with_pip(requirements, constraints, torch_index)
    for stamp, time in stamps.items():
        stamp.touch()
        os.utime(stamp, (time, time))


@contextmanager
def _uv(folder: Path, constraints: str) -> Iterator[str | None]:
    """Give the path of a uv: the user's own, or one that is thrown away afterwards."""
    found = shutil.which("uv")
    if not found and (missing := [name for name in ("venv", "ensurepip") if not find_spec(name)]):
        sys.exit(
            f"{sys.executable} has no module {' and no '.join(missing)}: install the package that "
            "brings it (Debian and Ubuntu: apt-get install python3-venv), or uv"
        )
    if not found:
        bin_ = folder / "uv/bin"
        commands = (
            [sys.executable, "-m", "venv", str(folder / "uv")],
            [str(bin_ / "python"), "-m", "pip", *QUIETLY, "-c", constraints, "uv"],
        )
        if all(subprocess.run(one, stderr=subprocess.DEVNULL).returncode == 0 for one in commands):
            found = str(bin_ / "uv")
    yield found


QUIETLY = ("install", "--quiet", "--disable-pip-version-check")


def _with_uv(
    uv: str,
    folder: Path,
    requirements: list[str],
    constraints: list[str],
    settings: dict[str, str],
    torch_index: str | None,
) -> bool:
    """Resolve, say how much there is to download, and install; whether all that worked."""
    environment = _for_uv(settings, torch_index) | os.environ
    wanted, unused, lock = (folder / name for name in ("wanted.txt", "unused.txt", "pylock.toml"))
    wanted.write_text("\n".join(requirements))
    executes = any(one.startswith("torch") for one in [*requirements, *_installed()])
    left_out = () if executes else UNUSED
    unused.write_text("".join(f"{name}; python_version < '0'\n" for name in left_out))
    pins = [part for file in constraints for part in ("-c", file)] + ["--override", str(unused)]
    here = ["--quiet", "--python", str(PYTHON)]

    def run(*arguments: str) -> bool:
        return subprocess.run([uv, *arguments], env=environment).returncode == 0

    if not PYTHON.exists() and not run("venv", "--quiet", "--python", sys.executable, str(VENV)):
        return False
    locked = "--format", "pylock.toml", "--output-file", str(lock)
    if not run("pip", "compile", *here, *pins, *locked, str(wanted)):
        return False
    number, size = download(tomllib.loads(lock.read_text(encoding="utf-8")), _installed())
    if number:
        print(f"installing {number} packages; at most {size / 1e6:.0f} MB to download", flush=True)
    return run("pip", "install", *here, "-r", str(lock)) and run(
        "pip", "install", *here, "--no-deps", "-e", "."
    )


def _with_pip(requirements: list[str], constraints: str, torch_index: str | None) -> None:
    if any(requirement.startswith("torch") for requirement in requirements):
        print("PyTorch for NVIDIA GPUs is a download of some 3 GB; TORCH_INDEX names another")
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
    elif subprocess.run([str(PYTHON), "-c", "import pip"], stderr=subprocess.DEVNULL).returncode:
        subprocess.run([str(PYTHON), "-m", "ensurepip"], check=True)
    index = ["--extra-index-url", torch_index] if torch_index else []
    pip = [str(PYTHON), "-m", "pip", *QUIETLY, "-c", constraints, *index]
    subprocess.run([*pip, *requirements], check=True)
    subprocess.run([*pip, "--no-deps", "-e", "."], check=True)


def _settings_of_pip() -> dict[str, str]:
    """Return what pip is told on this machine, by option; a later place overrides an earlier."""
    asked = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    told = subprocess.run(asked, capture_output=True, text=True).stdout
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for place, option, value in re.findall(r"^(\S+?)\.([\w-]+)=(.*)$", told, re.MULTILINE):
        if place in found:
            found[place][option] = str(ast.literal_eval(value))
    return found["global"] | found["install"] | found[":env:"]


def _for_uv(settings: dict[str, str], torch_index: str | None) -> dict[str, str]:
    """Return pip's settings as uv's environment: the same indexes, searched as pip does."""
    extra = [*settings.get("extra-index-url", "").split(), *([torch_index] if torch_index else [])]
    told = {
        "UV_DEFAULT_INDEX": settings.get("index-url"),
        "UV_FIND_LINKS": ",".join(settings.get("find-links", "").split()),
        "UV_HTTP_TIMEOUT": settings.get("default-timeout", settings.get("timeout")),
        "UV_INDEX": " ".join(extra),
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_INSECURE_HOST": settings.get("trusted-host"),
        "SSL_CERT_FILE": settings.get("cert"),
    }
    return {name: value for name, value in told.items() if value}


def download(lock: dict[str, list[dict]], installed: set[str]) -> tuple[int, int]:
    """Return how many packages of a ``pylock.toml`` are not installed, and their bytes at most.

    What the installer has in its cache, or on disk, is not downloaded.
    """
    sizes = []
    for package in lock["packages"]:
        if f"{package['name']}-{package['version']}" not in installed:
            files = package.get("wheels") or [package.get("sdist", {})]
            sizes.append(max(file.get("size", 0) for file in files))
    return len(sizes), sum(sizes)


def _pins() -> list[str]:
    """Return what is installed as lines of ``constraints.txt``, without what torch pins itself."""
    left_to_torch = ("nvidia-", "cuda-", "triton")
    found = {
        f"{one.name}=={one.version.partition('+')[0]}"
        for one in metadata.distributions()
        if one.name != "onebound" and not one.name.startswith(left_to_torch)
    }
    return sorted(found, key=str.lower)


def _installed() -> set[str]:
    folders = VENV.glob("lib/python*/site-packages/*.dist-info")
    parts = (folder.stem.rpartition("-") for folder in folders)
    return {f"{re.sub('[-_.]+', '-', name).lower()}-{version}" for name, _, version in parts}


def main() -> None:
    """Install what the command line names."""
    parser = argparse.ArgumentParser(prog="bookbuild.install", description=__doc__)
    parser.add_argument("extra", nargs="*")
    parser.add_argument("--list", action="store_true", help="only say what is installed, as pins")
    parser.add_argument("--package", action="store_true", help="what the package needs as well")
    parser.add_argument("--constraints", default="constraints.txt")
    parser.add_argument("--torch-index", help="take PyTorch from this index, if it has a build")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(_pins()))
        return
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = project["dependencies"] if arguments.package else []
    for extra in arguments.extra:
        requirements += project["optional-dependencies"][extra]
    try:
        install(requirements, arguments.constraints, arguments.torch_index or None)
    except subprocess.CalledProcessError as error:
        sys.exit(f"the installation failed: {' '.join(error.cmd[:4])} ... ended with {error}")


if __name__ == "__main__":
    main()
