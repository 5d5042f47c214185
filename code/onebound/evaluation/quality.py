"""How generated digits look, as numbers: how sharp they are, and whether they are digits at all.

Images are in [0, 1], shape (B, 1, 28, 28), unless a function says otherwise.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def sharpness(images: Tensor) -> Tensor:
    """Squared differences of neighbouring pixels over the image's variance (`[eq-sharpness]`).

    Neither contrast nor brightness nor a shift changes it. A blur lowers it. Independent noise has
    4, on average, whatever the noise's distribution: it says nothing about what is sharp.

    Parameters
    ----------
    images
        Any real numbers, shape (B, 1, H, W); the edges are joined, left to right and top to bottom.

    Returns
    -------
    Tensor
        Shape (B,), in [0, 8].

    Raises
    ------
    ValueError
        If an image has the same value everywhere, or is not finite.
    """
    centred = (images - images.mean(dim=(1, 2, 3), keepdim=True)).double()
    variance = (centred**2).flatten(1).sum(1)
    if not (variance > 0).all():  # false for NaN too
        raise ValueError(f"image {int((~(variance > 0)).nonzero()[0])} has no variance")
    squares = sum((centred - centred.roll(1, dims=axis)) ** 2 for axis in (2, 3))
    assert isinstance(squares, Tensor)
    return squares.flatten(1).sum(1) / variance


NOISE = 10
"""A classifier's last class: normal noise of any strength, cut to [0, 1]."""


@torch.no_grad()
def recognised(
    classifier: Callable[[Tensor], Tensor], images: Tensor, confidence: float = 0.95
) -> Tensor:
    """Say for each image whether the classifier is surer of one digit than `confidence`.

    Parameters
    ----------
    classifier
        Maps images to logits (B, 11), as the one in `onebound.zoo.digits` does.
    images
        What to look at, shape (B, 1, 28, 28); values outside [0, 1] count as 0 or 1.
    confidence
        Probability that the likeliest digit has to exceed.

    Returns
    -------
    Tensor
        1.0 or 0.0, shape (B,).
    """
    probability = classifier(images.clamp(0, 1)).softmax(1)[:, :NOISE]
    return (probability.max(1).values > confidence).float()
