"""The multilayer perceptrons of Kingma and Welling (2014): one hidden layer each way."""

from torch import Tensor, nn

from onebound.checks import check_positive


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
