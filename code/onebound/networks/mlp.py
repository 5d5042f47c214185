"""The perceptrons of Kingma and Welling (2014), one hidden layer each way, and one for codes."""

import torch.nn.functional as F
from torch import Tensor, nn

from onebound.checks import check_latents, check_positive, check_times
from onebound.networks.time import waves


class MLPEncoder(nn.Module):
    """Images (B, 1, 28, 28) to the mean and log-variance of q(z|x), each (B, latent_size)."""

    def __init__(self, latent_size: int = 20, hidden_size: int = 400) -> None:
        super().__init__()
        check_positive("latent_size", latent_size)
        check_positive("hidden_size", hidden_size)
        self.net = nn.Sequential(
            nn.Flatten(),
            nn.Linear(784, hidden_size),
            nn.SiLU(),
            nn.Linear(hidden_size, 2 * latent_size),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return `mu` and `logvar`."""
        mu, logvar = self.net(x).chunk(2, dim=1)
        return mu, logvar


class MLPDecoder(nn.Module):
    """Latents (B, latent_size) to `channels` numbers a pixel, (B, channels, 28, 28)."""

    def __init__(self, latent_size: int = 20, hidden_size: int = 400, channels: int = 1) -> None:
        super().__init__()
        check_positive("latent_size", latent_size)
        check_positive("hidden_size", hidden_size)
        check_positive("channels", channels)
        self.latent_size = latent_size
        self.net = nn.Sequential(
            nn.Linear(latent_size, hidden_size),
            nn.SiLU(),
            nn.Linear(hidden_size, channels * 784),
            nn.Unflatten(1, (channels, 28, 28)),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Return the parameters of a likelihood."""
        return self.net(z)


class ResidualMLP(nn.Module):
    """Noisy codes (B, L) and steps t (B,) to a vector like the code: residual blocks of two layers.

    Each block brings the hidden vector to mean 0 and variance 1, and is told the step by a scale
    and a shift for each of its numbers. At the start of training it is the identity, and the
    network's answer is 0.

    Parameters
    ----------
    T
        Number of steps; t is in 1..T.
    latent_size, width, blocks
        Numbers in a code and in the hidden vector, and how many blocks.

    References
    ----------
    He et al. (2016); Perez et al. (2018) for scale and shift.
    """

    features: Tensor

    def __init__(self, T: int, latent_size: int, width: int = 256, blocks: int = 3) -> None:
        super().__init__()
        check_positive("T", T)
        check_positive("latent_size", latent_size)
        check_positive("width", width)
        check_positive("blocks", blocks)
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

    def forward(self, z_t: Tensor, t: Tensor) -> Tensor:
        """Return the prediction for each number of the code, in the type of `z_t`.

        Raises
        ------
        ValueError
            If `z_t` is not a batch of codes, or `t` not a step from 1 to T for each.
        """
        check_latents(z_t, self.latent_size)
        check_times(t, self.T, z_t)
        h = self.stem(z_t)
        told = self.time(self.features[t]).chunk(2 * len(self.blocks), dim=1)
        for block, scale, shift in zip(self.blocks, told[::2], told[1::2], strict=True):
            h = h + block(F.layer_norm(h, h.shape[1:]) * (1 + scale) + shift)
        return self.head(F.silu(F.layer_norm(h, h.shape[1:]))).to(z_t.dtype)
