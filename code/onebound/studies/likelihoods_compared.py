"""One VAE under eight likelihoods of grey levels: bits, nats of the code, and how it all looks."""

import math
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn

from onebound import likelihoods
from onebound.data.images import to_unit
from onebound.data.mnist import load_mnist, split_validation
from onebound.distributions import AnyShape, kl_normal_standard, log_prob_normal, sample_normal
from onebound.evaluation import quality
from onebound.evaluation.estimates import per_example
from onebound.likelihoods import Images, Logits, bits_per_dim
from onebound.networks.mlp import MLPDecoder, MLPEncoder
from onebound.training.run import train
from onebound.vae.model import VAE
from onebound.zoo import digits
from onebound.zoo.cards import load_model

SEEDS = (0, 1, 2, 3, 4)
SMOKE = {"epochs": 1, "limit": 300}


class CrossEntropy(nn.Module):
    """What is usually taught first; of grey levels the log of no probability."""

    density = False
    prepare = staticmethod(to_unit)  # from levels, uint8, to what the model is shown
    mean = staticmethod(torch.sigmoid)  # from what the decoder puts out to the mean of p(x|z)

    def forward(self, x: Tensor, logits: Tensor) -> Tensor:
        """Return the log-likelihood of each image (B,)."""
        return likelihoods.cross_entropy_grey(x, logits)

    def draw(self, logits: Tensor) -> Tensor:
        """Draw an image from p(x|z)."""
        return torch.bernoulli(torch.sigmoid(logits))


class Gaussian(nn.Module):
    """A Gaussian with one standard deviation for all pixels, given or learned."""

    density = True
    prepare = staticmethod(likelihoods.dequantise)
    mean = staticmethod(torch.sigmoid)

    def __init__(self, sigma: float | None = None) -> None:
        super().__init__()
        # Adam's steps all have about one size: a tenth of log sigma makes them count.
        tenth = torch.tensor(-0.1 if sigma is None else math.log(sigma) / 10)
        self.tenth = nn.Parameter(tenth, requires_grad=sigma is None)

    @property
    def log_sigma(self) -> Tensor:
        """The logarithm of the standard deviation."""
        return 10 * self.tenth

    def forward(self, y: Tensor, logits: Tensor) -> Tensor:
        """Return the log-density of each image (B,)."""
        return log_prob_normal(y, torch.sigmoid(logits), 2 * self.log_sigma)

    def draw(self, logits: Tensor) -> Tensor:
        """Draw an image from p(x|z)."""
        return torch.sigmoid(logits) + self.log_sigma.exp() * torch.randn_like(logits)


class SquaredError(Gaussian):
    """Minus the summed squared error of grey levels: sigma^2 = 1/2, less a constant."""

    prepare = staticmethod(to_unit)  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__(math.sqrt(0.5))

    def forward(self, x: Tensor, logits: Tensor) -> Tensor:
        """Return minus the squared error of each image (B,)."""
        return -((x - torch.sigmoid(logits)) ** 2).flatten(1).sum(1)


def sample_continuous_bernoulli(logits: AnyShape, generator: Generator | None = None) -> AnyShape:
    """Draw continuous Bernoulli pixels in [0, 1] (`[eq-continuous-bernoulli-sample]`)."""
    u = torch.rand(logits.shape, dtype=logits.dtype, device=logits.device, generator=generator)
    size = logits.abs()
    below = -torch.log1p(u * torch.expm1(-size)) / size  # the draw for -|l|, the mirror of |l|'s
    return torch.where(logits == 0, u, torch.where(logits < 0, below, 1 - below))


class ContinuousBernoulli(nn.Module):
    """The cross-entropy, normalised."""

    density = True
    prepare = staticmethod(likelihoods.dequantise)
    mean = staticmethod(likelihoods.continuous_bernoulli_mean)
    draw = staticmethod(sample_continuous_bernoulli)

    def forward(self, y: Tensor, logits: Tensor) -> Tensor:
        """Return the log-density of each image (B,)."""
        return likelihoods.log_prob_continuous_bernoulli(y, logits)


def mean_level(logits: Logits) -> Images:
    """Mean of k / 255 for grey levels k with these logits (`[eq-categorical]`)."""
    levels = torch.arange(256, dtype=logits.dtype, device=logits.device) / 255
    return torch.einsum("bkchw,k->bchw", logits.unflatten(1, (256, -1)).softmax(1), levels)


def sample_level(logits: Logits, generator: Generator | None = None) -> Images:
    """Draw a grey level k / 255 for each pixel (`[eq-categorical]`)."""
    # Without the last one, which is 1 up to rounding.
    cumulative = logits.unflatten(1, (256, -1)).softmax(1).cumsum(1)[:, :-1]
    u = torch.rand(cumulative[:, :1].shape, device=logits.device, generator=generator)
    # Not >: u may be 0, and a level without probability is never drawn.
    return (u >= cumulative).sum(1) / 255


class DiscretisedLogistic(nn.Module):
    """A logistic integrated over the bins, whose scale is a parameter."""

    density = False
    prepare = staticmethod(to_unit)

    def __init__(self) -> None:
        super().__init__()
        self.tenth = nn.Parameter(torch.tensor(-0.2))

    @property
    def log_scale(self) -> Tensor:
        """The logarithm of the scale."""
        return 10 * self.tenth

    def forward(self, x: Tensor, centre: Tensor) -> Tensor:
        """Return the log-probability of each image (B,)."""
        return likelihoods.log_prob_discretised_logistic(x, centre, self.log_scale)

    def mean(self, centre: Tensor) -> Tensor:
        """Return the mean of p(x|z)."""
        return mean_level(likelihoods.discretised_logistic_logits(centre, self.log_scale))

    def draw(self, centre: Tensor) -> Tensor:
        """Draw an image from p(x|z)."""
        return sample_level(likelihoods.discretised_logistic_logits(centre, self.log_scale))


class Categorical(nn.Module):
    """256 logits a pixel."""

    density = False
    prepare = staticmethod(to_unit)
    mean = staticmethod(mean_level)
    draw = staticmethod(sample_level)

    def forward(self, x: Tensor, logits: Tensor) -> Tensor:
        """Return the log-probability of each image (B,)."""
        return likelihoods.log_prob_categorical(x, logits)


class LevelDecoder(nn.Module):
    """Latents to 256 logits a pixel, by way of 8 features a pixel."""

    def __init__(self, latent_size: int = 20, features: int = 8) -> None:
        super().__init__()
        self.latent_size = latent_size
        self.features = nn.Sequential(MLPDecoder(latent_size, shape=(features, 28, 28)), nn.SiLU())
        self.to_logits = nn.Conv2d(features, 256, 1)

    def forward(self, z: Tensor) -> Tensor:
        """Return logits (B, 256, 28, 28)."""
        return self.to_logits(self.features(z))


def some_pixels(decoder: Any, x: Tensor, z: Tensor, pixels: Tensor) -> Tensor:
    """Log-probability of images estimated from some pixels, scaled up to all (B,)."""
    features = decoder.features(z).flatten(2)[..., pixels, None]
    logits = decoder.to_logits(features)[..., 0].float()
    levels = (255 * x).round().long().flatten(1)[:, pixels]
    costs = nn.functional.cross_entropy(logits, levels, reduction="none")
    return -784 / len(pixels) * costs.sum(1)


def sampled_loss(model: VAE, x: Tensor) -> Tensor:
    """Minus the bound of each image, estimated from 49 of its pixels (B,)."""
    mu, logvar = model.encode(x)
    log_prob = some_pixels(model.decoder, x, sample_normal(mu, logvar), torch.randperm(784)[:49])
    return kl_normal_standard(mu, logvar) - log_prob


LIKELIHOODS: dict[str, Any] = {
    "squared error": SquaredError,
    "Gaussian, σ = 0.3": lambda: Gaussian(0.3),
    "Gaussian, learned σ": Gaussian,
    "Gaussian, σ = 0.05": lambda: Gaussian(0.05),
    "cross-entropy": CrossEntropy,
    "continuous Bernoulli": ContinuousBernoulli,
    "discretised logistic": DiscretisedLogistic,
    "categorical": Categorical,
}
SETTINGS: dict[str, dict[str, Any]] = {
    name: {"likelihood": name, "epochs": 3 if name == "categorical" else 4} for name in LIKELIHOODS
}


def fit(likelihood: str, epochs: int, seed: int = 0, limit: int | None = None) -> VAE:
    """Train the VAE of "A VAE on MNIST" under a likelihood, which is its `log_prob`."""
    torch.manual_seed(seed)
    images, _ = split_validation(load_mnist().train_images)
    levels = likelihood == "categorical"
    log_prob = LIKELIHOODS[likelihood]()
    model = VAE(MLPEncoder(20), LevelDecoder() if levels else MLPDecoder(20), log_prob)

    def loss(batch: Tensor) -> Tensor:
        x = log_prob.prepare(batch)
        return sampled_loss(model, x) if levels else -model.bound(x).elbo

    recipe: dict[str, Any] = {"batch_size": 128 if levels else 256, "learning_rate": 5e-3}
    list(train(model, loss, images[:limit], epochs=epochs, seed=seed, **recipe))
    return model.eval()


class Terms(NamedTuple):
    """Both terms of the bound of each image, nats; of a density, of its logarithm."""

    log_likelihood: Tensor
    kl: Tensor


def terms(model: VAE, images: Tensor) -> Terms:
    """Return both terms, with noise from one seed for every model."""
    likelihood: Any = model.log_prob
    torch.manual_seed(1)
    both = lambda part: torch.stack(model.bound(likelihood.prepare(part)), 1)  # noqa: E731
    return Terms(*per_example(both, images, 50).unbind(1))


def bits(model: VAE, images: Tensor) -> tuple[Tensor, Tensor]:
    """Bits per dimension of each image, and nats of its code.

    The squared error is scored as the Gaussian that it is.
    """
    scored = model
    if isinstance(model.log_prob, SquaredError):
        scored = VAE(model.encoder, model.decoder, Gaussian(math.sqrt(0.5)))
    log_likelihood, kl = terms(scored, images)
    elbo = log_likelihood - kl
    likelihood: Any = model.log_prob
    if likelihood.density:
        elbo = likelihoods.density_to_levels(elbo)
    return bits_per_dim(elbo), kl


@torch.no_grad()
def means_and_draws(model: VAE, z: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of p(x|z) and a draw from it; a few at a time, as some need room."""
    likelihood: Any = model.log_prob
    parts = []
    for part in z.split(25):
        answer = model.decode(part)
        parts.append((likelihood.mean(answer), likelihood.draw(answer)))
    means, draws = zip(*parts, strict=True)
    return torch.cat(means), torch.cat(draws)


@torch.no_grad()
def codes(model: VAE, images: Tensor) -> Tensor:
    """Return posterior means of grey levels."""
    likelihood: Any = model.log_prob
    return model.encode(likelihood.prepare(images))[0]


def run(seed: int, likelihood: str, epochs: int, limit: int | None = None) -> dict[str, float]:
    """Train under one likelihood.

    The result: of the test images (for the categorical every fifth) the "bits" per dimension and
    the nats of the code ("kl"); of the first 1,200 the "sharpness" of the mean pictures divided by
    their own; for 500 codes from the prior the sharpness of means and of draws, and the shares that
    the zoo's classifier recognises. (Cross-entropy has no bits: there the number is what the
    formula gives.)
    """
    model = fit(likelihood, epochs, seed, limit)
    test = load_mnist().test_images[:limit]
    every = test[:: 5 if likelihood == "categorical" else 1]
    subset = test[:1200]
    shown = means_and_draws(model, codes(model, subset))[0]
    relative = quality.sharpness(shown) / quality.sharpness(to_unit(subset))
    torch.manual_seed(6)
    means, draws = means_and_draws(model, torch.randn(500 if limit is None else 20, 20))
    classifier, _ = load_model(digits)
    spent, kl = bits(model, every)
    known = {
        name: quality.recognised(classifier, x).float().mean().item()
        for name, x in {"recognised_means": means, "recognised_draws": draws}.items()
    }
    return known | {
        "bits": spent.mean().item(),
        "kl": kl.mean().item(),
        "sharpness": relative.mean().item(),
        "sharpness_means": quality.sharpness(means).mean().item(),
        "sharpness_draws": quality.sharpness(draws).mean().item(),
    }
