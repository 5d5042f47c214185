"""What the public boundary refuses, and the one sentence it says about it."""

import torch
from torch import Tensor

IMAGE_SHAPE = (1, 28, 28)


def check_images(x: Tensor, low: float, high: float) -> None:
    """Refuse anything but finite floating-point images in ``[low, high]``.

    Parameters
    ----------
    x
        Images, shape (B, 1, 28, 28).
    low, high
        The closed range that every pixel must lie in.

    Raises
    ------
    ValueError
        If `x` has another shape, is not floating point, holds NaN, or leaves the range.
    """
    if x.ndim != 4 or tuple(x.shape[1:]) != IMAGE_SHAPE or len(x) == 0:
        raise ValueError(f"expected images of shape (B, 1, 28, 28) with B >= 1, got {_of(x)}")
    if not x.is_floating_point():
        raise ValueError(
            f"expected floating-point images in [{low:g}, {high:g}], got {x.dtype}: "
            "convert grey levels with onebound.data.to_unit or binarise them first"
        )
    smallest, largest = (value.item() for value in x.detach().aminmax())
    if not low <= smallest <= largest <= high:  # false for NaN too, which aminmax passes on
        raise ValueError(
            f"expected images in [{low:g}, {high:g}], got values from {smallest:g} to {largest:g}"
        )


def check_binary(x: Tensor) -> None:
    """Refuse images in which a pixel is neither 0 nor 1.

    Raises
    ------
    ValueError
        As `check_images` with range [0, 1], and if a value lies strictly between.
    """
    check_images(x, 0, 1)
    between = x[(x != 0) & (x != 1)]
    if len(between):
        raise ValueError(
            f"a Bernoulli likelihood is defined on pixels that are 0 or 1, got {between[0]:g}: "
            "binarise grey levels with onebound.data.binarise"
        )


def check_latents(z: Tensor, size: int) -> None:
    """Refuse anything but finite floating-point latent vectors of shape (B, size).

    Raises
    ------
    ValueError
        If `z` has another shape, is not floating point, or is not finite.
    """
    if z.ndim != 2 or z.shape[1] != size:
        raise ValueError(f"expected latents of shape (B, {size}), got {_of(z)}")
    if not z.is_floating_point() or not torch.isfinite(z).all():
        raise ValueError(f"expected finite floating-point latents, got {_of(z)} {z.dtype}")


def check_positive(name: str, value: int) -> None:
    """Refuse a size that is not a whole number of at least 1.

    Raises
    ------
    ValueError
        If `value` is not an int or is below 1.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")


def _of(x: Tensor) -> str:
    return f"shape {tuple(x.shape)}"
