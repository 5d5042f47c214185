"""How the importance-weighted bound of the stored VAE grows with the draws."""

from typing import Any

import torch
from torch import Generator, Tensor

from onebound.data.images import static_binarisation
from onebound.data.mnist import load_mnist
from onebound.vae.importance import effective_sample_size, log_mean_exp_of_groups
from onebound.vae.model import VAE
from onebound.zoo import vae_conv
from onebound.zoo.cards import load_model

SETTINGS: dict[str, dict[str, Any]] = {"stored model": {}}
SEEDS = (0, 1, 2, 3, 4)
SMOKE = {"images": 2}
SIZES = (1, 5, 10, 50, 100, 500, 1000, 5000)


@torch.no_grad()
def weights_of(model: VAE, image: Tensor, noise: Generator) -> Tensor:
    """5,000 log-weights of one image, float64, 100 at a time."""
    parts = [model.log_weights(image[None], 100, noise)[0] for _ in range(SIZES[-1] // 100)]
    return torch.cat(parts).double()


def run(seed: int, images: int = 24) -> dict[str, Any]:
    """Weigh 5,000 draws for each of some test images, picked at random.

    The result: the places of the images ("chosen"), for each one the bound with as many draws as
    `SIZES` says ("curves", nats), and the effective sample size of all its draws ("ess").
    """
    model, _ = load_model(vae_conv)
    test = static_binarisation(load_mnist().test_images)
    chosen = torch.randperm(len(test), generator=Generator().manual_seed(0)).split(images)[seed]
    noise = Generator().manual_seed(seed)
    log_w = torch.stack([weights_of(model, image, noise) for image in test[chosen]])
    curves = torch.stack([log_mean_exp_of_groups(log_w, k) for k in SIZES], 1)
    return {
        "chosen": chosen.tolist(),
        "curves": curves.tolist(),
        "ess": effective_sample_size(log_w).tolist(),
    }
