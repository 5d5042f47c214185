"""Images as numbers: levels to [0, 1] or [-1, 1], and to black and white.

Levels are 0 to 255, uint8 of shape (..., C, H, W); anything else is a ValueError. A `generator` is
on the device of the images; None takes torch's global one.
"""

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from onebound.checks import need

Levels = UInt8[Tensor, "*shape"]
Pixels = Float32[Tensor, "*shape"]
PIXELS = 28 * 28  # of a digit of MNIST


def to_unit(images: Levels) -> Pixels:
    """Map levels to [0, 1]."""
    _check_levels(images)
    return images.float() / 255


def to_signed(images: Levels) -> Pixels:
    """Map level k to 2 k / 255 - 1, in [-1, 1].

    Diffusion models take these: the range is symmetric about 0, the mean of their noise.
    """
    _check_levels(images)
    return images.float() / 127.5 - 1


def binarise(images: Levels, generator: torch.Generator | None = None) -> Pixels:
    """Draw each pixel from {0, 1}, 1 with probability level / 255 (`[eq-binarisation]`).

    Dynamic binarisation is a new call for each batch.
    """
    _check_levels(images)
    # u is uniform on 0..254, so P(u < level) is exactly level / 255, and one random byte per pixel
    # is about six times as fast as one random float.
    u = torch.randint(
        0, 255, images.shape, dtype=torch.uint8, device=images.device, generator=generator
    )
    return (u < images).float()


def static_binarisation(images: Levels, seed: int = 0) -> Pixels:
    """Binarise a whole split once: with one version of torch, the same seed gives the same pixels.

    It is not the published draw of "static" binarised MNIST, Larochelle's files: numbers are not
    comparable. The draw of an image depends on its place in `images`.
    """
    _check_levels(images)
    generator = torch.Generator().manual_seed(seed)  # on the CPU: the same draw for every device
    return binarise(images.cpu(), generator).to(images.device)


def _check_levels(images: Tensor) -> None:
    got = f"got {type(images).__name__} of {images.dtype} with shape {tuple(images.shape)}"
    expected = "expected a torch.uint8 tensor of levels with shape (..., C, H, W)"
    need(images.dtype == torch.uint8 and images.ndim >= 3, f"{expected}, {got}")
