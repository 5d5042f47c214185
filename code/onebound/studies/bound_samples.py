"""2,000 samples of the network for the bound and of the one for samples, judged."""

from typing import Any

import torch
from torch import Generator, Tensor

from onebound.diffusion.denoisers import even_steps, respaced
from onebound.diffusion.samplers import ddim, last
from onebound.evaluation import protocol
from onebound.zoo import digits, unet, unet_bound
from onebound.zoo.cards import load_model

ENTRIES: dict[str, Any] = {"unet_bound": unet_bound, "unet": unet}

SETTINGS: dict[str, dict[str, Any]] = {
    "for the bound": {"network": "unet_bound"},
    "for samples": {"network": "unet"},
}
SEEDS = (1,)
SMOKE: dict[str, Any] = {"n": 140, "few": 70}


def draw(seed: int, network: str, n: int) -> Tensor:
    """Draw n images in 25 steps without noise, in [-1, 1]; more draws leave the first as is."""
    entry = ENTRIES[network]
    model, _ = load_model(entry)
    kept = even_steps(entry.SCHEDULE.T, 25)
    coarse, denoise = respaced(entry.SCHEDULE, entry.denoiser_of(model), kept)
    x_T = torch.randn(n, 1, 28, 28, generator=Generator().manual_seed(seed))
    return torch.cat([last(ddim(coarse, denoise, part, 0.0)) for part in x_T.split(100)])


def facts(judged: protocol.Evaluation) -> dict[str, Any]:
    """Return what a table says about samples."""
    return {
        "recognised": list(judged.recognised),
        "imbalance": judged.imbalance,
        "frechet": list(judged.frechet),
        "floor": list(judged.floor),
    }


def run(seed: int, network: str, n: int = 2000, few: int = 500) -> dict[str, Any]:
    """Judge n samples by the protocol of `onebound.evaluation`, and by themselves the first few."""
    classifier, _ = load_model(digits)
    real = protocol.reference(classifier)
    samples = draw(seed, network, n)
    first = facts(protocol.evaluate(samples[:few], real))
    return facts(protocol.evaluate(samples, real)) | {f"first_{k}": v for k, v in first.items()}
