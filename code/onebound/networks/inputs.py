"""What networks are built for and given: images of one shape, or noisy ones with their steps."""

import math

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn

from onebound.checks import check_images, check_positive, check_precise, check_times, trusted

Shape = tuple[int, int, int]  # channels, height and width of an image
SHAPE: Shape = (1, 28, 28)  # the digits of MNIST

Images = Float[Tensor, "B C H W"]
Latents = Float[Tensor, "B L"]
Steps = Int64[Tensor, "B"]


def shape_of(x: Shaped[Tensor, "B C H W"]) -> Shape:
    """Return the shape of each image of a batch."""
    return x.shape[1], x.shape[2], x.shape[3]


def check_sizes(**sizes: int) -> None:
    """ValueError if a size is no whole number of at least 1."""
    for name, size in sizes.items():
        check_positive(name, size)


def check_built_for(shape: Shape, **sizes: int) -> None:
    """ValueError if a size is wrong, or height and width of images cannot be halved twice."""
    check_sizes(**sizes)
    channels, height, width = shape
    check_sizes(channels=channels, height=height, width=width)
    if height % 4 or width % 4:
        raise ValueError(f"height and width must be multiples of 4, got shape={shape}")


def check_shape(x: Shaped[Tensor, "..."], shape: Shape) -> None:
    """ValueError if `x` is no floating-point batch of images of a network's shape."""
    if x.ndim != 4 or tuple(x.shape[1:]) != tuple(shape) or len(x) == 0:
        raise ValueError(
            f"expected images of shape (B, {', '.join(map(str, shape))}) with B >= 1, got shape "
            f"{tuple(x.shape)}: build the network with `shape` for others"
        )
    check_precise(x, advice="to_unit or to_signed")


def check_step(
    x_t: Shaped[Tensor, "..."], t: Shaped[Tensor, "..."], T: int, shape: Shape = SHAPE
) -> None:
    """ValueError if `x_t` is no finite batch of images of this shape, or `t` no step 1 to T each.

    Unchecked, t = 0 would read the last row of a table of T.
    """
    check_shape(x_t, shape)
    check_images(x_t, -math.inf, math.inf)
    check_times(t, T, x_t)


def check_label(y: Shaped[Tensor, "..."], n: int, classes: int) -> None:
    """ValueError if labels are not n whole numbers from 0 to `classes`, the last for "not told"."""
    if not classes:
        raise ValueError("got labels, but this network has no classes: give it `classes`")
    if y.dtype != torch.int64 or y.shape != (n,):
        raise ValueError(
            f"expected {n} labels, int64 of shape ({n},), got {y.dtype} of shape {tuple(y.shape)}"
        )
    if trusted():
        return
    low, high = (value.item() for value in y.aminmax())
    if low < 0 or high > classes:
        raise ValueError(f"labels must be in 0..{classes}, {classes} for none, got {low} to {high}")


def own_type(x: Float[Tensor, "..."], network: nn.Module) -> Float[Tensor, "..."]:
    """Return `x` in the type of the network's weights."""
    return x.to(next(network.parameters()).dtype)
