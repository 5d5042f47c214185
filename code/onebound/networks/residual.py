"""A perceptron for the codes of images, in the place that a U-Net has for the images."""

import torch.nn.functional as F
from torch import Tensor, nn

from onebound.checks import check_latents, check_positive, check_times
from onebound.networks import inputs
from onebound.networks.inputs import Latents, Steps, waves


class ResidualMLP(nn.Module):
    """Noisy codes and their steps, 1 to T, to a vector like the code: blocks of two layers.

    Each block brings the hidden vector to mean 0 and variance 1, and is told the step by a scale
    and a shift for each of its `width` numbers. At the start of training it is the identity, and
    the network's answer is 0. He et al. (2016); Perez et al. (2018) for scale and shift.
    """

    features: Tensor

    def __init__(self, T: int, latent_size: int, width: int = 256, blocks: int = 3) -> None:
        super().__init__()
        check_positive(T=T, latent_size=latent_size, width=width, blocks=blocks)
        self.T, self.latent_size = T, latent_size
        self.register_buffer("features", waves(T, 64), persistent=False)
        self.time = nn.Sequential(nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2 * width * blocks))
        self.stem = nn.Linear(latent_size, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(blocks)
        )
        self.head = nn.Linear(width, latent_size)
        for layer in (*(block[3] for block in self.blocks), self.head):  # type: ignore[index]
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, z_t: Latents, t: Steps) -> Latents:
        """Return the prediction for each number of the code."""
        check_latents(z_t, self.latent_size)
        check_times(t, self.T, z_t)
        h = self.stem(inputs.own_type(z_t, self))
        told = self.time(self.features[t]).unflatten(1, (len(self.blocks), 2, -1))
        for i, block in enumerate(self.blocks):
            scale, shift = told[:, i].unbind(1)
            h = h + block(F.layer_norm(h, h.shape[1:]) * (1 + scale) + shift)
        return self.head(F.silu(F.layer_norm(h, h.shape[1:]))).to(z_t.dtype)
