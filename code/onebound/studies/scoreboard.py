"""What no card of the zoo says about the models of the scoreboard."""

import time
from functools import cache
from typing import Any

from torch import Generator, Tensor

from onebound.data.images import to_signed, to_unit
from onebound.data.mnist import load_mnist, split_validation
from onebound.diffusion import onestep
from onebound.evaluation import frechet, protocol
from onebound.evaluation.estimates import estimate, per_example
from onebound.evaluation.quality import recognised
from onebound.likelihoods import bits_per_dim
from onebound.studies import onestep_decoders
from onebound.zoo import digits, unet_bound
from onebound.zoo._unets import draw
from onebound.zoo.cards import load_model

SETTINGS: dict[str, dict[str, Any]] = {
    "logistic VAE": {"model": "logistic_vae"},
    "one step": {"model": "one_step_decoder"},
    "for the bound": {"model": "unet_bound"},
}
SEEDS = (0,)
SMOKE: dict[str, Any] = {"n": 100, "images": 1000}


def features(levels: Tensor) -> Tensor:
    """Return what the classifier of the zoo sees in images."""
    classifier, _ = load_model(digits)
    return per_example(lambda x: classifier.features(to_unit(x)), levels)


@cache
def test_features() -> frechet.Normal:
    """Return the normal distribution fitted to the features of the test images."""
    return frechet.fit(features(load_mnist().test_images))


def judge(samples: Tensor) -> dict[str, Any]:
    """Recognised share and Frechet distance, with standard errors, of samples in [-1, 1]."""
    classifier, _ = load_model(digits)
    levels = protocol.to_levels(samples)
    sure = per_example(lambda x: recognised(classifier, to_unit(x)), levels)
    return {
        "recognised": list(estimate(sure)),
        "frechet": list(frechet.from_sample(features(levels), test_features())),
    }


def run(seed: int, model: str, n: int = 2000, images: int = 60_000) -> dict[str, Any]:
    """Draw n samples and judge them as the cards do; the earlier models are trained first.

    The seed is that of the noise. The earlier models come with their bound on the test images, in
    bits per dimension, the seconds of their training, their parameters and their samples a second.
    """
    if model == "unet_bound":
        network, _ = load_model(unet_bound)
        denoise = unet_bound.denoiser_of(network)
        return judge(draw(unet_bound.SCHEDULE, denoise, n, seed=seed))
    mnist, noise = load_mnist(), Generator().manual_seed(seed)
    train_images, _ = split_validation(mnist.train_images)
    found = getattr(onestep_decoders, model)(train_images[:images])

    def elbo(levels: Tensor) -> Tensor:
        if model == "logistic_vae":
            nats: Tensor = found.model.bound(to_unit(levels), noise).elbo
            return nats
        decode = onestep.decoder(found.model)
        return onestep.bound(decode, to_signed(levels), generator=noise).elbo

    started = time.perf_counter()
    if model == "logistic_vae":
        samples = 2 * onestep_decoders.sample_logistic_vae(found.model, n, noise) - 1
    else:
        samples = onestep.sample_one_step(found.model, n, noise)
    return {
        "rate": n / (time.perf_counter() - started),
        **judge(samples),
        "bits": list(estimate(bits_per_dim(per_example(elbo, mnist.test_images[:images])))),
        "parameters": found.parameters,
        "seconds": found.seconds,
    }
