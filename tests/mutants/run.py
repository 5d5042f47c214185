"""Change one thing in a module, run its tests, and see whether they notice: `make mutants`.

Cosmic Ray finds what can be changed and changes it. A mutant never touches the disk: a process is
forked, imports the changed source in the place of the module, and runs the module's tests until one
fails, the quickest first. So the interpreter and torch start once, not once for each mutant.

What was found is kept in _build/mutants/. A mutant that was killed is not tried again until its
module changes; one that survived is tried again each time. `make clean` forgets all.
"""

import argparse
import ast
import gc
import hashlib
import importlib.util
import json
import math
import os
import re
import signal
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
RESULTS = ROOT / "_build/mutants"


class Loader:
    """Import `source` in the place of the module `name`, whose file is at `path`."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self.name, self.path, self.source = name, path, source

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        """Answer for this one module only."""
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def create_module(self, spec: object) -> None:
        """Leave the making of an empty module to Python."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the source."""
        exec(compile(self.source, self.path, "exec"), module.__dict__)


def changed_line(source: str, mutant: str) -> tuple[int, str, str]:
    """Number, text and changed text of the first line that differs, without indentation."""
    before, after = source.splitlines(), mutant.splitlines()
    at = next(i for i, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1])
    removed = len(after) < len(before)
    return at + 1, before[at].strip(), "" if removed else after[at].strip()


def mutants(source: str, patterns: list[str]) -> Iterator[tuple[str, str]]:
    """Names and sources of all mutants, each different program once."""
    import cosmic_ray.plugins
    from cosmic_ray.mutating import mutate_code

    seen = {ast.dump(ast.parse(source))}
    for name in cosmic_ray.plugins.operator_names():
        operator = name.partition("/")[2]
        if not any(re.fullmatch(pattern, operator) for pattern in patterns):
            continue
        kind, occurrence = cosmic_ray.plugins.get_operator(name)(), 0
        while (mutant := mutate_code(source, kind, occurrence)) is not None:
            try:
                program = ast.dump(ast.parse(mutant))
            except SyntaxError:
                program = ast.dump(ast.parse(source))
            if program not in seen:
                seen.add(program)
                yield f"{operator} {occurrence}", mutant
            occurrence += 1


class QuickFirst:
    """A pytest plugin: run the tests in the order of the time that they took, and time them."""

    def __init__(self, times: dict[str, float]) -> None:
        self.times = times

    def pytest_collection_modifyitems(self, items: list) -> None:
        """Sort; a test that was never timed comes last."""
        items.sort(key=lambda item: self.times.get(item.nodeid, math.inf))

    def pytest_runtest_logreport(self, report: object) -> None:
        """Add up the parts of a test."""
        self.times[report.nodeid] = self.times.get(report.nodeid, 0) + report.duration


def survives(module: str, source: str, tests: list[str], times: dict[str, float]) -> bool:
    """Whether all tests pass with `source` in the place of the module.

    Without times this is the first run, of the module as it is: it fills them in.
    """
    seconds = 30 + int(5 * sum(times.values()))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        import pytest

        if times:
            signal.alarm(seconds)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
        path = ROOT / f"code/onebound/{module}.py"
        sys.meta_path.insert(0, Loader(f"onebound.{module.replace('/', '.')}", path, source))
        options = ["-x", "-q", "-m", "not slow", "-p", "no:cacheprovider"]
        options += ["-p", "no:unraisableexception"]  # it collects garbage, for a tenth of a second
        try:  # before the tests' own hook, which would import the module as it is
            importlib.import_module(f"onebound.{module.replace('/', '.')}")
        except Exception:
            os._exit(1)
        plugin = QuickFirst(dict(times))
        failed = int(pytest.main([*options, *tests], plugins=[plugin]))
        if not times:
            os.write(writer, json.dumps(plugin.times).encode())
        os._exit(failed)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        told = pipe.read()
    passed = os.waitpid(child, 0)[1] == 0
    if passed and not times:
        times.update(json.loads(told))
    return passed


def examine(module: str, config: dict, explained: set[tuple[str, str, str]]) -> list[dict]:
    """Try all mutants of a module, say which survive for no known reason; one result for each."""
    source = (ROOT / f"code/onebound/{module}.py").read_text(encoding="utf-8")
    tests = [str(ROOT / "tests/onebound" / name) for name in config["tests"][module]]
    key = hashlib.sha256((source + "".join(config["operators"])).encode()).hexdigest()
    kept = RESULTS / f"{module}.json"
    known = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    killed = set(known.get("killed", [])) if known.get("key") == key else set()
    times: dict[str, float] = {}
    if not survives(module, source, tests, times):
        raise SystemExit(f"the tests of {module} fail without any mutant")
    results = []
    for name, mutant in mutants(source, config["operators"]):
        if name not in killed and not survives(module, mutant, tests, times):
            killed.add(name)
        number, line, changed = changed_line(source, mutant)
        results.append({"line": line, "mutant": changed, "killed": name in killed})
        if name not in killed and (module, line, changed) not in explained:
            print(f"{module}.py:{number} survived:\n  - {line}\n  + {changed}", flush=True)
        if len(results) % 10 == 0:
            _keep(kept, key, killed)
    _keep(kept, key, killed)
    return results


def _keep(path: Path, key: str, killed: set[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"key": key, "killed": sorted(killed)}), encoding="utf-8")
    fresh.replace(path)


def in_order(killed: int, equivalent: int, unexplained: int, whole: bool) -> bool:
    """Whether every survivor is explained and, of all modules together, 95 % were killed.

    No test can kill an equivalent mutant, and a short module may have many: where all others are
    killed, its share says nothing. Of the whole they count as not killed, so that the list of the
    explained can't grow without limit.
    """
    tried = killed + equivalent + unexplained
    return unexplained == 0 and (not whole or killed >= 0.95 * tried)


def main() -> int:
    """Report on the modules named, or on all; 1 if a survivor is unexplained or too many are."""
    config = tomllib.loads((HERE / "mutants.toml").read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", help=f"of {', '.join(config['tests'])}")
    modules = parser.parse_args().modules or list(config["tests"])
    listed = tomllib.loads((HERE / "equivalent.toml").read_text(encoding="utf-8"))
    explained = {(e["module"], e["line"], e["mutant"]) for e in listed.get("equivalent", [])}

    # The mutants' processes are forked from this one: what is imported here is not imported again.
    # The last of these takes a second, and torch.testing.assert_close imports it when first called.
    sys.path.insert(0, str(ROOT / "code"))
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    import pytest  # noqa: F401
    import torch
    import torch.autograd.gradcheck
    import torch.distributed.tensor

    torch.set_num_threads(1)
    gc.freeze()
    tried, killed, equivalent, unexplained = 0, 0, 0, 0
    for module in modules:
        results = examine(module, config, explained)
        survivors = [r for r in results if not r["killed"]]
        known = [r for r in survivors if (module, r["line"], r["mutant"]) in explained]
        tried += len(results)
        killed += len(results) - len(survivors)
        equivalent += len(known)
        unexplained += len(survivors) - len(known)
        print(
            f"{module}: {len(results)} mutants, {len(results) - len(survivors)} killed, "
            f"{len(known)} equivalent, {len(survivors) - len(known)} survived",
            flush=True,
        )
    print(
        f"in all {tried} mutants, {killed} killed ({killed / tried:.1%}), {equivalent} equivalent, "
        f"{unexplained} unexplained"
    )
    whole = set(modules) == set(config["tests"])
    return 0 if in_order(killed, equivalent, unexplained, whole) else 1


if __name__ == "__main__":
    sys.exit(main())
