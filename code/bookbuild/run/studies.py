"""Run the studies of `onebound.studies`, and keep what they find in git.

    python -m bookbuild.run.studies [NAME ...]          what is missing, one process a core
    python -m bookbuild.run.studies --smoke [NAME ...]  every setting for seconds, writing nothing

A record is written anew after each run, so a study that is stopped goes on with the next run.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bookbuild.run.execution import KEPT, THREADS
from bookbuild.run.keys import versions
from bookbuild.run.records import code_key
from onebound.files import write_whole
from onebound.machine import cores, machine
from onebound.studies.records import Run, Study, names, record_file

CODE = Path(__file__).parents[2]
Task = tuple[str, str, int]  # study, setting, seed


def study_of(name: str) -> Study:
    """Return the module of a study."""
    return import_module(f"onebound.studies.{name}")  # type: ignore[return-value]


def recorded(study: Study) -> dict[tuple[str, int], Run]:
    """Return the runs of a record that are of the study as it stands."""
    file = record_file(study)
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    runs = [Run(**json.loads(line)) for line in lines]
    return {
        (run.setting, run.seed): run
        for run in runs
        if study.SETTINGS.get(run.setting) == run.arguments and run.seed in study.SEEDS
    }


def missing(name: str) -> Iterator[Task]:
    """Yield the runs of a study that its record lacks."""
    study = study_of(name)
    done = recorded(study)
    for seed in study.SEEDS:
        for setting in study.SETTINGS:
            if (setting, seed) not in done:
                yield name, setting, seed


def run_one(task: Task) -> Run:
    """Do one run of a study."""
    name, setting, seed = task
    study = study_of(name)
    arguments = study.SETTINGS[setting]
    started = time.perf_counter()
    result = study.run(seed, **arguments)
    commit = ["git", "-C", str(CODE), "rev-parse", "--short", "HEAD"]
    return Run(
        setting=setting,
        seed=seed,
        arguments=arguments,
        result=result,
        seconds=round(time.perf_counter() - started, 1),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine(),
        versions=versions(CODE.parent),
        commit=subprocess.run(commit, capture_output=True, text=True).stdout.strip(),
        code=code_key(CODE, name),
    )


def keep(study: Study, run: Run) -> None:
    """Add a run to the record of its study."""
    runs = recorded(study) | {(run.setting, run.seed): run}
    order = [(setting, seed) for setting in study.SETTINGS for seed in study.SEEDS]
    lines = [json.dumps(_rounded(asdict(runs[key]))) for key in order if key in runs]
    write_whole(record_file(study), "".join(f"{line}\n" for line in lines).encode())


def _rounded(value: Any) -> Any:
    """Leave six digits of a number: more are rounding, and git keeps every digit."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return {k: _rounded(v) for k, v in value.items()} if isinstance(value, dict) else value


def smoke(name: str) -> None:
    """Run each setting of a study for seconds, and compare the names of its results."""
    study = study_of(name)
    known = {run.setting: set(run.result) for run in recorded(study).values()}
    for setting, arguments in study.SETTINGS.items():
        found = set(study.run(study.SEEDS[0], **arguments | study.SMOKE))
        if found != known.get(setting, found):
            raise AssertionError(f"{name}, {setting}: gives {found}, recorded {known[setting]}")


def main() -> None:
    """Run what the command line names, or all studies."""
    parser = argparse.ArgumentParser(prog="python -m bookbuild.run.studies", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"of {', '.join(names())}; default: all")
    parser.add_argument("--smoke", action="store_true", help="for seconds, writing nothing")
    parser.add_argument("--processes", type=int, default=cores())
    arguments = parser.parse_args()
    chosen = arguments.name or names()
    if unknown := set(chosen) - set(names()):
        sys.exit(f"no study {', '.join(sorted(unknown))}: there are {', '.join(names())}")
    if arguments.smoke:
        for name in chosen:
            smoke(name)
        return
    tasks = [task for name in chosen for task in missing(name)]
    # Runs side by side, each with one thread, as pages run: what children start with.
    os.environ |= dict.fromkeys(THREADS, "1") | dict.fromkeys(KEPT, str(1 << 30))
    pool = ProcessPoolExecutor(arguments.processes, get_context("spawn"), max_tasks_per_child=1)
    with pool:
        name_of = {pool.submit(run_one, task): task[0] for task in tasks}
        for future in as_completed(name_of):
            run, name = future.result(), name_of[future]
            keep(study_of(name), run)
            print(f"{name}: {run.setting}, seed {run.seed}: {run.seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
