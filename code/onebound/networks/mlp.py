"""The perceptrons of Kingma and Welling (2014), one hidden layer each way."""

from math import prod

from torch import nn

from onebound.checks import check_latents
from onebound.networks import inputs
from onebound.networks.inputs import SHAPE, Images, Latents, Shape


class MLPEncoder(nn.Module):
    """Images to the mean and log-variance of q(z|x)."""

    def __init__(self, latent_size: int = 20, hidden_size: int = 400, shape: Shape = SHAPE) -> None:
        super().__init__()
        inputs.check_built_for(shape, latent_size=latent_size, hidden_size=hidden_size)
        self.shape = shape
        self.net = nn.Sequential(
            nn.Flatten(),
            nn.Linear(prod(shape), hidden_size),
            nn.SiLU(),
            nn.Linear(hidden_size, 2 * latent_size),
        )

    def forward(self, x: Images) -> tuple[Latents, Latents]:
        """Return `mu` and `logvar`."""
        inputs.check_shape(x, self.shape)
        mu, logvar = self.net(inputs.own_type(x, self)).to(x.dtype).chunk(2, dim=1)
        return mu, logvar


class MLPDecoder(nn.Module):
    """Latents to one number a pixel and channel: as many channels as the likelihood takes."""

    def __init__(self, latent_size: int = 20, hidden_size: int = 400, shape: Shape = SHAPE) -> None:
        super().__init__()
        inputs.check_built_for(shape, latent_size=latent_size, hidden_size=hidden_size)
        self.latent_size = latent_size
        self.net = nn.Sequential(
            nn.Linear(latent_size, hidden_size),
            nn.SiLU(),
            nn.Linear(hidden_size, prod(shape)),
            nn.Unflatten(1, shape),
        )

    def forward(self, z: Latents) -> Images:
        """Return the parameters of a likelihood."""
        check_latents(z, self.latent_size)
        return self.net(inputs.own_type(z, self)).to(z.dtype)
