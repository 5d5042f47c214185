"""The variational autoencoder: a prior, a decoder, an encoder, one bound."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor, nn

from onebound.checks import check_images, check_latents, check_positive
from onebound.distributions import kl_normal_standard, log_prob_normal, sample_normal
from onebound.likelihoods import log_prob_bernoulli


class Bound(NamedTuple):
    """The two terms of the evidence lower bound, each in nats per image, shape (B,).

    `log_likelihood` is a one-sample estimate of E_q[log p(x|z)]; `kl` is exact.
    """

    log_likelihood: Tensor
    kl: Tensor

    @property
    def elbo(self) -> Tensor:
        """The bound itself, shape (B,) (`[eq-elbo-two-terms]`)."""
        return self.log_likelihood - self.kl


@runtime_checkable
class Decoder(Protocol):
    """Maps latents (B, latent_size) to the parameters of a likelihood."""

    latent_size: int

    def __call__(self, z: Tensor, /) -> Tensor:
        """Return the parameters, first axis B."""


class VAE(nn.Module):
    """p(z) = N(0, I), p(x|z) from the decoder, q(z|x) = N(mu(x), diag(sigma(x)^2)).

    Parameters
    ----------
    encoder
        Maps images (B, 1, 28, 28) to mu and logvar, each (B, L).
    decoder
        Maps latents (B, L) to the parameters of the likelihood; its `latent_size` is L.
    log_prob
        log p(x|z) of images given what the decoder puts out, shape (B,).

    References
    ----------
    Kingma and Welling (2014).
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: Decoder,
        log_prob: Callable[[Tensor, Tensor], Tensor] = log_prob_bernoulli,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.log_prob = log_prob

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each (B, L), for images x in [0, 1].

        Raises
        ------
        ValueError
            If `x` is not floating point, not (B, 1, 28, 28), holds NaN or leaves [0, 1].
        """
        check_images(x, 0, 1)
        mu, logvar = self.encoder(x)
        return mu.to(x.dtype), logvar.to(x.dtype)  # a network may answer in bfloat16

    def decode(self, z: Tensor) -> Tensor:
        """Parameters of p(x|z) for latents z of shape (B, L).

        Raises
        ------
        ValueError
            If `z` is not floating point, not (B, L), or not finite.
        """
        check_latents(z, self.decoder.latent_size)
        return self.decoder(z).to(z.dtype)

    def bound(self, x: Tensor, generator: Generator | None = None) -> Bound:
        """One-sample estimate of the evidence lower bound of each image (`[eq-elbo-estimate]`).

        Parameters
        ----------
        x
            Images in [0, 1], shape (B, 1, 28, 28); the likelihood may ask for {0, 1}.
        generator
            Source of the noise; None takes torch's global one.

        Returns
        -------
        Bound
            Both terms, nats per image.

        Raises
        ------
        ValueError
            As `encode` and the likelihood.
        """
        mu, logvar = self.encode(x)
        z = sample_normal(mu, logvar, generator)
        return Bound(self.log_prob(x, self.decode(z)), kl_normal_standard(mu, logvar))

    def log_weights(self, x: Tensor, k: int, generator: Generator | None = None) -> Tensor:
        """Log importance weights log p(x, z) - log q(z|x) of k draws z ~ q (`[eq-vae-weights]`).

        `log_mean_exp` of them estimates log p(x), and is a lower bound on it in
        the mean: for k = 1 the evidence lower bound, for larger k a tighter one.

        Parameters
        ----------
        x
            Images in [0, 1], shape (B, 1, 28, 28); the likelihood may ask for {0, 1}.
        k
            Draws for each image; all B * k pass the decoder at once.
        generator
            Source of the noise; None takes torch's global one.

        Returns
        -------
        Tensor
            Nats, shape (B, k).

        Raises
        ------
        ValueError
            If `k` is below 1, and as `encode` and the likelihood.

        References
        ----------
        Burda, Grosse and Salakhutdinov (2016).
        """
        check_positive("k", k)
        mu, logvar = (parameter.repeat_interleave(k, 0) for parameter in self.encode(x))
        z = sample_normal(mu, logvar, generator)
        zero = z.new_zeros(())
        log_joint = self.log_prob(x.repeat_interleave(k, 0), self.decode(z))
        log_joint = log_joint + log_prob_normal(z, zero, zero)
        return (log_joint - log_prob_normal(z, mu, logvar)).unflatten(0, (len(x), k))

    @torch.no_grad()
    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Likelihood parameters of `n` draws z ~ N(0, I): the decoder's answer, not yet an image.

        Raises
        ------
        ValueError
            If `n` is below 1.
        """
        check_positive("n", n)
        z = torch.randn(n, self.decoder.latent_size, generator=generator)
        return self.decode(z)
