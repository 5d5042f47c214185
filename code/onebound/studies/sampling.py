"""How one network draws: with more noise or less, in few steps or many, cut to the range or not."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator, Tensor

from onebound.data.images import to_unit
from onebound.data.mnist import load_mnist
from onebound.diffusion.denoisers import clipped, even_steps, respaced
from onebound.diffusion.samplers import ancestral, ddim, last
from onebound.diffusion.schedules import Schedule
from onebound.diffusion.solvers import log_snr_ratios, nearest_steps
from onebound.evaluation import frechet, protocol
from onebound.evaluation.estimates import per_example
from onebound.evaluation.quality import recognised
from onebound.zoo import digits, unet
from onebound.zoo.cards import load_model

N, FIRST = 1000, 250
"""Samples of a run, and those of them that a page draws once more."""
SEEDS = (0, 1, 2, 3, 4)
SMOKE = {"n": 260, "steps": 5}
SETTINGS: dict[str, dict[str, Any]] = {
    "β̃": {"steps": 20, "eta": 1.0},
    "β": {"steps": 20, "eta": 1.0, "wide": True},
    "β̃, clipped": {"steps": 20, "eta": 1.0, "clip": True},
    "β̃, noise at the end": {"steps": 20, "eta": 1.0, "noisy": True},
    **{f"η = {eta:g}, {K}": {"steps": K, "eta": eta} for K in (5, 10, 50) for eta in (0.0, 1.0)},
    **{f"η = {eta:g}, 20": {"steps": 20, "eta": eta} for eta in (0.0, 0.5)},
    "η = 0, 10 in log-SNR": {"steps": 10, "eta": 0.0, "log_snr": True},
}


def even_log_snr(schedule: Schedule, K: int) -> Tensor:
    """Return K steps at about equal distances in log-SNR, from 10 to the last one, which is T."""
    low, high = schedule.log_snr[[10, -2]].div(-2).exp().tolist()
    ratios = log_snr_ratios(K, low, high)
    return torch.cat([nearest_steps(schedule, ratios[:-1]), torch.tensor([schedule.T])])


AT_ONCE = 50
"""Samples that are drawn together; each such part has a generator of its own."""


def starts(n: int, seed: int) -> Iterator[tuple[Tensor, Generator]]:
    """Yield x_T in parts, and what draws the noise of the steps: the same for every sampler.

    The first samples of many are those of a few.
    """
    for number, part in enumerate(torch.arange(n).split(AT_ONCE)):
        noise = Generator().manual_seed(1000 * seed + number)
        yield torch.randn(len(part), 1, 28, 28, generator=noise), noise


def judged(samples: Tensor, seed: int) -> dict[str, Any]:
    """Judge n samples by the protocol of `onebound.evaluation`; seeds take the bootstrap's place.

    "floor" is the distance of n training images, others for each seed; "spread" the variance of the
    features over that of test images; "outside" the share of pixels that are not in [-1, 1]; the
    names with "first" are about the first 250 samples.
    """
    classifier, _ = load_model(digits)
    images, labels, test, _ = load_mnist()
    chosen = torch.randperm(len(images), generator=Generator().manual_seed(seed))[: len(samples)]
    levels = protocol.to_levels(samples)
    known = per_example(lambda x: recognised(classifier, to_unit(x)), levels).double()
    features, real, target = (
        per_example(lambda x: classifier.features(to_unit(x)), part)
        for part in (levels, images[chosen], test)
    )
    wanted, found = frechet.fit(target), frechet.fit(features)
    shares = labels.bincount(minlength=10) / len(labels)
    return {
        "recognised": known.mean().item(),
        "classes": [
            ratio.mean for ratio in protocol.class_balance(classifier, to_unit(levels), shares)
        ],
        "frechet": frechet.distance(found, wanted),
        "floor": frechet.distance(frechet.fit(real), wanted),
        "spread": (found.covariance.trace() / wanted.covariance.trace()).item(),
        "outside": (samples.abs() > 1).double().mean().item(),
        "first_recognised": known[:FIRST].mean().item(),
        "first_frechet": frechet.distance(frechet.fit(features[:FIRST]), wanted),
    }


def run(
    seed: int,
    steps: int,
    eta: float,
    wide: bool = False,
    clip: bool = False,
    noisy: bool = False,
    log_snr: bool = False,
    n: int = N,
) -> dict[str, Any]:
    """Draw from `unet` in so many of its steps.

    Options: the variances beta, clipped guesses, noise at the end, steps even in log-SNR.
    """
    network, _ = load_model(unet)
    denoise = unet.denoiser_of(network)
    if clip:
        denoise = clipped(denoise)
    kept = even_log_snr(unet.SCHEDULE, steps) if log_snr else even_steps(unet.SCHEDULE.T, steps)
    coarse, guess = respaced(unet.SCHEDULE, denoise, kept)
    variance = coarse.beta.clone()
    variance[1] = 0
    parts = []
    for x_T, noise in starts(n, seed):
        if wide:
            x = last(ancestral(coarse, guess, x_T, noise, variance))
        else:
            x = last(ddim(coarse, guess, x_T, eta, noise))
        if noisy:
            x = x + coarse.beta[1].sqrt().float() * torch.randn(x.shape, generator=noise)
        parts.append(x)
    return judged(torch.cat(parts), seed)
