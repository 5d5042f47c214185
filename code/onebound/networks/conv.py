"""Convolutional encoder and decoder: residual blocks at half and a quarter of height and width.

`width` is the number of channels at half; at a quarter there are `growth` times as many.
"""

from torch import nn

from onebound.checks import check_latents
from onebound.networks import inputs
from onebound.networks.inputs import SHAPE, Images, Latents, Shape


class Residual(nn.Module):
    """x + f(x), f two 3 x 3 convolutions of equal width; at the start of training f is 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first = nn.Conv2d(width, width, 3, padding=1)
        second = nn.Conv2d(width, width, 3, padding=1)
        for parameter in second.parameters():
            nn.init.zeros_(parameter)
        self.f = nn.Sequential(nn.SiLU(), first, nn.SiLU(), second)

    def forward(self, x: Images) -> Images:
        """Return x + f(x)."""
        return x + self.f(x)


class ConvEncoder(nn.Module):
    """Images to the mean and log-variance of q(z|x)."""

    def __init__(
        self, latent_size: int = 20, width: int = 12, growth: int = 2, shape: Shape = SHAPE
    ) -> None:
        super().__init__()
        inputs.check_built_for(shape, latent_size=latent_size, width=width, growth=growth)
        self.shape, deep, places = shape, growth * width, shape[1] * shape[2] // 16
        self.net = nn.Sequential(
            nn.PixelUnshuffle(2),  # each 2 x 2 patch becomes channels: half of height and width
            nn.Conv2d(4 * shape[0], width, 3, padding=1),
            Residual(width),
            nn.SiLU(),
            nn.Conv2d(width, deep, 2, stride=2),  # a quarter
            Residual(deep),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(places * deep, 2 * latent_size),
        )

    def forward(self, x: Images) -> tuple[Latents, Latents]:
        """Return `mu` and `logvar`."""
        inputs.check_shape(x, self.shape)
        mu, logvar = self.net(inputs.own_type(x, self)).to(x.dtype).chunk(2, dim=1)
        return mu, logvar


class ConvDecoder(nn.Module):
    """Latents to one number a pixel and channel: the encoder mirrored."""

    def __init__(
        self, latent_size: int = 20, width: int = 12, growth: int = 2, shape: Shape = SHAPE
    ) -> None:
        super().__init__()
        inputs.check_built_for(shape, latent_size=latent_size, width=width, growth=growth)
        self.latent_size, deep = latent_size, growth * width
        channels, height, across = shape[0], shape[1] // 4, shape[2] // 4
        self.net = nn.Sequential(
            nn.Linear(latent_size, height * across * deep),
            nn.Unflatten(1, (deep, height, across)),
            Residual(deep),
            nn.SiLU(),
            nn.Conv2d(deep, 4 * width, 1),
            nn.PixelShuffle(2),  # every 4 channels become a 2 x 2 patch: half of height and width
            Residual(width),
            nn.SiLU(),
            nn.Conv2d(width, 4 * channels, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, z: Latents) -> Images:
        """Return the parameters of a likelihood."""
        check_latents(z, self.latent_size)
        return self.net(inputs.own_type(z, self)).to(z.dtype)
