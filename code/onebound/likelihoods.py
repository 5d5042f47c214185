"""Likelihoods p(x|z) of images, as functions of what a decoder puts out.

Each `log_prob_*` returns nats per image: the sum over pixels, never the mean. The Gaussian
likelihood is `onebound.distributions.log_prob_normal`. A logit, a mean, the log of a scale or of a
variance may be any real number; means and scales have shapes that broadcast to that of the images.
Three kinds of pixel occur, and each function takes one: bits, 0 or 1; a grey level k from 0 to 255,
stored as x = k / 255 (or 2 k / 255 - 1 where a diffusion model asks); and a dequantised level
y = (k + u) / 256 with u in [0, 1), which has a density. Other pixels, types and shapes are a
ValueError. 256 logits a pixel are 256 C channels, those of level 0 for all channels first.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Generator, Tensor

from onebound import checks
from onebound.data.images import PIXELS
from onebound.distributions import AnyShape, Broadcast, Nats

Images = Float[Tensor, "B C H W"]
Logits = Float[Tensor, "B levels H W"]


def log_prob_bernoulli(x: Images, logits: Images) -> Nats:
    """Log-probability of bits under independent Bernoulli pixels (`[eq-bernoulli]`)."""
    checks.check_binary(x)
    return cross_entropy_grey(x, logits)


def cross_entropy_grey(x: Images, logits: Images) -> Nats:
    """Minus the binary cross-entropy between grey levels in [0, 1] and pixel probabilities.

    On grey levels the formula of `log_prob_bernoulli` is the log of no probability, but its mean
    over images binarised with the levels as probabilities (`[eq-grey-cross-entropy]`).
    """
    checks.check_images(x, 0, 1)
    checks.check_same_shape(images=x, logits=logits)
    # x log pi + (1 - x) log(1 - pi) with pi = sigmoid(logits), and no overflow for any logit.
    return (x * logits - F.softplus(logits)).flatten(1).sum(1)


def log_prob_continuous_bernoulli(y: Images, logits: Images) -> Nats:
    """Log-density of images in [0, 1] under independent continuous Bernoulli pixels.

    It is `cross_entropy_grey`, normalised (`[eq-continuous-bernoulli]`). Only of dequantised images
    it bounds the probability of grey levels. Loaiza-Ganem and Cunningham (2019).
    """
    checks.check_images(y, 0, 1)
    checks.check_same_shape(images=y, logits=logits)
    return (y * logits - continuous_bernoulli_log_normaliser(logits)).flatten(1).sum(1)


def continuous_bernoulli_log_normaliser(logits: AnyShape) -> AnyShape:
    """Log of the integral of exp(l y) over y in [0, 1], log((exp(l) - 1) / l), for each logit l.

    See `[eq-continuous-bernoulli-normaliser]`, and `[eq-continuous-bernoulli-series]` near l = 0.
    """
    small, size = _split_at_zero(logits)
    # Near 0 the closed form is 0 / 0, and its derivative a difference of two large numbers.
    series = logits / 2 + logits**2 / 24 - logits**4 / 2880 + logits**6 / 181440
    # exp(l) - 1 overflows for large l; with max(l, 0) taken out of the log nothing does.
    closed = F.relu(logits) + torch.log(-torch.expm1(-size) / size)
    return torch.where(small, series, closed)


def continuous_bernoulli_mean(logits: AnyShape) -> AnyShape:
    """Mean of a continuous Bernoulli pixel (`[eq-continuous-bernoulli-mean]`): not the sigmoid."""
    small, size = _split_at_zero(logits)
    series = 0.5 + logits / 12 - logits**3 / 720 + logits**5 / 30240
    below = 1 / size - 1 / torch.expm1(size)  # the mean for -|l|; that for |l| is its mirror image
    return torch.where(small, series, torch.where(logits < 0, below, 1 - below))


def _split_at_zero(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Say where a series takes over, and give |logits| with 1 there, safe to divide by."""
    # At 0.1 the terms left out are about 1e-15 of the normaliser and 1e-13 of the mean, and the
    # closed form loses two digits at most.
    small = logits.abs() < 0.1
    return small, torch.where(small, 1.0, logits).abs()


def dequantise(images: UInt8[Tensor, "*shape"], generator: Generator | None = None) -> AnyShape:
    """Spread grey level k evenly over [k / 256, (k + 1) / 256] (`[eq-dequantisation]`).

    Without a generator, by torch's global one. Uria, Murray and Larochelle (2013).
    """
    checks.need(images.dtype == torch.uint8, f"expected levels as torch.uint8, got {images.dtype}")
    u = torch.rand(images.shape, device=images.device, generator=generator)
    return (images + u) / 256


def density_to_levels(log_density: AnyShape, dims: int = PIXELS) -> AnyShape:
    """Turn a log-density of dequantised images into a bound on the log-probability of levels.

    Subtracts log 256 for each of `dims` pixels, the change of variables from y to 256 y
    (`[eq-dequantisation]`). Its mean over the noise is a lower bound.
    """
    return log_density - dims * math.log(256)


def log_prob_discretised_logistic(x: Images, mean: Broadcast, log_scale: Broadcast) -> Nats:
    """Log-probability of grey levels under logistic pixels, each bin integrated exactly.

    Level k takes the mass between k / 256 and (k + 1) / 256, on the axis of the mean and the scale;
    level 0 also all below, 255 all above (`[eq-discretised-logistic]`). Salimans et al. (2017).
    """
    return _logistic_bin(_levels(x), mean, log_scale).flatten(1).sum(1)


def discretised_logistic_logits(mean: Broadcast, log_scale: Broadcast) -> Logits:
    """Log-probabilities of all levels (`[eq-discretised-logistic]`), for `log_prob_categorical`."""
    mean, log_scale = (part.unsqueeze(-4) for part in torch.broadcast_tensors(mean, log_scale))
    k = torch.arange(256, device=mean.device).reshape(256, 1, 1, 1)
    return _logistic_bin(k, mean, log_scale).flatten(-4, -3)


def _logistic_bin(k: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Log of the mass in bin k, element by element (`[eq-logistic-product]`)."""
    scale = torch.exp(log_scale)
    low, high = (k / 256 - mean) / scale, ((k + 1) / 256 - mean) / scale
    # sigmoid(high) - sigmoid(low) loses its digits in the tails. Written as a product it does not:
    # sigmoid(high) * sigmoid(-low) * (1 - exp(low - high)). An open bin keeps one factor of these.
    below_high = torch.where(k < 255, F.logsigmoid(high), 0.0)
    above_low = torch.where(k > 0, F.logsigmoid(-low), 0.0)
    width = torch.log(-torch.expm1(-1 / (256 * scale)))
    return below_high + above_low + torch.where((k > 0) & (k < 255), width, 0.0)


def log_prob_discretised_normal(x: Images, mean: Broadcast, logvar: Broadcast) -> Nats:
    """Log-probability of grey levels under normal pixels, each bin integrated exactly.

    Level k takes the mass within 1 / 255 of x = 2 k / 255 - 1, level 0 also all below, and 255 all
    above: `[eq-one-step-decoder]`, `[eq-discretised-normal]`; Ho et al. (2020), equation 13.
    """
    k = _levels(x, low=-1)
    scale = torch.exp(-0.5 * logvar)
    centre, half = (x - mean) * scale, scale / 255
    # The mass between two points is the same as between their mirror images. Take the pair below
    # zero: there the log keeps its digits, and far above it would be 0 for both.
    # In a narrow bin these two are nearly equal, and the density is the better way. Each way gets
    # harmless numbers where the other is taken: what overflows there would spoil the gradient.
    narrow = half * (1 + centre.abs()) < 1e-2
    reach = torch.where(narrow, 1.0, half)
    upper = _log_cdf(reach - centre.abs())
    lower = _log_cdf(-reach - centre.abs())
    wide = upper + torch.log(-torch.expm1(lower - upper))
    flat = _log_narrow_mass(torch.where(narrow, centre, 0.0), torch.where(narrow, half, 1.0))
    closed = torch.where(narrow, flat, wide)
    below, above = _log_cdf(half + centre), _log_cdf(half - centre)
    log_mass = torch.where(k == 0, below, torch.where(k == 255, above, closed))
    return log_mass.flatten(1).sum(1)


def _log_cdf(z: Tensor) -> Tensor:
    """Log of the mass of N(0, 1) below z: `torch.special.log_ndtr`, with a gradient that holds."""
    # Torch's gradient contains exp(-z^2 / 2 - log_ndtr(z)), and far below zero the difference loses
    # its digits: in float32 it is 4 % off at -1,000, six times too large at -10,000, then 0 or inf.
    tail = torch.log(torch.special.erfcx(z.abs() / math.sqrt(2)) / 2) - z**2 / 2
    return torch.where(z > -100, torch.special.log_ndtr(z.clamp(min=-100)), tail)


def _log_narrow_mass(centre: Tensor, half: Tensor) -> Tensor:
    """Log of the mass of N(0, 1) within `half` of `centre`: density times width, and its bend."""
    # The Taylor series of the density, integrated; the next term is (half * centre)^6 / 5040.
    c, h = centre**2, half**2
    bend = h * (c - 1) / 6 + h**2 * (c**2 - 6 * c + 3) / 120
    return torch.log(2 * half) - 0.5 * (c + math.log(2 * math.pi)) + torch.log1p(bend)


def log_prob_categorical(x: Images, logits: Logits) -> Nats:
    """Log-probability of grey levels, each with a logit of its own (`[eq-categorical]`)."""
    k = _levels(x).long()
    needed, got = (len(x), 256 * x.shape[1], *x.shape[2:]), tuple(logits.shape)
    checks.need(got == needed, f"images {tuple(x.shape)} need logits {needed}, got {got}")
    per_level = logits.unflatten(1, (256, -1))
    return -F.cross_entropy(per_level, k, reduction="none").flatten(1).sum(1)


def _levels(x: Tensor, low: int = 0) -> Tensor:
    """Grey levels of images in [low, 1], low 0 or -1, refused if they lie between two levels."""
    checks.check_images(x, low, 1)
    k = 255 * (x.detach() - low) / (1 - low)
    whole = k.round()
    if checks.trusted():
        return whole
    off = x[(k - whole).abs() > 1e-2]
    if len(off):
        raise ValueError(
            f"expected pixels {'2 k / 255 - 1' if low else 'k / 255'} with whole k, got "
            f"{off[0]:g}: a grey level has a probability, a dequantised or altered one has not"
        )
    return whole


def bits_per_dim(nats: AnyShape, dims: int = PIXELS) -> AnyShape:
    """Bits that a code for the model spends on each of `dims` dimensions (`[eq-bits-per-dim]`).

    `nats` are of a log-probability of discrete data, or of a lower bound on it. A log-density is
    not one: `density_to_levels` comes first.
    """
    checks.check_positive(dims=dims)
    return -nats / (dims * math.log(2))
