"""The variational autoencoder: a prior, a decoder, an encoder, one bound.

Images x are in [0, 1], of any shape (C, H, W) that the networks take, H and W multiples of 4; the
likelihood may ask for {0, 1}. Wrong shapes, types and values are a ValueError. A `generator` is the
source of the noise; None takes torch's global one.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from onebound.checks import check_images, check_latents, check_positive
from onebound.distributions import kl_normal_standard, log_prob_normal, noise_like, sample_normal
from onebound.likelihoods import log_prob_bernoulli
from onebound.networks.inputs import Images, Latents

Gaussian = tuple[Latents, Latents]  # mean and log-variance, for each image
LogProb = Callable[[Tensor, Tensor], Tensor]


class Bound(NamedTuple):
    """The two terms of the evidence lower bound, each in nats per image."""

    log_likelihood: Float[Tensor, "B"]  # one draw's estimate of E_q[log p(x|z)]
    kl: Float[Tensor, "B"]  # exact

    @property
    def elbo(self) -> Float[Tensor, "B"]:
        """The bound itself (`[eq-elbo-two-terms]`)."""
        return self.log_likelihood - self.kl


@runtime_checkable
class Decoder(Protocol):
    """Maps latents (B, latent_size) to the parameters of a likelihood, first axis B."""

    latent_size: int

    def __call__(self, z: Latents, /) -> Float[Tensor, "B ..."]:
        """Return the parameters."""


class VAE(nn.Module):
    """p(z) = N(0, I), p(x|z) from the decoder, q(z|x) = N(mu(x), diag(sigma(x)^2)).

    `log_prob(x, parameters)` is log p(x|z) of images given what the decoder puts out, shape (B,).
    Kingma and Welling (2014).
    """

    def __init__(
        self, encoder: nn.Module, decoder: Decoder, log_prob: LogProb = log_prob_bernoulli
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.log_prob = encoder, decoder, log_prob

    def encode(self, x: Images) -> Gaussian:
        """Mean and log-variance of q(z|x)."""
        check_images(x, 0, 1)
        mu, logvar = self.encoder(x)
        return mu.to(x.dtype), logvar.to(x.dtype)  # a network may answer in bfloat16

    def decode(self, z: Latents) -> Float[Tensor, "B ..."]:
        """Parameters of p(x|z)."""
        check_latents(z, self.decoder.latent_size)
        return self.decoder(z).to(z.dtype)

    def bound(self, x: Images, generator: Generator | None = None) -> Bound:
        """Estimate the evidence lower bound of each image by one draw (`[eq-elbo-estimate]`)."""
        mu, logvar = self.encode(x)
        z = sample_normal(mu, logvar, generator)
        return Bound(self.log_prob(x, self.decode(z)), kl_normal_standard(mu, logvar))

    def log_weights(
        self, x: Images, k: int, generator: Generator | None = None, q: Gaussian | None = None
    ) -> Float[Tensor, "B {k}"]:
        """Log importance weights log p(x, z) - log q(z|x) of k draws z ~ q (`[eq-vae-weights]`).

        Their `log_mean_exp` is in the mean a lower bound on log p(x) in nats: for k = 1 the
        evidence lower bound, for larger k a tighter one. `q` takes the place of the encoder's
        answer. All B * k pass the decoder at once. Burda, Grosse and Salakhutdinov (2016).
        """
        check_positive(k=k)
        mu, logvar = (parameter.repeat_interleave(k, 0) for parameter in q or self.encode(x))
        z = sample_normal(mu, logvar, generator)
        zero = z.new_zeros(())
        log_joint = self.log_prob(x.repeat_interleave(k, 0), self.decode(z))
        log_joint = log_joint + log_prob_normal(z, zero, zero)
        return (log_joint - log_prob_normal(z, mu, logvar)).unflatten(0, (len(x), k))

    @torch.no_grad()
    def sample(self, n: int, generator: Generator | None = None) -> Float[Tensor, "{n} ..."]:
        """Likelihood parameters of `n` draws z ~ N(0, I): the decoder's answer, not yet an image.

        The draws have the device and the type of the decoder's parameters.
        """
        check_positive(n=n)
        weights = self.decoder.parameters() if isinstance(self.decoder, nn.Module) else iter(())
        like = next(weights, torch.empty(()))
        z = noise_like(like.new_empty(n, self.decoder.latent_size), generator)
        return self.decode(z)
