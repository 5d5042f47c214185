"""A diffusion model of codes: its units, its loss, and what it draws where all of it is known."""

import pytest
import torch
from torch import nn

from onebound.diffusion.codes import CodeModel
from onebound.diffusion.loss import denoising_loss
from onebound.diffusion.process import v_from_x_0
from onebound.diffusion.schedules import cosine_schedule
from onebound.exact.gaussian import GaussianData
from onebound.networks.mlp import MLPDecoder, MLPEncoder
from onebound.networks.residual import ResidualMLP
from onebound.vae.model import VAE
from onebound.zoo import latent
from onebound.zoo.cards import load_model

SIZE, T = 3, 400


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def model():
    torch.manual_seed(0)
    vae = VAE(MLPEncoder(SIZE, 8), MLPDecoder(SIZE, 8))
    return CodeModel(vae, ResidualMLP(T, SIZE, width=8, blocks=2), cosine_schedule(T))


@pytest.fixture
def images():
    return torch.rand(3000, 1, 28, 28, generator=seeded(1))


@pytest.fixture
def codes():
    """Codes of three numbers from a normal distribution far from the prior."""
    root = torch.randn(SIZE, SIZE, dtype=torch.float64, generator=seeded(2))
    mean = torch.tensor([3.0, -1.0, 0.5], dtype=torch.float64)
    return GaussianData(mean, root @ root.T + 0.1 * torch.eye(SIZE, dtype=torch.float64))


def test_unit_codes_have_mean_0_and_variance_1_over_the_data(model, images):
    mu, logvar = model.encode_all(images)
    n = 200  # draws of each code
    eps = torch.randn(n, *mu.shape, generator=seeded(3))
    unit = model.to_unit((mu + torch.exp(logvar / 2) * eps).flatten(0, 1))
    # Over the draws only: the means and variances of q(z|x) are those that set the units.
    assert unit.mean(0).abs().max() < 4 / len(unit) ** 0.5
    assert (unit.var(0) - 1).abs().max() < 4 * (2 / len(unit)) ** 0.5


def test_units_are_undone(model, images):
    model.encode_all(images[:100])
    z = torch.randn(5, SIZE, generator=seeded(3))
    assert not torch.allclose(model.to_unit(z), z)
    torch.testing.assert_close(model.from_unit(model.to_unit(z)), z)


def test_encoding_leaves_the_bound_of_the_vae_as_it_was(model, images):
    binary = images[:10].round()
    before = model.vae.bound(binary, seeded(4))
    model.encode_all(images)
    after = model.vae.bound(binary, seeded(4))
    assert torch.equal(before.elbo, after.elbo)


def test_the_loss_is_the_mean_squared_error_of_v(model):
    # An untrained network answers 0, so the error is v itself, whose mean square is alpha_bar times
    # that of the noise and 1 - alpha_bar times that of the code: 1 for unit codes.
    mu, logvar = torch.zeros(20_000, SIZE), torch.zeros(20_000, SIZE)
    loss = model.loss(mu, logvar, seeded(5))
    assert loss.shape == (20_000,)
    stderr = loss.std().item() / len(loss) ** 0.5
    assert stderr < 0.01
    assert loss.mean().item() == pytest.approx(1, abs=4 * stderr)


def test_codes_are_data_of_any_range_and_have_to_be_finite():
    schedule, t = cosine_schedule(T), torch.tensor([1, T])
    z = torch.tensor([[5.0, -7.0], [0.0, 2.0]])
    loss = denoising_loss(schedule, lambda x_t, t: z + 2, z, z, t, schedule.snr)
    torch.testing.assert_close(loss, (8 * schedule.snr[t]).float())
    for bad in (z / 0, z.long()):
        with pytest.raises(ValueError, match="floating-point latents"):
            denoising_loss(schedule, lambda x_t, t: x_t, bad, z, t, schedule.snr)


def test_with_the_exact_denoiser_codes_have_the_moments_of_the_data(model, codes):
    model.double()
    model.shift.copy_(codes.mean)
    model.scale.copy_(codes.covariance.diagonal().sqrt())
    outer = model.scale[:, None] * model.scale
    unit = GaussianData(torch.zeros(SIZE).double(), codes.covariance / outer)
    exact = unit.denoiser(model.schedule)

    class Exact(nn.Module):
        def forward(self, x_t, t):
            return v_from_x_0(model.schedule, x_t, exact(x_t, t), t)

    n = 20_000
    z = model.draw(model.denoiser(Exact()), n, steps=T, generator=seeded(6))
    spread = codes.covariance.diagonal().sqrt()
    assert ((z.mean(0) - codes.mean).abs() < 4 * spread / n**0.5).all()
    # Standard error of a covariance is at most sqrt(2 / n) of the spreads; steps add 1 %.
    error = (torch.cov(z.T) - codes.covariance).abs() / (spread[:, None] * spread)
    assert error.max() < 4 * (2 / n) ** 0.5 + 0.01


def test_draws_are_the_same_each_time_and_decode_to_images(model):
    denoise = model.denoiser(model.network)
    one, same = (model.draw(denoise, 4, 5, seeded(7)) for _ in range(2))
    assert torch.equal(one, same)
    assert model.vae.decode(one).shape == (4, 1, 28, 28)


def test_the_network_starts_at_0_and_then_depends_on_code_and_step():
    torch.manual_seed(0)
    network = ResidualMLP(T, SIZE, width=8, blocks=2)
    z, t = torch.randn(2, SIZE), torch.tensor([3, 300])
    assert torch.equal(network(z, t), torch.zeros(2, SIZE))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    answer = network(z, t)
    assert not torch.allclose(network(z, t.flip(0)), answer)
    assert not torch.allclose(network(z + 1, t), answer)
    answer.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_the_network_refuses_what_is_no_code_and_no_step():
    network = ResidualMLP(T, SIZE)
    t = torch.tensor([1, 2])
    with pytest.raises(ValueError, match=r"latents of shape \(B, 3\)"):
        network(torch.zeros(2, 4), t)
    with pytest.raises(ValueError, match="steps t from 1 to 400"):
        network(torch.zeros(2, SIZE), t - 1)


def test_draws_scatter_around_the_means_as_the_likelihood_says():
    model, _ = load_model(latent)
    drawn, means = latent.images_of(model, 100)
    error = (drawn - means)[means.abs() < 0.8] / 2  # images are in [-1, 1] here; none is cut
    assert len(error) > 3000
    assert error.std().item() == pytest.approx(
        latent.SIGMA, abs=4 * latent.SIGMA / (2 * len(error)) ** 0.5
    )
    log_prob = latent.log_prob((drawn + 1) / 2, (means + 1) / 2)
    again = torch.distributions.Normal((means + 1) / 2, latent.SIGMA).log_prob((drawn + 1) / 2)
    torch.testing.assert_close(log_prob, again.flatten(1).sum(1))
