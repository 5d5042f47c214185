import pytest
import torch
from torch import nn

from common import Watch
from onebound.checks import trusting
from onebound.distributions import log_prob_normal
from onebound.networks.conv import ConvDecoder, ConvEncoder
from onebound.networks.mlp import MLPDecoder, MLPEncoder
from onebound.training.run import train
from onebound.vae.importance import importance_weighted_bound
from onebound.vae.model import VAE, Decoder

NETWORKS = [(MLPEncoder, MLPDecoder), (ConvEncoder, ConvDecoder)]


@pytest.fixture
def binary():
    return torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(1)).round()


def small_vae(encoder, decoder, seed=0):
    torch.manual_seed(seed)
    return VAE(encoder(latent_size=3), decoder(latent_size=3))


class LinearDecoder(nn.Module):
    """x = 1/2 + W z + noise; the columns of W are orthogonal, so the posterior is diagonal."""

    latent_size = 2
    noise = 0.02

    def __init__(self):
        super().__init__()
        g = torch.Generator().manual_seed(2)
        basis = torch.linalg.qr(torch.randn(784, 2, dtype=torch.float64, generator=g)).Q
        self.W = basis * torch.tensor([0.3, 0.6], dtype=torch.float64)

    def forward(self, z):
        return (0.5 + z @ self.W.T).reshape(-1, 1, 28, 28)

    def log_prob(self, x, mean):
        return log_prob_normal(x, mean, torch.full_like(x, self.noise).log() * 2)


class LinearEncoder(nn.Module):
    """The exact posterior of `LinearDecoder`, moved by `shift`."""

    def __init__(self, decoder, shift=0.0):
        super().__init__()
        self.decoder, self.shift = decoder, shift

    def forward(self, x):
        W, noise = self.decoder.W, self.decoder.noise
        precision = 1 + (W**2).sum(0) / noise**2
        mu = (x.flatten(1) - 0.5) @ W / noise**2 / precision
        return mu + self.shift, -precision.log().expand_as(mu)


@pytest.fixture
def linear():
    """The decoder, images drawn from it, and log p(x) of the images in closed form."""
    decoder = LinearDecoder()
    g = torch.Generator().manual_seed(3)
    z = torch.randn(4, 2, dtype=torch.float64, generator=g)
    x = decoder(z)
    x = x + decoder.noise * torch.randn(x.shape, dtype=torch.float64, generator=g)
    cov = decoder.W @ decoder.W.T + decoder.noise**2 * torch.eye(784, dtype=torch.float64)
    marginal = torch.distributions.MultivariateNormal(torch.full((784,), 0.5).double(), cov)
    assert 0 <= x.min() <= x.max() <= 1
    return decoder, x, marginal.log_prob(x.flatten(1))


@pytest.mark.equation("eq-elbo-gap", "eq-elbo-estimate")
def test_with_the_exact_posterior_the_bound_is_log_p(linear):
    decoder, x, log_p = linear
    vae = VAE(LinearEncoder(decoder), decoder, decoder.log_prob)
    draws = vae.bound(x.repeat(5000, 1, 1, 1), torch.Generator().manual_seed(4)).elbo
    draws = draws.reshape(5000, 4)
    stderr = draws.std(0) / 5000**0.5
    assert (stderr < 0.05).all()
    assert ((draws.mean(0) - log_p).abs() < 4 * stderr).all()


@pytest.mark.equation("eq-elbo-gap", "eq-elbo-two-terms", "eq-elbo-estimate")
def test_with_another_posterior_the_gap_is_the_kl_to_the_exact_one(linear):
    decoder, x, log_p = linear
    vae = VAE(LinearEncoder(decoder, shift=0.05), decoder, decoder.log_prob)
    draws = vae.bound(x.repeat(5000, 1, 1, 1), torch.Generator().manual_seed(5)).elbo
    draws = draws.reshape(5000, 4)
    precision = 1 + (decoder.W**2).sum(0) / decoder.noise**2
    gap = 0.5 * (0.05**2 * precision).sum()  # equal variances, means 0.05 apart
    stderr = draws.std(0) / 5000**0.5
    assert gap > 10 * stderr.max()
    assert ((log_p - draws.mean(0) - gap).abs() < 4 * stderr).all()


@pytest.mark.equation("eq-vae-weights")
def test_with_the_exact_posterior_every_weight_is_p(linear):
    decoder, x, log_p = linear
    vae = VAE(LinearEncoder(decoder), decoder, decoder.log_prob)
    log_w = vae.log_weights(x, 7, torch.Generator().manual_seed(6))
    torch.testing.assert_close(log_w, log_p[:, None].expand(4, 7))


@pytest.mark.equation("eq-importance-weights", "eq-vae-weights")
def test_with_another_posterior_the_weights_average_to_p(linear):
    decoder, x, log_p = linear
    vae = VAE(LinearEncoder(decoder, shift=0.01), decoder, decoder.log_prob)
    w = torch.exp(vae.log_weights(x, 20_000, torch.Generator().manual_seed(7)) - log_p[:, None])
    stderr = w.std(1) / 20_000**0.5
    assert (stderr < 0.02).all()
    assert ((w.mean(1) - 1).abs() < 4 * stderr).all()
    assert (w.log().mean(1) < -0.05).all()


@pytest.mark.parametrize(("encoder", "decoder"), NETWORKS)
def test_shapes_and_finite_values(encoder, decoder, binary):
    vae = small_vae(encoder, decoder)
    mu, logvar = vae.encode(binary)
    assert mu.shape == logvar.shape == (8, 3)
    assert vae.decode(mu).shape == binary.shape
    assert vae.sample(5).shape == (5, 1, 28, 28)
    bound = vae.bound(binary)
    assert bound.log_likelihood.shape == bound.kl.shape == bound.elbo.shape == (8,)
    assert (bound.kl >= 0).all()
    assert (bound.log_likelihood <= 0).all()
    torch.testing.assert_close(bound.elbo, bound.log_likelihood - bound.kl)


@pytest.mark.parametrize(("encoder", "decoder"), NETWORKS)
def test_every_parameter_gets_a_gradient(encoder, decoder, binary):
    vae = small_vae(encoder, decoder)
    # One step first: a residual block starts as the identity, and its inner layer without gradient.
    list(train(vae, lambda x: -vae.bound(x).elbo, binary, epochs=1, batch_size=8))
    vae.zero_grad()
    (-vae.bound(binary).elbo.mean()).backward()
    for name, parameter in vae.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(("encoder", "decoder"), NETWORKS)
def test_an_image_is_bounded_alone_as_in_a_batch(encoder, decoder, binary):
    vae = small_vae(encoder, decoder).eval()
    torch.testing.assert_close(vae.encode(binary)[0][:1], vae.encode(binary[:1])[0])
    z = torch.randn(4, 3)
    torch.testing.assert_close(vae.decode(z)[:1], vae.decode(z[:1]))


@pytest.mark.parametrize(("encoder", "decoder"), NETWORKS)
def test_it_learns_one_batch_by_heart(encoder, decoder, binary):
    vae = small_vae(encoder, decoder)
    start = vae.bound(binary).elbo.mean().item()
    options = {"epochs": 200, "batch_size": 8, "learning_rate": 1e-2}
    epochs = train(vae, lambda x: -vae.bound(x).elbo, binary, **options)
    end = -list(epochs)[-1].loss
    assert start < -500
    assert end > -150


def test_one_seed_one_model():
    x = torch.rand(64, 1, 28, 28).round()

    def losses():
        vae = small_vae(MLPEncoder, MLPDecoder)
        return [
            e.loss for e in train(vae, lambda b: -vae.bound(b).elbo, x, epochs=2, batch_size=16)
        ]

    assert losses() == losses()


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 56)], ids=str)
@pytest.mark.parametrize(("encoder", "decoder"), NETWORKS)
def test_any_images_train_sample_and_have_a_bound(encoder, decoder, shape):
    torch.manual_seed(0)
    vae = VAE(encoder(latent_size=3, shape=shape), decoder(latent_size=3, shape=shape))
    x = torch.zeros(8, *shape)
    x[:4] = 1
    start = vae.bound(x).elbo.mean()
    list(train(vae, lambda b: -vae.bound(b).elbo, x, epochs=10, batch_size=8))
    assert vae.bound(x).elbo.mean() > start
    assert vae.sample(2).shape == (2, *shape)
    assert importance_weighted_bound(vae, x, 3).shape == (8,)


def test_no_float64_and_no_read_once_the_first_batch_is_checked(binary):
    vae = small_vae(MLPEncoder, MLPDecoder)
    with trusting(), Watch() as watch:
        (-vae.bound(binary).elbo.mean()).backward()
        vae.sample(3)
    watch.nothing()


def test_a_sample_has_the_type_and_the_device_of_the_decoder():
    vae = small_vae(MLPEncoder, MLPDecoder).double()
    assert vae.sample(2).dtype == torch.float64
    with trusting():  # nothing can be read from this device
        assert vae.to("meta").sample(2).device.type == "meta"
    torch.manual_seed(0)
    assert VAE(MLPEncoder(2), decoder_without_weights).sample(2).dtype == torch.float32


def decoder_without_weights(z):
    return z[:, :1, None, None].expand(-1, 1, 28, 28)


decoder_without_weights.latent_size = 2


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 1, 28, 28, dtype=torch.uint8), "uint8.*to_unit"),
        (torch.zeros(2, 1, 28, 28, dtype=torch.float16), "float16"),
        (torch.full((2, 1, 28, 28), 1.5), "from 1.5 to 1.5"),
        (torch.full((2, 1, 28, 28), torch.nan), "nan"),
        (torch.zeros(2, 784), r"shape \(2, 784\)"),
        (torch.zeros(0, 1, 28, 28), r"shape \(0, 1, 28, 28\)"),
    ],
)
def test_bad_images_are_refused_and_named(x, message):
    with pytest.raises(ValueError, match=message):
        small_vae(MLPEncoder, MLPDecoder).bound(x)


@pytest.mark.parametrize(
    ("z", "message"),
    [
        (torch.zeros(2, 4), r"\(B, 3\), got shape \(2, 4\)"),
        (torch.zeros(3), r"got shape \(3,\)"),
        (torch.zeros(2, 3, dtype=torch.int64), "int64"),
        (torch.full((2, 3), torch.inf), "finite"),
    ],
)
def test_bad_latents_are_refused_and_named(z, message):
    with pytest.raises(ValueError, match=message):
        small_vae(MLPEncoder, MLPDecoder).decode(z)


@pytest.mark.parametrize("size", [0, -1, 2.5, True])
@pytest.mark.parametrize("network", [n for pair in NETWORKS for n in pair])
def test_a_latent_size_below_one_is_refused(network, size):
    with pytest.raises(ValueError, match=f"latent_size must be .* got {size}"):
        network(latent_size=size)


def test_samples_are_the_decoders_answers_and_keep_no_graph():
    vae, seed = small_vae(MLPEncoder, MLPDecoder), torch.Generator()
    answers = vae.sample(2, seed.manual_seed(1))
    z = torch.randn(2, 3, generator=seed.manual_seed(1))
    torch.testing.assert_close(answers, vae.decode(z))
    assert not answers.requires_grad


def test_encoding_alone_refuses_what_leaves_the_range():
    with pytest.raises(ValueError, match=r"images in \[0, 1\], got values from 1.5"):
        small_vae(MLPEncoder, MLPDecoder).encode(torch.full((1, 1, 28, 28), 1.5))


def test_no_weights_are_refused(binary):
    with pytest.raises(ValueError, match="k must be a whole number of at least 1, got 0"):
        small_vae(MLPEncoder, MLPDecoder).log_weights(binary, 0)


def test_sampling_no_images_is_refused():
    with pytest.raises(ValueError, match="n must be"):
        small_vae(MLPEncoder, MLPDecoder).sample(0)


def test_a_decoder_says_how_large_its_latents_are():
    assert isinstance(MLPDecoder(2, hidden_size=8), Decoder)
    assert not isinstance(torch.nn.Identity(), Decoder)
