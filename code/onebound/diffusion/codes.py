"""A diffusion model of a VAE's codes, in the place of the VAE's prior.

Codes z ~ q(z|x) of data are not distributed as the prior N(0, I) if the divergence from it has a
small weight in training. A diffusion model learns how they are distributed. It draws codes, and the
decoder makes images of them. `unit` codes are those that it sees: shifted and scaled, so that each
number has mean 0 and variance 1 over the data.
"""

from copy import deepcopy

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from onebound.checks import check_positive
from onebound.diffusion.denoisers import Denoiser, denoiser, even_steps, respaced
from onebound.diffusion.loss import denoising_loss, stratified_t
from onebound.diffusion.process import x_0_from_v
from onebound.diffusion.samplers import ddim, last
from onebound.diffusion.schedules import Schedule
from onebound.distributions import noise_like, sample_normal
from onebound.vae.model import VAE

Codes = Float[Tensor, "B L"]


class CodeModel(nn.Module):
    """p(z) from a diffusion model of the codes, p(x|z) from a VAE's decoder.

    The VAE is trained before the network, which maps unit codes with noise and steps to v_hat. A
    copy of it, `earlier`, is for the weights of an earlier time of its training, which may guide
    it. Vahdat, Kreis and Kautz (2021); Rombach et al. (2022).
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, vae: VAE, network: nn.Module, schedule: Schedule) -> None:
        super().__init__()
        self.vae, self.network, self.schedule = vae, network, schedule
        self.earlier = deepcopy(network)
        self.register_buffer("shift", torch.zeros(vae.decoder.latent_size))
        self.register_buffer("scale", torch.ones(vae.decoder.latent_size))

    @torch.no_grad()
    def encode_all(self, images: Float[Tensor, "N C H W"]) -> tuple[Codes, Codes]:
        """Mean and log-variance of q(z|x) for data in [0, 1], setting the units by them.

        The variance of a code over data is the variance of its means and the mean of its variances.
        """
        parts = [torch.stack(self.vae.encode(x), dim=1) for x in images.split(1000)]
        mu, logvar = torch.cat(parts).unbind(1)
        self.shift.copy_(mu.mean(0))
        self.scale.copy_((mu.var(0, correction=0) + logvar.exp().mean(0)).sqrt())
        return mu, logvar

    def to_unit(self, z: Codes) -> Codes:
        """Shift and scale codes to mean 0 and variance 1 over the data."""
        return (z - self.shift) / self.scale

    def from_unit(self, c: Codes) -> Codes:
        """Undo `to_unit`."""
        return self.shift + self.scale * c

    def loss(
        self, mu: Codes, logvar: Codes, generator: Generator | None = None
    ) -> Float[Tensor, "B"]:
        """Squared error of v_hat, a mean over the code, at a draw from q(z|x) and a random step."""
        c = self.to_unit(sample_normal(mu, logvar, generator))
        t = stratified_t(len(c), self.schedule.T, generator).to(c.device)
        weight = (self.schedule.snr + 1) / c.shape[1]
        denoise = self.denoiser(self.network)
        return denoising_loss(self.schedule, denoise, c, noise_like(c, generator), t, weight)

    def denoiser(self, network: nn.Module) -> Denoiser:
        """Read the guess of a unit code off a network of this model's steps."""
        return denoiser(self.schedule, network, x_0_from_v)

    @torch.no_grad()
    def draw(
        self, denoise: Denoiser, n: int, steps: int = 50, generator: Generator | None = None
    ) -> Codes:
        """Draw n codes by DDIM without noise, in even steps; ``vae.decode`` makes p(x|z) of them.

        `denoise` is `denoiser` of `network`, or what guides it.
        """
        check_positive(n=n)
        coarse, denoise = respaced(self.schedule, denoise, even_steps(self.schedule.T, steps))
        noise = torch.randn(n, len(self.shift), generator=generator).to(self.shift)
        return self.from_unit(last(ddim(coarse, denoise, noise, eta=0.0)))
