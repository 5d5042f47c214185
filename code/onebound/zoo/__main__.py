"""``python -m onebound.zoo [NAME ...]``: train the models of the zoo again.

A run that was stopped, however rudely, goes on where it was. ``accelerate launch -m onebound.zoo
NAME`` trains on several GPUs or machines.
"""

import argparse
import json
import platform
import shutil
from copy import deepcopy
from dataclasses import asdict, replace
from hashlib import sha256
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType

import torch
from accelerate import Accelerator
from safetensors.torch import load as tensors_of
from safetensors.torch import save as bytes_of

from onebound.data.fetch import SHA256
from onebound.files import write_whole
from onebound.machine import machine
from onebound.zoo.cards import Card, files, names

WORK = Path("_build/zoo")  # where a run keeps its state, below the folder it is started in


def make(entry: ModuleType, work: Path) -> Card | None:
    """Train a model, or go on with it, put weights and card beside its module, and measure it.

    `work` is a folder for the state of the run; it is gone when the files are in place. Returns
    None in all processes but the first. ValueError, and all but the metrics in place, if the model
    is too poor to be measured.
    """
    name = entry.__name__.rpartition(".")[2]
    accelerator = Accelerator()  # a PartialState of its own misses processes on a CPU
    main = accelerator.is_main_process
    checkpoint, records = work / "checkpoint", work / "history.json"
    going_on = checkpoint.exists() and records.exists()
    history = json.loads(records.read_text(encoding="utf-8")) if going_on else {}
    model = entry.build()
    for record in entry.train(model, checkpoint):
        history[str(record["epoch"])] = record  # one that was trained to its end twice, once
        if main:
            write_whole(records, json.dumps(history).encode())
            print(name, ", ".join(f"{key} {value:g}" for key, value in record.items()), flush=True)
    if not main:
        return None
    weights = bytes_of(deepcopy(model).half().state_dict())
    model.load_state_dict(tensors_of(weights))
    device = {"device": accelerator.device.type, "processes": accelerator.num_processes}
    python = {"threads": torch.get_num_threads(), "python": platform.python_version()}
    card = Card(
        name=name,
        recipe=entry.RECIPE,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        steps=int(record["steps"]),
        images_seen=int(record.get("images", record["steps"] * entry.RECIPE["batch_size"])),
        seconds=round(record["seconds"], 1),
        history=list(history.values()),
        metrics={},
        machine=machine() | device | python,
        versions={package: metadata.version(package) for package in ("torch", "numpy")},
        data=SHA256,
        weights=sha256(weights).hexdigest(),
    )
    weights_file, card_file = files(entry)
    write_whole(weights_file, weights)
    write_card(card, card_file)  # killed while it measures, it need not train again
    try:
        card = replace(card, metrics=entry.measure(model.eval()))
    except ValueError as error:  # what it draws may be too poor to be judged
        error.add_note(
            f"{name} is trained, and could not be measured: python -m onebound.zoo {name} measures "
            f"it again. To train it longer, change its RECIPE and delete {work}"
        )
        raise
    write_card(card, card_file)
    shutil.rmtree(work)
    return card


def write_card(card: Card, path: Path) -> None:
    """Write a card as JSON."""
    write_whole(path, json.dumps(asdict(card), indent=1).encode() + b"\n")


def main() -> None:
    """Train what the command line names, or all models."""
    parser = argparse.ArgumentParser(prog="python -m onebound.zoo", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"of {', '.join(names())}; default: all")
    chosen = parser.parse_args().name or names()
    if unknown := set(chosen) - set(names()):
        parser.error(f"no model {', '.join(sorted(unknown))}: the zoo has {', '.join(names())}")
    for name in chosen:
        card = make(import_module(f"onebound.zoo.{name}"), WORK / name)
        if card:
            print(name, card.metrics)


if __name__ == "__main__":
    main()
