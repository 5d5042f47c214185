"""The bound of trained networks on all test images, term by term."""

from typing import Any

import torch
from torch import Generator, Tensor

from onebound.data.mnist import load_mnist, split_validation
from onebound.diffusion import tuning
from onebound.diffusion.bound import Bound, equal_chances, reverse_variance
from onebound.evaluation.estimates import estimate
from onebound.zoo import unet, unet_bound, unet_small
from onebound.zoo.cards import load_model

ENTRIES: dict[str, Any] = {"unet_bound": unet_bound, "unet": unet, "unet_small": unet_small}

SETTINGS: dict[str, dict[str, Any]] = {
    "for the bound": {"network": "unet_bound", "passes": 2},
    "for samples": {"network": "unet", "passes": 1},
    "small": {"network": "unet_small", "passes": 1},
}
SEEDS = (1,)
SMOKE: dict[str, Any] = {"images": 500, "validation": 500}

EDGES = torch.arange(-52, 57).double() / 4
"""Quarters of a unit of log-SNR, in which the steps are added up; the first holds all below."""


def run(
    seed: int, network: str, passes: int, images: int = 10_000, validation: int = 10_000
) -> dict[str, Any]:
    """Tune on validation images, then measure the test images, bits per dimension.

    "error" and "decoder_variance" are what `tuned` takes. "first" are the totals of
    the images that pass the network first, one by one. "crossed" is what the steps of each interval
    between `EDGES` cost, a step counting where its middle lies. "saved" is what the choice of the
    variances is worth on 1,000 images with the same noise, and "spread" the standard errors of
    their mean with the chances chosen and with equal ones.
    """
    entry = ENTRIES[network]
    model, _ = load_model(entry)
    schedule, denoise = entry.SCHEDULE, entry.denoiser_of(model)
    mnist = load_mnist()
    _, held_out = split_validation(mnist.train_images)
    noise = Generator().manual_seed(seed - 1)
    error = tuning.squared_errors(schedule, denoise, held_out[:validation], noise)
    decoder = tuning.decoder_variance(schedule, denoise, held_out[:1000], noise)
    choice = tuning.tuned(schedule, error, decoder, held_out[0].numel())

    def costs(levels: Tensor, choice: tuning.Tuned, seed: int, passes: int = 1) -> Bound:
        noise = Generator().manual_seed(seed)
        return tuning.bits(schedule, denoise, levels, choice, noise, passes)

    found = costs(mnist.test_images[:images], choice, seed, passes)
    few = mnist.test_images[:images][:1000]
    as_chosen = tuning.total(costs(few, choice, seed + 1))
    plain = choice._replace(variance=reverse_variance(schedule))
    even = choice._replace(chances=equal_chances(schedule))
    evenly = tuning.total(costs(few, even, seed + 1))
    log_snr = schedule.log_snr
    place = torch.bucketize((log_snr[1:-1] + log_snr[2:]) / 2, EDGES).sub(1).clamp(min=0)
    crossed = torch.zeros(len(found.kl_steps), len(EDGES) - 1)
    crossed.index_add_(1, place, found.kl_steps[:, 2:].float())
    per_interval = [estimate(one) for one in crossed.T]
    return {
        "error": error.tolist(),
        "decoder_variance": decoder,
        "total": list(estimate(tuning.total(found))),
        "decoder": list(estimate(found.log_likelihood)),
        "steps": list(estimate(found.kl_steps.sum(1))),
        "prior": list(estimate(found.kl_prior)),
        "first": tuning.total(found)[: tuning.AT_ONCE].tolist(),
        "crossed": [one.mean for one in per_interval],
        "crossed_stderr": [one.stderr for one in per_interval],
        "saved": list(estimate(tuning.total(costs(few, plain, seed + 1)) - as_chosen)),
        "spread": [estimate(as_chosen).stderr, estimate(evenly).stderr],
    }
