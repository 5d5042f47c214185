"""Figures of the book. The only module that imports matplotlib.

The style, and why its colours are as they are, stands in the file beside this one.
"""

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

STYLE = matplotlib.rc_params_from_file(
    Path(__file__).with_suffix(".mplstyle"), use_default_template=False
)
INK: str = STYLE["text.color"]
COLOURS: list[str] = STYLE["axes.prop_cycle"].by_key()["color"]


def use_book_style() -> None:
    """Set matplotlib to the book's style; in a notebook also to vector output."""
    plt.rcParams.update(STYLE)
    try:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:
        return
    if get_ipython() is not None:
        set_matplotlib_formats("svg", metadata={"Date": None})


def image_rows(rows: Mapping[str, Float[Tensor, "N C H W"]], scale: float = 0.58) -> Figure:
    """Rows of N images each under each other, each with its name at the left.

    Images are in [0, 1] and have one channel, or red, green and blue; one is `scale` inches wide.
    """
    size = (scale * len(next(iter(rows.values()))) + 1.3, scale * len(rows))
    figure, axes = plt.subplots(len(rows), figsize=size, squeeze=False)
    for axis, (name, images) in zip(axes[:, 0], rows.items(), strict=True):
        _show(axis, torch.cat(list(images), dim=2))
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
    return figure


def image_grid(images: Float[Tensor, "N C H W"], columns: int, scale: float = 0.5) -> Figure:
    """Images as in `image_rows` in a grid, row by row; N is a multiple of `columns`."""
    rows = len(images) // columns
    figure, axis = plt.subplots(figsize=(scale * columns, scale * rows))
    tiles = images.unflatten(0, (rows, columns))
    _show(axis, tiles.permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2))
    return figure


def _show(axis: Axes, picture: Float[Tensor, "C H W"]) -> None:
    picture = picture[0] if len(picture) == 1 else picture.permute(1, 2, 0)
    axis.imshow(picture.numpy(force=True), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    axis.spines[:].set_visible(False)
