"""How generated digits look, as numbers: how sharp they are, and whether they are digits at all.

Images are in [0, 1]. A classifier maps them to 11 logits, as the one in `onebound.zoo.digits` does:
ten digits, and what is none. It judges in evaluation mode, whatever mode it is in.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from onebound.checks import check_images, need
from onebound.networks.inputs import Images

NOISE = 10  # a classifier's last class: normal noise of any strength, cut to [0, 1]
Classifier = Callable[[Images], Tensor]  # to logits
PerImage = Float[Tensor, "B"]


def sharpness(images: Images) -> PerImage:
    """Squared differences of neighbouring pixels over the image's variance (`[eq-sharpness]`).

    In [0, 8]; the edges are joined, left to right and top to bottom. Neither contrast nor
    brightness nor a shift changes it, a blur lowers it, and independent noise has 4 on average.
    ValueError if an image has the same value everywhere, or is not finite.
    """
    got = f"{images.dtype} of shape {tuple(images.shape)}"
    fits = images.ndim == 4 and images.is_floating_point()
    need(fits, f"expected floating-point images of shape (B, C, H, W), got {got}")
    centred = images - images.mean(dim=(1, 2, 3), keepdim=True)
    variance = (centred**2).flatten(1).sum(1)
    if not (variance > 0).all():  # false for NaN too
        raise ValueError(f"image {int((~(variance > 0)).nonzero()[0])} has no variance")
    down, right = ((centred - centred.roll(1, dims=axis)) ** 2 for axis in (2, 3))
    return (down + right).flatten(1).sum(1) / variance


@contextmanager
def at_rest(classifier: Classifier) -> Iterator[None]:
    """Keep a classifier in evaluation mode for a while, so that a verdict hangs on nothing else."""
    modules = classifier.modules() if isinstance(classifier, nn.Module) else ()
    modes = {module: module.training for module in modules}
    try:
        for module in modes:
            module.training = False
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def logits_of(classifier: Classifier, images: Images) -> Float[Tensor, "B 11"]:
    """Return what the classifier says; ValueError if that is no logit for each of 11 classes."""
    check_images(images, 0, 1)
    with at_rest(classifier):
        logits = classifier(images)
    fits = logits.shape == (len(images), NOISE + 1)
    need(fits, f"expected {NOISE + 1} logits an image, got {tuple(logits.shape)}")
    return logits


@torch.no_grad()
def recognised(classifier: Classifier, images: Images, confidence: float = 0.95) -> PerImage:
    """Say for each image, by 1.0 or 0.0, whether the classifier is surer of one digit than that.

    Values outside [0, 1] count as 0 or 1.
    """
    probability = logits_of(classifier, images.clamp(0, 1)).softmax(1)[:, :NOISE]
    return (probability.max(1).values > confidence).float()
