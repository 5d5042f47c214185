"""MNIST in memory: 70,000 digits, checked by hash."""

from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Int64, Shaped, UInt8
from torch import Generator, Tensor

from onebound.checks import need
from onebound.data import fetch


class MNIST(NamedTuple):
    """The data set, as levels 0 to 255.

    The test split is for reporting only. Choose on the validation images of `split_validation`.
    """

    train_images: UInt8[Tensor, "60000 1 28 28"]
    train_labels: Int64[Tensor, "60000"]
    test_images: UInt8[Tensor, "10000 1 28 28"]
    test_labels: Int64[Tensor, "10000"]


def load_mnist(root: str | Path | None = None) -> MNIST:
    """Load MNIST, fetching it first where the folder lacks it.

    `root` is a folder as in ``torchvision.datasets.MNIST(root)``, which reads the same files; by
    default `cache_folder`. DataError if no source has the files or the folder cannot be written. A
    file that is truncated or altered is fetched again, with a UserWarning.
    """
    x, y, test_x, test_y = fetch.tensors(root)
    return MNIST(x.unsqueeze(1), y.long(), test_x.unsqueeze(1), test_y.long())


def split_validation(
    x: Shaped[Tensor, "60000 ..."],
) -> tuple[Shaped[Tensor, "50000 ..."], Shaped[Tensor, "10000 ..."]]:
    """Split the 60,000 training images, or labels, into the first 50,000 and the last 10,000."""
    got = f"got shape {tuple(x.shape)}"
    need(x.shape[:1] == (60_000,), f"expected the 60,000 training examples, {got}")
    return x[:50_000], x[50_000:]


def coloured(
    images: UInt8[Tensor, "B 1 28 28"], generator: Generator | None = None
) -> UInt8[Tensor, "B 3 32 32"]:
    """Draw each digit in a colour of its own on a ground of another, with two pixels more around.

    The levels of red, green and blue are drawn evenly, from `generator` or torch's global one; a
    pixel of the digit mixes the two colours as its level says.
    """
    got = f"got {images.dtype} of shape {tuple(images.shape)}"
    digits = images.dtype == torch.uint8 and images.shape[1:] == (1, 28, 28)
    need(digits, f"expected digits, torch.uint8 of shape (B, 1, 28, 28), {got}")
    ink = torch.nn.functional.pad(images.float() / 255, (2, 2, 2, 2))
    colours = torch.randint(256, (2, len(images), 3, 1, 1), generator=generator).to(ink)
    return (ink * colours[0] + (1 - ink) * colours[1]).round().to(torch.uint8)
