"""Half of a test digit is shown, and `unet` draws the other half: several ways to tell it so.

In each of them what the sampler gets, the guess with all that was done to it, is cut to [-1, 1];
but for the two settings that say so.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor

from onebound.data.images import to_signed, to_unit
from onebound.data.mnist import load_mnist
from onebound.diffusion.control import Observation, normal_spread
from onebound.diffusion.denoisers import clipped, even_steps, respaced
from onebound.evaluation import protocol
from onebound.evaluation.estimates import per_example
from onebound.evaluation.quality import recognised
from onebound.studies.control_exact import Way, believing, put_in, stepped
from onebound.studies.records import packed
from onebound.zoo import digits, unet
from onebound.zoo.cards import load_model

EACH, AT_ONCE, SHOWN = 8, 5, 5
"""Completions of an image; images that are completed together; images that the record keeps."""
PIXELS = 0.27
"""Variance of a pixel over images, a mean over pixels."""
NOISE = 0.1
"""Standard deviation of the noise that a likelihood allows for in the half that is shown."""
SPREAD = partial(normal_spread, variance=PIXELS)
WAYS: dict[str, Way] = {
    "put in": put_in(1, clipped),
    "put in, 5 times": put_in(5, clipped),
    **{f"distance, {size:g}": stepped(size, clipped) for size in (0.3, 1.0, 3.0)},
    "spread of the guess": believing(SPREAD, clipped),
    "distance, 1, not cut": stepped(1.0),
    "spread of the guess, not cut": believing(SPREAD),
}
SETTINGS: dict[str, dict[str, Any]] = {name: {"way": name} for name in WAYS}
SEEDS = (0,)
SMOKE = {"images": 5, "steps": 3}


def left_half() -> Tensor:
    """Return the operator that sees the left half of an image."""
    return torch.eye(784)[torch.arange(784) % 28 < 14]


def completed(x_0: Tensor, way: Way, noise: Generator, steps: int = 50) -> Tensor:
    """Complete the left half of each image once."""
    network, _ = load_model(unet)
    denoise = unet.denoiser_of(network.requires_grad_(False))
    schedule, guess = respaced(unet.SCHEDULE, denoise, even_steps(unet.SCHEDULE.T, steps))
    x_T, seen = torch.randn(x_0.shape, generator=noise), left_half()
    observation = Observation(seen, x_0.flatten(1) @ seen.T, NOISE)
    return way(schedule, guess, observation, x_T, noise)


def pairs(agree: Callable[[Tensor, Tensor], Tensor], drawn: Tensor) -> Tensor:
    """Return the mean over pairs of different draws, along axis 1, for each image."""
    every = agree(drawn[:, :, None], drawn[:, None, :]).double()
    each = drawn.shape[1]
    return (every.sum((1, 2)) - every.diagonal(0, 1, 2).sum(1)) / (each * (each - 1))


def run(seed: int, way: str, images: int = 60, steps: int = 50) -> dict[str, Any]:
    """Complete test images, and compare completions with each other and with the truth.

    Lists have an entry for each image: the share of completions that show the digit of the truth
    ("true"), of pairs of completions that show the same ("agree"), mean squared differences a
    hidden pixel to the truth ("off") and of pairs ("apart"), and the entropy of their digits in
    nats. "misfit" is the root of the mean squared difference in the half that was shown.
    """
    *_, test, labels = load_mnist()
    x_0, y = to_signed(test[:images]), labels[:images]
    parts = []
    for number, part in enumerate(x_0.split(AT_ONCE)):
        noise = Generator().manual_seed(1000 * seed + number)
        parts.append(completed(part.repeat_interleave(EACH, 0), WAYS[way], noise, steps))
    drawn = to_unit(protocol.to_levels(torch.cat(parts)))
    return compared(drawn, to_unit(test[:images]), y) | {"shown": packed(drawn[: SHOWN * EACH])}


def compared(drawn: Tensor, x_0: Tensor, y: Tensor) -> dict[str, Any]:
    """Return what `run` says of completions in [0, 1], EACH of an image."""
    classifier, _ = load_model(digits)
    named = per_example(classifier, drawn).argmax(1).reshape(-1, EACH)
    known = per_example(lambda x: recognised(classifier, x), drawn)
    pixels = 2 * drawn.reshape(-1, EACH, 28, 28)
    truth = 2 * x_0.reshape(-1, 1, 28, 28)
    hidden = pixels[..., 14:].flatten(2)
    off = (hidden - truth[..., 14:].flatten(2)).square().mean(2).mean(1)
    apart = pairs(lambda a, b: (a - b).square().mean(-1), hidden)
    shares = torch.stack([(named == digit).double().mean(1) for digit in range(11)], 1)
    lists = {
        "true": (named == y[:, None]).double().mean(1),
        "agree": pairs(torch.eq, named),
        "off": off,
        "apart": apart,
        "entropy": torch.special.entr(shares).sum(1),
    }
    return {
        **{name: [round(v, 4) for v in values.tolist()] for name, values in lists.items()},
        "recognised": known.double().mean().item(),
        "misfit": (pixels - truth)[..., :14].square().mean().sqrt().item(),
    }
