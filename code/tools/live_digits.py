"""Write the test digits that travel with the live figures, and their labels."""

from pathlib import Path

from PIL import Image

from onebound.data.mnist import load_mnist

COLUMNS, ROWS = 20, 20


def write_digits(folder: Path) -> None:
    """Write ``digits.png``, the first digits of the test set row by row, and ``digits.txt``."""
    mnist = load_mnist()
    images = mnist.test_images[: COLUMNS * ROWS].reshape(ROWS, COLUMNS, 28, 28)
    sheet = images.permute(0, 2, 1, 3).reshape(28 * ROWS, 28 * COLUMNS)
    Image.fromarray(sheet.numpy()).save(folder / "digits.png")
    labels = mnist.test_labels[: COLUMNS * ROWS].tolist()
    (folder / "digits.txt").write_text("".join(map(str, labels)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_digits(Path("book/live"))
