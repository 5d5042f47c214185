"""MNIST in memory: 70,000 digits, checked by hash."""

from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from onebound.data import fetch


class MNIST(NamedTuple):
    """The data set, as levels 0 to 255.

    The test split is for reporting only. Choose on the validation images of `split_validation`.
    """

    train_images: Tensor  # (60000, 1, 28, 28) uint8
    train_labels: Tensor  # (60000,) int64
    test_images: Tensor  # (10000, 1, 28, 28) uint8
    test_labels: Tensor  # (10000,) int64


def load_mnist(root: str | Path | None = None) -> MNIST:
    """Load MNIST, fetching it first where the folder lacks it.

    Parameters
    ----------
    root
        A folder as in ``torchvision.datasets.MNIST(root)``, which reads the same files. Default:
        `cache_folder`.

    Raises
    ------
    DataError
        If no source has the files, or the folder cannot be written.

    Warns
    -----
    UserWarning
        If a file in the folder is truncated or altered; it is then fetched again.
    """
    train_images, train_labels, test_images, test_labels = fetch.tensors(root)
    return MNIST(
        train_images.unsqueeze(1), train_labels.long(), test_images.unsqueeze(1), test_labels.long()
    )


def split_validation(x: Tensor) -> tuple[Tensor, Tensor]:
    """Split the 60,000 training images, or labels, into the first 50,000 and the last 10,000.

    Raises
    ------
    ValueError
        If `x` does not hold 60,000 examples.
    """
    if x.shape[:1] != (60_000,):
        raise ValueError(f"expected the 60,000 training examples, got shape {tuple(x.shape)}")
    return x[:50_000], x[50_000:]
