"""Convolutional encoder and decoder: residual blocks at 14 x 14 and 7 x 7 pixels.

`width` is the number of channels at 14 x 14; at 7 x 7 there are `growth` times as many.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from onebound.checks import check_positive


class Residual(nn.Module):
    """x + f(x), f two 3 x 3 convolutions of equal width; at the start of training f is 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first = nn.Conv2d(width, width, 3, padding=1)
        second = nn.Conv2d(width, width, 3, padding=1)
        for parameter in second.parameters():
            nn.init.zeros_(parameter)
        self.f = nn.Sequential(nn.SiLU(), first, nn.SiLU(), second)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, H, W) to the same shape."""
        return x + self.f(x)


def residuals(width: int, blocks: int) -> Sequence[nn.Module]:
    """Return `blocks` residual blocks and the activation that closes them."""
    return [*(Residual(width) for _ in range(blocks)), nn.SiLU()]


class ConvEncoder(nn.Module):
    """Images (B, 1, 28, 28) to the mean and log-variance of q(z|x), each (B, latent_size)."""

    def __init__(
        self, latent_size: int = 20, width: int = 12, blocks: int = 1, growth: int = 2
    ) -> None:
        super().__init__()
        check_positive("latent_size", latent_size)
        check_positive("width", width)
        check_positive("blocks", blocks)
        check_positive("growth", growth)
        deep = growth * width
        self.net = nn.Sequential(
            nn.PixelUnshuffle(2),  # each 2 x 2 patch becomes 4 channels: 14 x 14
            nn.Conv2d(4, width, 3, padding=1),
            *residuals(width, blocks),
            nn.Conv2d(width, deep, 2, stride=2),  # 7 x 7
            *residuals(deep, blocks),
            nn.Flatten(),
            nn.Linear(49 * deep, 2 * latent_size),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return `mu` and `logvar`."""
        mu, logvar = self.net(x).chunk(2, dim=1)
        return mu, logvar


class ConvDecoder(nn.Module):
    """Latents (B, latent_size) to one number a pixel, (B, 1, 28, 28): the encoder mirrored."""

    def __init__(
        self, latent_size: int = 20, width: int = 12, blocks: int = 1, growth: int = 2
    ) -> None:
        super().__init__()
        check_positive("latent_size", latent_size)
        check_positive("width", width)
        check_positive("blocks", blocks)
        check_positive("growth", growth)
        deep = growth * width
        self.latent_size = latent_size
        self.net = nn.Sequential(
            nn.Linear(latent_size, 49 * deep),
            nn.Unflatten(1, (deep, 7, 7)),
            *residuals(deep, blocks),
            nn.Conv2d(deep, 4 * width, 1),
            nn.PixelShuffle(2),  # every 4 channels become a 2 x 2 patch: 14 x 14
            *residuals(width, blocks),
            nn.Conv2d(width, 4, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Return logits."""
        return self.net(z)
