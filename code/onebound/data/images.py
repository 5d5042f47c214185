"""Images as numbers: levels to [0, 1] or [-1, 1], and to black and white."""

import torch
from torch import Tensor


def to_unit(images: Tensor) -> Tensor:
    """Map levels, uint8 of shape (..., 1, 28, 28), to float32 in [0, 1] of the same shape.

    Raises
    ------
    ValueError
        If `images` has another type or shape.
    """
    _check_levels(images)
    return images.float() / 255


def to_signed(images: Tensor) -> Tensor:
    """Map level k, uint8 of shape (..., 1, 28, 28), to 2 k / 255 - 1, float32 in [-1, 1].

    Diffusion models take these: the range is symmetric about 0, the mean of their noise.

    Raises
    ------
    ValueError
        If `images` has another type or shape.
    """
    _check_levels(images)
    return images.float() / 127.5 - 1


def binarise(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw each pixel from a Bernoulli distribution with probability level / 255.

    See `[eq-binarisation]`. Dynamic binarisation is a new call for each batch.

    Parameters
    ----------
    images
        Levels, uint8 of shape (..., 1, 28, 28).
    generator
        Source of randomness, on the device of `images`. Default: torch's global one.

    Returns
    -------
    Tensor
        float32 in {0, 1}, shaped like `images`.

    Raises
    ------
    ValueError
        If `images` has another type or shape.
    """
    _check_levels(images)
    # u is uniform on 0..254, so P(u < level) is exactly level / 255, and one random byte per pixel
    # is about six times as fast as one random float.
    u = torch.randint(
        0, 255, images.shape, dtype=torch.uint8, device=images.device, generator=generator
    )
    return (u < images).float()


def static_binarisation(images: Tensor, seed: int = 0) -> Tensor:
    """Binarise once and for all: with one version of torch, the same seed gives the same pixels.

    Papers on "static" binarised MNIST use one published draw, Larochelle's files. This is another
    draw from the same distribution, so its numbers are not comparable with theirs. Binarise a whole
    split and index the result: the draw of an image depends on its place in `images`.

    Arguments, result and errors are those of `binarise`.
    """
    _check_levels(images)
    generator = torch.Generator().manual_seed(seed)  # on the CPU: the same draw for every device
    return binarise(images.cpu(), generator).to(images.device)


def _check_levels(images: Tensor) -> None:
    if images.dtype != torch.uint8 or images.shape[-3:] != (1, 28, 28):
        raise ValueError(
            "expected a torch.uint8 tensor of levels with shape (..., 1, 28, 28), "
            f"got {type(images).__name__} of {images.dtype} with shape {tuple(images.shape)}"
        )
