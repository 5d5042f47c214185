"""What a denoiser of one noise level should put out: x_0, eps or v, after a short training."""

from typing import Any

import torch
from torch import Generator, Tensor

from onebound.data.images import to_signed
from onebound.data.mnist import load_mnist, split_validation
from onebound.diffusion.denoisers import Denoiser, denoiser
from onebound.diffusion.loss import denoising_loss
from onebound.diffusion.onestep import SmallDenoiser, one_step
from onebound.diffusion.process import sample_xt, x_0_from_eps, x_0_from_v, x_0_from_x_0
from onebound.distributions import noise_like
from onebound.evaluation.estimates import per_example
from onebound.training.run import train

TARGETS = {
    "x_0": (x_0_from_x_0, lambda schedule: torch.ones_like(schedule.snr)),
    "eps": (x_0_from_eps, lambda schedule: schedule.snr),
    "v": (x_0_from_v, lambda schedule: schedule.snr + 1),
}
"""How each becomes a guess of x_0, and the weight that makes an error of x_0 one of its own."""

SETTINGS = {
    f"{target}, {alpha}": {"target": target, "alpha": alpha}
    for alpha in (0.02, 0.5, 0.98)
    for target in TARGETS
}
SEEDS = (0, 1, 2, 3, 4)
SMOKE = {"images": 64}


def corrupt(x_0: Tensor, alpha: float, generator: Generator | None = None) -> Tensor:
    """Draw x_1 from q(x_1|x_0)."""
    t = torch.ones(len(x_0), dtype=torch.int64)
    return sample_xt(one_step(alpha), x_0, noise_like(x_0, generator), t)


def fit(seed: int, alpha: float, target: str, levels: Tensor) -> Denoiser:
    """Train a denoiser on the squared error of its own target, one pass over the images."""
    torch.manual_seed(seed)
    network = SmallDenoiser().to(memory_format=torch.channels_last)
    schedule = one_step(alpha)
    x_0_from, weight = TARGETS[target]
    denoise = denoiser(schedule, network, x_0_from)

    def loss(batch: Tensor) -> Tensor:
        x_0, t = to_signed(batch), torch.ones(len(batch), dtype=torch.int64)
        eps = torch.randn_like(x_0)
        return denoising_loss(schedule, denoise, x_0, eps, t, weight(schedule))

    list(train(network, loss, levels, epochs=1, batch_size=64, learning_rate=3e-3, seed=seed))
    return denoise


def apply(denoise: Denoiser, x_1: Tensor) -> Tensor:
    """Return x_0_hat, in parts."""
    return per_example(lambda part: denoise(part, torch.ones(len(part), dtype=torch.int64)), x_1)


def pixel_error(denoise: Denoiser, alpha: float, x_0: Tensor, seed: int = 1) -> Tensor:
    """Mean squared error of a pixel of x_0_hat for each image, same noise for every model."""
    x_1 = corrupt(x_0, alpha, Generator().manual_seed(seed))
    return ((apply(denoise, x_1) - x_0) ** 2).mean(dim=(1, 2, 3))


def run(seed: int, alpha: float, target: str, images: int = 6000) -> dict[str, Any]:
    """Train on few images; give the error of a pixel on 2,000 validation images."""
    levels, held_out = split_validation(load_mnist().train_images)
    denoise = fit(seed, alpha, target, levels[:images])
    error = pixel_error(denoise, alpha, to_signed(held_out[:2000]))
    return {"error": error.mean().item()}
