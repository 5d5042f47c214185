"""What the records of the studies say of themselves, read without PyTorch."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from bookbuild.run.keys import closure, data_files

STUDIES = Path("onebound/studies")


@dataclass(frozen=True)
class Record:
    """The runs of one study."""

    name: str
    runs: int
    seconds: float
    dates: tuple[str, str]
    """Of the first run and of the last."""
    processors: tuple[str, ...]
    same: int
    """How many of the runs were made by the code as it stands."""


def code_key(code: Path, name: str) -> str:
    """Return a hash of the study's source, of all that it imports, and of their weights."""
    modules = closure(code, [f"onebound.studies.{name}"])
    files = {*modules.values(), *data_files(modules)} - {code / STUDIES / f"{name}.json"}
    hashes = [sha256(file.read_bytes()).hexdigest() for file in sorted(files)]
    return sha256("".join(hashes).encode()).hexdigest()[:16]


def records(code: Path) -> Iterator[Record]:
    """Yield what is known of each study that has a record, in the order of their names."""
    for file in sorted((code / STUDIES).glob("*.json")):
        runs = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        key, dates = code_key(code, file.stem), sorted(run["date"] for run in runs)
        yield Record(
            file.stem,
            len(runs),
            sum(run["seconds"] for run in runs),
            (dates[0], dates[-1]),
            tuple(dict.fromkeys(run["machine"]["processor"] for run in runs)),
            sum(run["code"] == key for run in runs),
        )
