"""A run that is killed goes on where it was: its state in one file, whole or not at all.

A file is 32 bytes of SHA-256 and what they are of: a dictionary that torch has saved.
"""

import io
import time
from hashlib import sha256
from pathlib import Path
from types import CodeType
from typing import Any

import torch
from filelock import FileLock, Timeout
from jaxtyping import Shaped
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from onebound.checks import need
from onebound.files import write_whole

EVERY = 30.0  # seconds between two states on disk
KINDS = ("cuda", "xpu")  # of devices with noise of their own, of which there may be several
Stateful = nn.Module | Optimizer | LRScheduler
Parts = dict[str, Stateful]  # what gives its state and takes it back, by name


class Checkpoint:
    """The state of the `parts` of a `run`, by name, in one file; a path of None keeps nothing.

    `run` says in plain values what the run is. Of several processes one `writes`, the others read.
    Within ``with`` no other run has the file.
    """

    def __init__(
        self, path: Path | str | None, run: dict[str, Any], parts: Parts, *, writes: bool = True
    ) -> None:
        self.path = None if path is None else Path(path)
        self.parts, self.writes = parts, writes
        self.run = run | {f"part {name!r}": outline(part) for name, part in parts.items()}
        self.saved = time.monotonic()
        self.lock: FileLock | None = None

    def __enter__(self) -> "Checkpoint":
        """Take the file. ValueError if another run has it."""
        if self.path and self.writes:
            self.lock = FileLock(f"{self.path}.lock", timeout=0, thread_local=False)
            try:
                self.lock.acquire()
            except Timeout:
                raise ValueError(
                    f"another run, here or in another process, keeps its state in {self.path}: "
                    "end it, or name another file"
                ) from None
        return self

    def __exit__(self, *_: object) -> None:
        """Give the file back."""
        if self.lock:
            self.lock.release()

    def restore(self) -> tuple[Any, ...] | None:
        """Give all parts their saved state back; return the `place` that `save` was given, if any.

        The noise goes on where it was in the process that writes, and is new in the others.
        ValueError, before anything is changed, if the file is damaged or of another run.
        """
        if self.path is None or not self.path.exists():
            return None
        state = read(self.path)
        theirs, ours = state["run"], self.run
        both = [(name, theirs.get(name), ours.get(name)) for name in sorted({**theirs, **ours})]
        others = [f"{n} is {a!r:.400} there, {b!r:.400} here" for n, a, b in both if a != b]
        remedy = f"Name another file, or delete {self.path} to start anew"
        message = f"{self.path} is a checkpoint of another run: {'; '.join(others)}. {remedy}"
        need(not others, message)
        for name, part in self.parts.items():
            part.load_state_dict(state["parts"][name])
        if self.writes:
            _set_noise(state["noise"])
        return tuple(state["place"])

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


def read(path: Path | str) -> dict[str, Any]:
    """Return a file's "parts", "run", "place" and "noise", on the CPU. ValueError if damaged."""
    content = Path(path).read_bytes()
    try:
        whole = sha256(content[32:]).digest() == content[:32]
        need(whole, "its content is not that which was written")
        state = torch.load(io.BytesIO(content[32:]), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever torch finds wrong with it
        remedy = f"delete {path} to start anew"
        raise ValueError(f"cannot read a checkpoint ({error!r:.200}): {remedy}") from None
    return dict(state)


def outline(part: Stateful) -> str:
    """Say what kind of thing a part is, and the shapes of its tensors."""
    state = part.state_dict().items()
    shapes = [f"{key} {tuple(x.shape)}" for key, x in state if isinstance(x, Tensor)]
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


def _noise() -> dict[str, Any]:
    """Return the state of the generators of all devices; an empty list for a kind not here."""
    noise: dict[str, Any] = {"cpu": torch.get_rng_state()}
    noise |= {kind: getattr(torch, kind).get_rng_state_all() for kind in KINDS}
    if torch.backends.mps.is_available():
        noise["mps"] = torch.mps.get_rng_state()
    return noise


def _set_noise(found: dict[str, Any]) -> None:
    """Set them, as far as this machine has them."""
    torch.set_rng_state(found["cpu"])
    for kind, module in [(kind, getattr(torch, kind)) for kind in KINDS]:
        for device, state in enumerate(found.get(kind, [])[: module.device_count()]):
            module.set_rng_state(state, device)
    if "mps" in found and torch.backends.mps.is_available():
        torch.mps.set_rng_state(found["mps"])
