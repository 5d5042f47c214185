"""Figures of the book. The only module that imports matplotlib.

Text and lines are a middle grey on a transparent ground, so that one picture reads on a light page
and on a dark one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch
from cycler import cycler
from jaxtyping import Float, Int64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

INK = "#808794"
"""Text and axes: contrast of at least 3.5 to 1 on white and on the dark theme's ground."""
COLOURS = ("#3b8fd4", "#e07b39", "#2fa37c", "#c45bab", "#b0902c", "#8b7be0")
"""Lines, in order; told apart by lightness as well as by hue."""

STYLE: dict[Any, Any] = {
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "figure.figsize": (6.4, 3.6),
    "font.size": 10,
    "grid.alpha": 0.25,
    "grid.color": INK,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "savefig.dpi": 200,
    "savefig.transparent": True,
    "svg.hashsalt": "onebound",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


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


def image_rows(rows: Mapping[str, Float[Tensor, "N C H W"]], scale: float = 0.62) -> Figure:
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


def learning_curves(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Figure:
    """Lines of a bound in nats against seconds of training, by name; each pair equally long."""
    figure, axis = plt.subplots()
    for name, (seconds, nats) in curves.items():
        axis.plot(seconds, nats, marker="o", markersize=3, label=name)
    axis.set(xlabel="seconds of training", ylabel="nats per image")
    axis.legend()
    return figure


def latent_scatter(mu: Float[Tensor, "N 2"], labels: Int64[Tensor, "N"]) -> Figure:
    """Posterior means in a two-dimensional latent space, each point drawn as its digit, 0 to 9."""
    figure, axis = plt.subplots(figsize=(6.4, 6.0))
    colours = plt.get_cmap("tab10")
    for digit in range(10):
        x, y = mu[labels == digit].T
        look: dict[str, Any] = {"marker": f"${digit}$", "color": colours(digit), "linewidths": 0}
        # As pixels: thousands of vector shapes would be ten times the bytes.
        axis.scatter(x, y, s=22, rasterized=True, **look)
    axis.set(xlabel="$z_1$", ylabel="$z_2$", aspect="equal")
    return figure


def _show(axis: Axes, picture: Float[Tensor, "C H W"]) -> None:
    picture = picture[0] if len(picture) == 1 else picture.permute(1, 2, 0)
    axis.imshow(picture.numpy(force=True), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    axis.spines[:].set_visible(False)
