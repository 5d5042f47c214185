"""2,000 samples of the network for the bound and of the one for samples, judged.

Each in 25 steps: without and with fresh noise, and the first at the log-SNRs of the other's steps.
"""

from typing import Any

import torch
from jaxtyping import Int64
from torch import Generator, Tensor

from onebound.diffusion.denoisers import Kept, even_steps, respaced
from onebound.diffusion.samplers import ddim, last
from onebound.diffusion.schedules import Schedule
from onebound.evaluation import protocol
from onebound.zoo import digits, unet, unet_bound
from onebound.zoo.cards import load_model

ENTRIES: dict[str, Any] = {"unet_bound": unet_bound, "unet": unet}

SETTINGS: dict[str, dict[str, Any]] = {
    "for the bound": {"network": "unet_bound"},
    "for samples": {"network": "unet"},
    "for the bound, fresh noise": {"network": "unet_bound", "eta": 1.0},
    "for samples, fresh noise": {"network": "unet", "eta": 1.0},
    "for the bound, steps of the other": {"network": "unet_bound", "steps_of": "unet"},
}
SEEDS = (1,)
SMOKE: dict[str, Any] = {"n": 140, "few": 70}


def nearest_steps(schedule: Schedule, other: Schedule, steps: Kept) -> Int64[Tensor, "N"]:
    """Return the steps whose log-SNR is nearest to that of another schedule's, each once."""
    apart = schedule.log_snr[1:, None] - other.log_snr[steps]
    return (1 + apart.abs().argmin(0)).unique()


def draw(seed: int, network: str, n: int, eta: float = 0.0, steps_of: str = "") -> Tensor:
    """Draw n images in 25 steps, in [-1, 1]; without fresh noise more leave the first as is."""
    entry = ENTRIES[network]
    model, _ = load_model(entry)
    kept = even_steps(entry.SCHEDULE.T, 25)
    if steps_of:
        kept = nearest_steps(entry.SCHEDULE, ENTRIES[steps_of].SCHEDULE, kept)
    coarse, denoise = respaced(entry.SCHEDULE, entry.denoiser_of(model), kept)
    generator = Generator().manual_seed(seed)
    x_T = torch.randn(n, 1, 28, 28, generator=generator)
    parts = (ddim(coarse, denoise, part, eta, generator) for part in x_T.split(100))
    return torch.cat([last(part) for part in parts])


def facts(judged: protocol.Evaluation) -> dict[str, Any]:
    """Return what a table says about samples."""
    return {
        "recognised": list(judged.recognised),
        "imbalance": judged.imbalance,
        "frechet": list(judged.frechet),
        "floor": list(judged.floor),
    }


def run(seed: int, network: str, n: int = 2000, few: int = 500, **how: Any) -> dict[str, Any]:
    """Judge n samples by the protocol of `onebound.evaluation`, and by themselves the first few."""
    classifier, _ = load_model(digits)
    real = protocol.reference(classifier)
    samples = draw(seed, network, n, **how)
    first = facts(protocol.evaluate(samples[:few], real))
    return facts(protocol.evaluate(samples, real)) | {f"first_{k}": v for k, v in first.items()}
