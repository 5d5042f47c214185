"""A run that is killed goes on where it was: its state in one file, whole or not at all.

A file is 32 bytes of SHA-256 and what they are of: a dictionary that torch has saved.
"""

import io
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any, Protocol, runtime_checkable

import torch
from filelock import FileLock, Timeout
from jaxtyping import Shaped
from torch import Tensor

from onebound.files import write_whole

EVERY = 30.0
"""Seconds between two states on disk."""
DEVICES = ("cuda", "mps", "xpu")
"""Whose noise is kept beside the processor's, where torch has them."""


@runtime_checkable
class Stateful(Protocol):
    """A model, an optimiser, a schedule: whatever gives its state and takes it back."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state as tensors, numbers and containers of them."""

    def load_state_dict(self, state: dict[str, Any], /) -> object:
        """Take the state back."""


class Checkpoint:
    """The state of the `parts` of a `run`, by name, in one file; a path of None keeps nothing.

    `run` says in plain values what the run is. Of several processes one `writes`, the others read.
    Within ``with`` no other run has the file.
    """

    def __init__(
        self,
        path: Path | str | None,
        run: Mapping[str, Any],
        parts: Mapping[str, Stateful],
        *,
        writes: bool = True,
    ) -> None:
        self.path = None if path is None else Path(path)
        self.parts, self.writes = parts, writes
        self.run = {**run, **{f"part {name!r}": outline(part) for name, part in parts.items()}}
        self.saved = time.monotonic()
        self.lock: FileLock | None = None

    def __enter__(self) -> "Checkpoint":
        """Take the file. ValueError if another run has it."""
        if self.path and self.writes:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.lock = FileLock(f"{self.path}.lock", timeout=0, thread_local=False)
            try:
                self.lock.acquire()
            except Timeout:
                raise ValueError(
                    f"another run, here or in another process, keeps its state in {self.path}: "
                    "end it, or name another file"
                ) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the file back."""
        if self.lock:
            self.lock.release()

    def restore(self) -> tuple[Any, ...] | None:
        """Give all parts their saved state back, and return the `place` that `save` was given.

        None if there is no file. The noise goes on where it was in the process that writes, and is
        new in the others. ValueError, before anything is changed, if the file is damaged or of
        another run.
        """
        if self.path is None or not self.path.exists():
            return None
        state = read(self.path)
        if others := sorted(_differences(state["run"], self.run)):
            raise ValueError(
                f"{self.path} is a checkpoint of another run: {'; '.join(others)}. "
                f"Name another file, or delete {self.path} to start anew"
            )
        for name, part in self.parts.items():
            part.load_state_dict(state["parts"][name])
        if self.writes:
            _set_noise(state["noise"])
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
        torch.save({"run": self.run, "parts": states, "noise": _noise(), "place": place}, buffer)
        content = buffer.getvalue()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, sha256(content).digest() + content)
        self.saved = time.monotonic()

    def way_on(self) -> str:
        """Say how to go on from the last state, if there is one."""
        if self.path is None or not self.path.exists():
            return ""
        return (
            f". {self.path} is the last good state: to go on from it, call model.load_state_dict("
            f"onebound.training.checkpoint.read({str(self.path)!r})['parts']['model']), and train "
            "with a lower rate and another checkpoint"
        )


def read(path: Path | str) -> dict[str, Any]:
    """Return what is in a file, on the CPU: "parts", "run", "place" and "noise".

    ValueError if it is damaged.
    """
    content = Path(path).read_bytes()
    try:
        if sha256(content[32:]).digest() != content[:32]:
            raise ValueError("its content is not that which was written")
        state = torch.load(io.BytesIO(content[32:]), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever torch finds wrong with it
        remedy = f"delete {path} to start anew"
        raise ValueError(f"cannot read a checkpoint ({error!r:.200}): {remedy}") from None
    return dict(state)


def outline(part: Stateful) -> str:
    """Say what kind of thing a part is, and the shapes of its tensors."""
    tensors = {key: x for key, x in part.state_dict().items() if isinstance(x, Tensor)}
    shapes = [f"{key} {tuple(x.shape)}" for key, x in tensors.items()]
    return ", ".join([type(part).__name__, *shapes])


def fingerprint(data: Shaped[Tensor, "..."]) -> str:
    """Say what data are: type, shape, and the start of the SHA-256 of their values."""
    content = data.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
    return f"{data.dtype} {tuple(data.shape)} {sha256(content).hexdigest()[:16]}"


def name_of(function: object) -> str:
    """Say what a function is called, and what it calls by name; comments are no part of it."""
    name = getattr(function, "__qualname__", type(function).__qualname__)
    code = getattr(function, "__code__", None)
    used = sorted({*code.co_names, *code.co_freevars}) if isinstance(code, CodeType) else []
    return f"{name} of {', '.join(used)}" if used else name


def _differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    pairs = {name: (theirs.get(name), ours.get(name)) for name in {**theirs, **ours}}
    return [
        f"{name} is {a!r:.400} there, {b!r:.400} here" for name, (a, b) in pairs.items() if a != b
    ]


def _noise() -> dict[str, Any]:
    """Return the state of the generators of all devices."""
    found: dict[str, Any] = {"cpu": torch.get_rng_state()}
    for name, module in _devices():
        states = getattr(module, "get_rng_state_all", module.get_rng_state)
        found[name] = states()
    return found


def _set_noise(found: Mapping[str, Any]) -> None:
    """Set them, as far as this machine has them."""
    torch.set_rng_state(found["cpu"])
    for name, module in _devices():
        states = found.get(name, [])
        if isinstance(states, Tensor):
            module.set_rng_state(states)
        else:
            for device, state in enumerate(states[: module.device_count()]):
                module.set_rng_state(state, device)


def _devices() -> list[tuple[str, Any]]:
    """Return those of `DEVICES` that are here."""
    found = [(name, getattr(torch, name)) for name in DEVICES if hasattr(torch, name)]
    there = torch.backends.mps.is_available  # the one module that may not say
    return [(name, one) for name, one in found if getattr(one, "is_available", there)()]
