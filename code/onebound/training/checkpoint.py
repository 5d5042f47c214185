"""A run that is killed goes on where it was."""

import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from onebound.files import write_whole

EVERY = 30.0
"""Seconds between two states on disk."""


class Stateful(Protocol):
    """A model, an optimiser, a schedule: whatever gives its state and takes it back."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state as tensors, numbers and containers of them."""

    def load_state_dict(self, state: dict[str, Any], /) -> object:
        """Take the state back."""


class Checkpoint:
    """The state of a run in one file, written whole or not at all.

    Parameters
    ----------
    path
        The file; None keeps nothing.
    run
        What the run is, in numbers: a file of another run is refused.
    parts
        What has a state, by name.
    writes
        Whether this process keeps the file; of several, one does. The others read it.
    """

    def __init__(
        self,
        path: Path | None,
        run: Mapping[str, float],
        parts: Mapping[str, Stateful],
        *,
        writes: bool = True,
    ) -> None:
        self.path, self.run, self.parts, self.writes = path, dict(run), parts, writes
        self.saved = time.monotonic()

    def restore(self) -> tuple[Any, ...] | None:
        """Give all parts their saved state back and return the place in the run.

        The noise goes on where it was in the process that writes, and is new in the others.

        Returns
        -------
        tuple or None
            What `save` was given; None if there is no file.

        Raises
        ------
        ValueError
            If the file cannot be read, or is of another run.
        """
        if self.path is None or not self.path.exists():
            return None
        remedy = f"delete {self.path} to start anew"
        try:
            state = torch.load(self.path, weights_only=True)
            run = state["run"]
        except Exception as error:  # whatever torch finds wrong with it
            raise ValueError(f"cannot read a checkpoint ({error!r:.200}): {remedy}") from None
        if run != self.run:
            raise ValueError(f"a checkpoint of the run {run}, not of {self.run}: {remedy}")
        for name, part in self.parts.items():
            part.load_state_dict(state["parts"][name])
        if self.writes:
            torch.set_rng_state(state["noise"])
        place: tuple[Any, ...] = state["place"]
        return place

    def due(self) -> bool:
        """Whether the file, if any, is older than `EVERY` seconds."""
        return self.path is not None and time.monotonic() - self.saved > EVERY

    def save(self, place: tuple[Any, ...]) -> None:
        """Write the state of all parts, of torch's noise, and the `place` in the run."""
        if self.path is None or not self.writes:
            return
        buffer = io.BytesIO()
        states = {name: part.state_dict() for name, part in self.parts.items()}
        noise = torch.get_rng_state()
        torch.save({"run": self.run, "parts": states, "noise": noise, "place": place}, buffer)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, buffer.getvalue())
        self.saved = time.monotonic()
