"""The picture at the top of README: what the zoo's network draws when it is asked for digits."""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from onebound import plots
from onebound.zoo import unet_classes
from onebound.zoo._unets import draw
from onebound.zoo.cards import load_model

COLUMNS, ROWS = 20, 4


def draw_picture(path: Path) -> None:
    """Write the PNG: 0 to 9 twice in each row, in the order in which they were drawn."""
    network, _ = load_model(unet_classes)
    y = torch.arange(COLUMNS * ROWS) % 10
    samples = draw(unet_classes.SCHEDULE, unet_classes.guided_by_labels(network, y), len(y))
    figure = plots.image_grid((samples + 1) / 2, COLUMNS)
    figure.savefig(path, dpi=100, bbox_inches="tight", pad_inches=0)
    plt.close(figure)


if __name__ == "__main__":
    draw_picture(Path("book/images/samples.png"))
