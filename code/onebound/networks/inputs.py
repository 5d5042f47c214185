"""What networks are built for and given: images of one shape, or noisy ones with their steps.

The checks raise ValueError.
"""

import math

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn

from onebound.checks import check_images, check_positive, check_precise, check_times, need, trusted

Shape = tuple[int, int, int]  # channels, height and width of an image
SHAPE: Shape = (1, 28, 28)  # the digits of MNIST

AnyTensor = Shaped[Tensor, "..."]  # what is still to be checked
Images = Float[Tensor, "B C H W"]
Latents = Float[Tensor, "B L"]
Steps = Int64[Tensor, "B"]


def check_built_for(shape: Shape, **sizes: int) -> None:
    """Refuse a wrong size, and images whose height and width cannot be halved twice."""
    check_positive(**sizes)
    channels, height, width = shape
    check_positive(channels=channels, height=height, width=width)
    need(not (height % 4 or width % 4), f"height and width must be multiples of 4, got {shape=}")


def check_shape(x: AnyTensor, shape: Shape) -> None:
    """Refuse what is no floating-point batch of images of a network's shape."""
    expected = f"images of shape (B, {', '.join(map(str, shape))}) with B >= 1"
    got = f"got shape {tuple(x.shape)}: build the network with `shape` for others"
    fits = x.ndim == 4 and tuple(x.shape[1:]) == tuple(shape) and len(x) > 0
    need(fits, f"expected {expected}, {got}")
    check_precise(x, advice="to_unit or to_signed")


def check_step(x_t: AnyTensor, t: AnyTensor, T: int, shape: Shape = SHAPE) -> None:
    """Refuse what is no finite batch of images of this shape, and `t` without a step 1 to T each.

    Unchecked, t = 0 would read the last row of a table of T.
    """
    check_shape(x_t, shape)
    check_images(x_t, -math.inf, math.inf)
    check_times(t, T, x_t)


def check_label(y: AnyTensor, n: int, classes: int) -> None:
    """Refuse labels that are not n whole numbers from 0 to `classes`, the last for "not told"."""
    need(classes, "got labels, but this network has no classes: give it `classes`")
    got = f"{y.dtype} of shape {tuple(y.shape)}"
    fits = y.dtype == torch.int64 and y.shape == (n,)
    need(fits, f"expected {n} labels, int64 of shape ({n},), got {got}")
    if not trusted():
        low, high = (value.item() for value in y.aminmax())
        got = f"{classes} for none, got {low} to {high}"
        need(0 <= low <= high <= classes, f"labels must be in 0..{classes}, {got}")


def waves(T: int, size: int) -> Float[Tensor, "steps size"]:
    """Describe step t in row t, 0 to T, by sines and cosines from slow to fast (`[eq-waves]`).

    From 0 to T the slowest makes an eighth of a turn, the fastest 125 turns. Vaswani et al. (2017),
    section 3.5, with other frequencies; Ho, Jain and Abbeel (2020).
    """
    turns = torch.logspace(math.log10(1 / 8), math.log10(125), size // 2)
    angles = 2 * math.pi * turns * torch.arange(T + 1)[:, None] / T
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def own_type(x: Float[Tensor, "..."], network: nn.Module) -> Float[Tensor, "..."]:
    """Return `x` in the type of the network's weights."""
    return x.to(next(network.parameters()).dtype)
