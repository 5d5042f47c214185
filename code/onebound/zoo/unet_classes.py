"""The U-Net that may be told which digit to draw; else trained as `unet` is.

It learns to do without a label from the tenth of the images whose label it is not told.
"""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Int64
from torch import Generator, Tensor

from onebound.data.images import to_unit
from onebound.data.mnist import load_mnist
from onebound.diffusion.denoisers import Denoiser, Network, guided
from onebound.evaluation import protocol
from onebound.evaluation.estimates import estimate, per_example
from onebound.networks.unet import UNet
from onebound.zoo import digits, unet
from onebound.zoo._unets import COSINE, draw, fit_digits, for_samples, from_v, judge, sized
from onebound.zoo.cards import load_model

UNTOLD = 10  # the label that tells nothing
STRENGTH = 1.25
"""Of guidance: of 1, 1.25, 1.5, 2 the nearest to validation images by the Frechet distance."""
RECIPE = unet.RECIPE | dict(classes=UNTOLD, untold=0.1, epochs=28, learning_rate=0.02)
SCHEDULE = COSINE
denoiser_of = from_v
build = partial(sized, RECIPE)
train = partial(fit_digits, RECIPE, for_samples(RECIPE))


def told(network: UNet, y: Int64[Tensor, "B"]) -> Network:
    """Return the network of (x_t, t) that knows the label of each image."""
    return lambda x_t, t: network(x_t, t, y)


def guided_by_labels(network: UNet, y: Int64[Tensor, "B"], strength: float = STRENGTH) -> Denoiser:
    """Guide the network that was told the labels away from itself without them.

    Classifier-free guidance (`[eq-label-guidance]`), Ho and Salimans (2022); strength 1 is none.
    """
    return guided(denoiser_of(told(network, y)), denoiser_of(network), strength)


def some_labels(n: int) -> Int64[Tensor, "n"]:
    """Return the labels of n training images, always the same ones."""
    labels = load_mnist().train_labels
    return labels[torch.randint(len(labels), (n,), generator=Generator().manual_seed(0))]


def measure(network: UNet) -> dict[str, list[float]]:
    """Return the quality of 2,000 samples in 100 steps: told the label, guided by it, untold.

    "asked" is the share that the classifier takes for the digit that was asked for.
    """
    classifier, _ = load_model(digits)
    y = some_labels(2000)

    def labelled(denoiser_for: Callable[[Tensor], Denoiser]) -> dict[str, list[float]]:
        parts = [
            draw(SCHEDULE, denoiser_for(part), len(part), seed=seed)
            for seed, part in enumerate(y.split(250))
        ]
        samples = torch.cat(parts)
        named = per_example(classifier, to_unit(protocol.to_levels(samples))).argmax(1)
        return judge(samples) | {"asked": list(estimate((named == y).double()))}

    sets = {
        "": labelled(lambda part: denoiser_of(told(network, part))),
        "guided_": labelled(lambda part: guided_by_labels(network, part)),
        "untold_": judge(draw(SCHEDULE, denoiser_of(network), len(y))),
    }
    return {prefix + key: value for prefix, x in sets.items() for key, value in x.items()}
