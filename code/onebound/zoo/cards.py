"""Weights in half precision, and beside them a card that says what they are.

Each other module here is one model: how to build it, to train it and to measure it. Its weights and
its card lie beside it under the same name. ``python -m onebound.zoo NAME`` makes them again.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from safetensors.torch import load as tensors_of

FOLDER = Path(__file__).parent


@runtime_checkable
class Entry(Protocol):
    """A module of the zoo."""

    __name__: str
    __file__: str | None

    RECIPE: dict[str, Any]
    """What `onebound.training.run.train` takes, and whatever else shaped the weights."""

    def build(self) -> Any:
        """Return the model before training."""

    def train(self, model: Any, checkpoint: Path) -> Iterator[dict[str, float]]:
        """Train; yield a record each epoch, with "epoch", "steps" and "seconds" since the start."""

    def measure(self, model: Any) -> dict[str, list[float]]:
        """Return each metric on the test images, with its standard error."""


@dataclass(frozen=True)
class Card:
    """What is known about a trained model."""

    name: str
    recipe: dict[str, Any]
    """What its training took."""
    parameters: int
    steps: int
    """Updates of the weights."""
    images_seen: int
    """Training images, each as often as it was shown."""
    seconds: float
    """Training time."""
    history: list[dict[str, float]]
    """One record an epoch."""
    metrics: dict[str, list[float]]
    """Each metric on the test images, with its standard error, of the weights as stored."""
    machine: dict[str, Any]
    """Where it was trained."""
    versions: dict[str, str]
    """What shaped the weights."""
    data: dict[str, str]
    """SHA-256 of the files of MNIST."""
    weights: str
    """SHA-256 of the file of weights."""


class ZooError(RuntimeError):
    """A trained model is missing or damaged; the message says what to do about it."""


def record(epoch: Any, **more: Any) -> dict[str, Any]:
    """Return what a card's history has of an `onebound.training.run.Epoch`."""
    said = {"epoch": epoch.number, "steps": epoch.steps, "seconds": epoch.seconds}
    return said | {"loss": epoch.loss} | more


def names() -> list[str]:
    """Return the names of all models."""
    return sorted(file.stem for file in FOLDER.glob("[!_]*.py") if file.stem != "cards")


def files(entry: Entry) -> tuple[Path, Path]:
    """Return where the weights and the card of a model lie."""
    module = Path(entry.__file__ or "")
    return module.with_suffix(".safetensors"), module.with_suffix(".json")


def load_model(entry: Entry) -> tuple[Any, Card]:
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
