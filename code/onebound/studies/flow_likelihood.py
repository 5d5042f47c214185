"""The likelihood of digits by the probability-flow ODE, beside the bound of the same network."""

from typing import Any

import torch
from torch import Generator, Tensor

from onebound.data.images import to_signed
from onebound.data.mnist import load_mnist
from onebound.diffusion.bound import bound, equal_chances, log_likelihood, reverse_variance
from onebound.diffusion.continuous import flow_log_likelihood, signs_like
from onebound.diffusion.process import q_xt_x0, sample_xt
from onebound.diffusion.schedules import log_snr_schedule
from onebound.distributions import log_prob_normal, noise_like
from onebound.likelihoods import bits_per_dim
from onebound.networks.unet import UNet
from onebound.zoo import unet_bound
from onebound.zoo.cards import load_model

SETTINGS: dict[str, dict[str, Any]] = {
    "128 steps": {"steps": 128, "count": 32, "draws": 64},
    "256 steps": {"steps": 256, "count": 32, "draws": 64},
}
SEEDS = (0, 1)
SMOKE: dict[str, Any] = {"steps": 4, "count": 2, "draws": 2}

AT_ONCE = 16


def run(seed: int, steps: int, count: int, draws: int) -> dict[str, list[float]]:
    """Measure `count` test images of its own both ways, with the same noise for any `steps`.

    The result has bits per dimension of each image: "flow", by the ODE in `steps` steps with one
    probe; "decoder", what of it is p(x_0|x_1); and "bound", a mean over `draws` draws with the
    4,000 steps of `unet_bound.FINER`.
    """
    network, _ = load_model(unet_bound)
    network.requires_grad_(False)
    x_0 = to_signed(load_mnist().test_images[seed * count : (seed + 1) * count])
    noise = Generator().manual_seed(seed)
    result: dict[str, list[float]] = {"flow": [], "decoder": [], "bound": []}
    for part in x_0.split(AT_ONCE):
        eps, probes = noise_like(part, noise), signs_like(part, 1, noise)
        decoder, rest = by_flow(network, part, eps, probes, steps)
        result["flow"] += bits_per_dim(decoder + rest).tolist()
        result["decoder"] += bits_per_dim(decoder).tolist()
        result["bound"] += by_steps(network, part, draws, noise).tolist()
    return result


def by_flow(
    network: UNet, x_0: Tensor, eps: Tensor, probes: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Return log p(x_0|x_1), and log p(x_1) - log q(x_1|x_0) by the ODE, nats."""
    schedule = log_snr_schedule(steps, last=unet_bound.LAST)
    denoise = unet_bound.with_steps(network, schedule)
    one = torch.ones(len(x_0), dtype=torch.int64)
    x_1 = sample_xt(schedule, x_0, eps, one)
    mean, variance = q_xt_x0(schedule, x_0, one)
    flow = flow_log_likelihood(schedule, denoise, x_1, probes)
    with torch.no_grad():
        decoder = log_likelihood(schedule, denoise, x_0, eps, reverse_variance(schedule))
    return decoder, flow.log_prob.mean(0) - log_prob_normal(x_1, mean, variance.log())


def by_steps(network: UNet, x_0: Tensor, draws: int, noise: Generator) -> Tensor:
    """Return minus the bound of each image, bits per dimension."""
    schedule = unet_bound.FINER
    denoise, variance = unet_bound.with_steps(network, schedule), reverse_variance(schedule)
    chances = equal_chances(schedule)
    with torch.no_grad():
        found = [
            bound(schedule, denoise, x_0, variance, generator=noise, chances=chances).elbo
            for _ in range(draws)
        ]
    return bits_per_dim(torch.stack(found).mean(0))
