"""How generated digits look, as numbers: how sharp they are, and whether they are digits at all.

Images are in [0, 1], shape (B, 1, 28, 28), unless a function says otherwise.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onebound.checks import check_positive
from onebound.data import to_unit
from onebound.training import Epoch, train


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
"""The classifier's last class: normal noise of any strength, cut to [0, 1]."""


class DigitClassifier(nn.Module):
    """Images (B, 1, 28, 28) in [0, 1] to 11 logits, (B, 11): ten digits, and "noise"."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        check_positive("width", width)
        self.net = nn.Sequential(
            nn.PixelUnshuffle(2),  # each 2 x 2 patch becomes 4 channels: 14 x 14
            nn.Conv2d(4, width, 3, padding=1),
            nn.SiLU(),
            nn.MaxPool2d(2),  # 7 x 7
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(49 * 2 * width, 11),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        return self.net(x)


def train_classifier(
    classifier: nn.Module, images: Tensor, labels: Tensor, *, epochs: int, seed: int = 0
) -> Iterator[Epoch]:
    """Minimise the cross-entropy of digits, and of one image of noise for every eight, in nats.

    Without the noise a classifier is as sure of it as of a digit: nothing has told it otherwise.

    Parameters
    ----------
    classifier
        Maps images in [0, 1] to logits (B, 11); its parameters change in place.
    images, labels
        Levels, uint8 of shape (N, 1, 28, 28), and digits, shape (N,).
    epochs, seed
        As in `onebound.training.train`.

    Yields
    ------
    Epoch
        One record a pass; its loss is the mean over both kinds of images.

    Raises
    ------
    ValueError
        If there are not as many labels as images.
    """
    if len(images) != len(labels):
        raise ValueError(f"got {len(images)} images and {len(labels)} labels")

    def loss(chosen: Tensor) -> Tensor:
        digits = to_unit(images[chosen.to(images.device)]).to(chosen.device)
        is_digit = labels[chosen.to(labels.device)].to(chosen.device)
        noise = torch.randn_like(digits[::8])
        noise = noise * torch.rand(len(noise), 1, 1, 1, device=noise.device)  # weak and strong
        shown = torch.cat([digits, noise.clamp(0, 1)])
        target = torch.cat([is_digit, torch.full_like(is_digit[::8], NOISE)])
        return F.cross_entropy(classifier(shown), target, reduction="none")

    # The loop shuffles what it is given: here the places of the images, which the labels share.
    places = torch.arange(len(images), device=images.device)
    yield from train(classifier, loss, places, epochs=epochs, learning_rate=5e-3, seed=seed)


@torch.no_grad()
def recognised(classifier: nn.Module, images: Tensor, confidence: float = 0.95) -> Tensor:
    """Say for each image whether the classifier is surer of one digit than `confidence`.

    Parameters
    ----------
    classifier
        Maps images to logits (B, 11).
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
