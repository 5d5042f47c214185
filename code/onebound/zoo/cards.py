"""Weights in half precision, and beside them a card that says what they are.

Each other module here is one model, with its weights and its card beside it under the same name.
``python -m onebound.zoo NAME`` makes them again. A module has

- ``RECIPE``, what `onebound.training.run.train` takes, and whatever else shaped the weights;
- ``build()``, which returns the model before training;
- ``train(model, checkpoint)``, which yields a `record` each epoch;
- ``measure(model)``, which returns metrics on the test images, each with its standard error.
"""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from safetensors.torch import load as tensors_of

from onebound.training.run import Epoch

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Card:
    """What is known about a trained model.

    `steps` are updates of the weights, `images_seen` training images, each as often as it was
    shown, `seconds` training time; `history` has one record an epoch. `metrics` are those of the
    weights as stored, each with its standard error. It was trained on `machine`; `versions` and
    `data`, the SHA-256 of the files of MNIST, shaped the `weights`, here the SHA-256 of their file.
    """

    name: str
    recipe: dict[str, Any]
    parameters: int
    steps: int
    images_seen: int
    seconds: float
    history: list[dict[str, float]]
    metrics: dict[str, list[float]]
    machine: dict[str, Any]
    versions: dict[str, str]
    data: dict[str, str]
    weights: str


class ZooError(RuntimeError):
    """A trained model is missing or damaged; the message says what to do about it."""


def record(epoch: Epoch, **more: float | None) -> dict[str, Any]:
    """Return what a card's history has of an epoch."""
    said = {"epoch": epoch.number, "steps": epoch.steps, "seconds": epoch.seconds}
    return said | {"loss": epoch.loss} | more


def names() -> list[str]:
    """Return the names of all models."""
    return sorted(file.stem for file in FOLDER.glob("[!_]*.py") if file.stem != "cards")


def files(entry: ModuleType) -> tuple[Path, Path]:
    """Return where the weights and the card of a model lie."""
    module = Path(entry.__file__ or "")
    return module.with_suffix(".safetensors"), module.with_suffix(".json")


def load_model(entry: ModuleType) -> tuple[Any, Card]:
    """Return a trained model, in evaluation mode on the CPU, and its card.

    ZooError if a file is missing, or the weights are not those of the card.
    """
    name = entry.__name__.rpartition(".")[2]
    remedy = f"restore the files of {name}, or train it again: python -m onebound.zoo {name}"
    try:
        weights, text = (path.read_bytes() for path in files(entry))
        card = Card(**json.loads(text))
    except OSError as error:
        raise ZooError(f"there is no trained {name} ({error}): {remedy}") from None
    except (ValueError, TypeError) as error:
        raise ZooError(f"the card of {name} is damaged ({error}): {remedy}") from None
    found = sha256(weights).hexdigest()
    if found != card.weights:
        raise ZooError(
            f"the weights of {name} are damaged or of another run: their SHA-256 is {found}, "
            f"the card says {card.weights}; {remedy}"
        )
    model = entry.build()
    model.load_state_dict(tensors_of(weights))
    return model.eval(), card
