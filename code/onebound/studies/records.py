"""What the studies found: several settings, several seeds, kept as records.

Each other module here is one study. What its runs found lies beside it as JSON, a line for each
run; ``make studies`` makes what is missing. A page draws from the record, and says so.
"""

import base64
import json
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from onebound.evaluation.estimates import Estimate, estimate


@runtime_checkable
class Study(Protocol):
    """A module of this package."""

    __name__: str
    __file__: str | None

    SETTINGS: dict[str, dict[str, Any]]
    """The arguments of `run` for each setting, by its name."""
    SEEDS: tuple[int, ...]
    SMOKE: dict[str, Any]
    """Arguments that shorten a run to seconds, for the tests."""
    run: Callable[..., dict[str, Any]]
    """``run(seed, **setting)``: numbers, and lists of them, by name."""


@dataclass(frozen=True)
class Run:
    """One run of a study."""

    setting: str
    seed: int
    arguments: dict[str, Any]
    result: dict[str, Any]
    seconds: float
    date: str
    """When it ended, in UTC."""
    machine: dict[str, Any]
    versions: dict[str, str]
    commit: str
    code: str
    """A hash of the study's source and of all that it imports."""


class StudyError(RuntimeError):
    """A record is missing, damaged or incomplete; the message says what to do about it."""


def names() -> list[str]:
    """Return the names of all studies."""
    folder = Path(__file__).parent
    return sorted(
        file.stem for file in folder.glob("*.py") if file.stem not in ("__init__", "records")
    )


def record_file(study: Study) -> Path:
    """Return where the record of a study lies."""
    return Path(study.__file__ or "").with_suffix(".json")


def load_record(study: Study) -> dict[str, list[Run]]:
    """Return the runs of each setting, in the order of the seeds.

    StudyError if the record is missing or damaged, or lacks a run.
    """
    name = study.__name__.rpartition(".")[2]
    remedy = f"run `make studies NAMES={name}`"
    try:
        lines = record_file(study).read_text(encoding="utf-8").splitlines()
        runs = {(run.setting, run.seed): run for run in (Run(**json.loads(line)) for line in lines)}
    except OSError as error:
        raise StudyError(f"the study {name} has no record ({error}): {remedy}") from None
    except (ValueError, TypeError) as error:
        raise StudyError(f"the record of {name} is damaged ({error}): {remedy}") from None
    for setting, arguments in study.SETTINGS.items():
        for seed in study.SEEDS:
            if (setting, seed) not in runs or runs[setting, seed].arguments != arguments:
                raise StudyError(f"the study {name} lacks {setting!r}, seed {seed}: {remedy}")
    return {name: [runs[name, seed] for seed in study.SEEDS] for name in study.SETTINGS}


def over_seeds(runs: Iterable[Run], name: str) -> Estimate:
    """Return the mean of one result over the seeds, and its standard error."""
    return estimate(torch.tensor([run.result[name] for run in runs], dtype=torch.float64))


def packed(images: Tensor) -> str:
    """Return images in [0, 1], (N, 1, 28, 28), as text for a record, rounded to 16 grey levels."""
    levels = (15 * images).round().to(torch.uint8).flatten()
    return base64.b85encode(zlib.compress(bytes(levels.tolist()), 9)).decode()


def unpacked(text: str) -> Tensor:
    """Return the images, (N, 1, 28, 28), of `packed`."""
    levels = torch.tensor(list(zlib.decompress(base64.b85decode(text))))
    return levels.reshape(-1, 1, 28, 28) / 15
