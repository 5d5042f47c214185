"""Convolutional encoder and decoder: residual blocks at half and a quarter of height and width.

`width` is the number of channels at half; at a quarter there are `growth` times as many.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from onebound.checks import check_latents
from onebound.networks.inputs import (
    SHAPE,
    Shape,
    check_built_for,
    check_shape,
    check_sizes,
    own_type,
)


class Residual(nn.Module):
    """x + f(x), f two 3 x 3 convolutions of equal width; at the start of training f is 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first = nn.Conv2d(width, width, 3, padding=1)
        second = nn.Conv2d(width, width, 3, padding=1)
        for parameter in second.parameters():
            nn.init.zeros_(parameter)
        self.f = nn.Sequential(nn.SiLU(), first, nn.SiLU(), second)

    def forward(self, x: Float[Tensor, "B width H W"]) -> Float[Tensor, "B width H W"]:
        """Return x + f(x)."""
        return x + self.f(x)


def residuals(width: int, blocks: int) -> Sequence[nn.Module]:
    """Return `blocks` residual blocks and the activation that closes them."""
    return [*(Residual(width) for _ in range(blocks)), nn.SiLU()]


class ConvEncoder(nn.Module):
    """Images to the mean and log-variance of q(z|x)."""

    def __init__(
        self,
        latent_size: int = 20,
        width: int = 12,
        blocks: int = 1,
        growth: int = 2,
        shape: Shape = SHAPE,
    ) -> None:
        super().__init__()
        check_sizes(latent_size=latent_size, width=width, blocks=blocks, growth=growth)
        check_built_for(shape)
        self.shape, deep, places = shape, growth * width, shape[1] * shape[2] // 16
        self.net = nn.Sequential(
            nn.PixelUnshuffle(2),  # each 2 x 2 patch becomes channels: half of height and width
            nn.Conv2d(4 * shape[0], width, 3, padding=1),
            *residuals(width, blocks),
            nn.Conv2d(width, deep, 2, stride=2),  # a quarter
            *residuals(deep, blocks),
            nn.Flatten(),
            nn.Linear(places * deep, 2 * latent_size),
        )

    def forward(
        self, x: Float[Tensor, "B C H W"]
    ) -> tuple[Float[Tensor, "B L"], Float[Tensor, "B L"]]:
        """Return `mu` and `logvar`."""
        check_shape(x, self.shape)
        mu, logvar = self.net(own_type(x, self)).to(x.dtype).chunk(2, dim=1)
        return mu, logvar


class ConvDecoder(nn.Module):
    """Latents to one number a pixel and channel: the encoder mirrored."""

    def __init__(
        self,
        latent_size: int = 20,
        width: int = 12,
        blocks: int = 1,
        growth: int = 2,
        shape: Shape = SHAPE,
    ) -> None:
        super().__init__()
        check_sizes(latent_size=latent_size, width=width, blocks=blocks, growth=growth)
        check_built_for(shape)
        self.latent_size, deep = latent_size, growth * width
        channels, height, across = shape[0], shape[1] // 4, shape[2] // 4
        self.net = nn.Sequential(
            nn.Linear(latent_size, height * across * deep),
            nn.Unflatten(1, (deep, height, across)),
            *residuals(deep, blocks),
            nn.Conv2d(deep, 4 * width, 1),
            nn.PixelShuffle(2),  # every 4 channels become a 2 x 2 patch: half of height and width
            *residuals(width, blocks),
            nn.Conv2d(width, 4 * channels, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, z: Float[Tensor, "B L"]) -> Float[Tensor, "B C H W"]:
        """Return the parameters of a likelihood."""
        check_latents(z, self.latent_size)
        return self.net(own_type(z, self)).to(z.dtype)
