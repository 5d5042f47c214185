import math

import pytest
import torch

from onebound import baselines
from onebound.diffusion.bound import kl_prior
from onebound.diffusion.onestep import one_step
from onebound.evaluation.estimates import estimate
from onebound.likelihoods import discretised_logistic_logits, mean_level
from onebound.networks.mlp import MLPDecoder, MLPEncoder
from onebound.vae.model import VAE


def levels(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (n, 1, 28, 28), generator=generator, dtype=torch.uint8)


def constant(v_hat, raw):
    """A network that always gives the same two answers."""
    return lambda x_1, t: torch.cat([torch.full_like(x_1, v_hat), torch.full_like(x_1, raw)], 1)


def test_the_bound_of_one_step_has_the_divergence_and_the_mass_of_the_bin():
    x_0 = 2 * levels(3).double() / 255 - 1
    # With sigma of exp(-6 ...) the bins of inner levels take a density; here sigma is 1 at most.
    network = constant(0.0, 100.0)  # log-variance 0
    found = torch.stack(
        [
            baselines.one_step_bound(network, x_0, torch.Generator().manual_seed(seed))
            for seed in range(40)
        ]
    )
    generator = torch.Generator().manual_seed(99)
    normal = torch.distributions.Normal(0.0, 1.0)
    expected = torch.zeros(200, 3).double()
    for draw in expected:
        eps = torch.randn(x_0.shape, dtype=torch.float64, generator=generator)
        mean = 0.1 * x_0 + math.sqrt(0.1 * 0.9) * eps  # sqrt(alpha) x_1
        high = torch.where(x_0 == 1, torch.inf, x_0 + 1 / 255) - mean
        low = torch.where(x_0 == -1, -torch.inf, x_0 - 1 / 255) - mean
        draw += torch.log(normal.cdf(high) - normal.cdf(low)).flatten(1).sum(1)
    expected -= kl_prior(one_step(0.1), x_0)
    for i in range(3):
        a, b = estimate(found[:, i]), estimate(expected[:, i])
        stderr = math.hypot(a.stderr, b.stderr)
        assert stderr < 5
        assert abs(a.mean - b.mean) < 4 * stderr


def test_samples_of_one_step_have_the_moments_that_the_network_says():
    n = 400
    x = baselines.sample_one_step(constant(0.5, 100.0), n, torch.Generator().manual_seed(1))
    # x_1 is standard normal: mean -sqrt(0.9) / 2, variance 0.1 from x_1 and 1 from the decoder.
    count = x.numel()
    assert abs(x.mean() + 0.5 * math.sqrt(0.9)) < 4 * (1.1 / count) ** 0.5
    assert abs(x.var() / 1.1 - 1) < 4 * (2 / count) ** 0.5


def test_samples_of_the_vae_have_the_mean_that_the_likelihood_says():
    torch.manual_seed(0)
    model = VAE(MLPEncoder(2), MLPDecoder(2), baselines.LearnedScale())
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.zero_()  # every latent has the same answer, 0
        logits = discretised_logistic_logits(torch.zeros(1, 1, 28, 28), torch.tensor(-2.0))
    x = baselines.sample_logistic_vae(model, 120, torch.Generator().manual_seed(1))
    assert x.shape == (120, 1, 28, 28)
    found = estimate(x.flatten())
    assert found.stderr < 1e-3
    assert abs(found.mean - mean_level(logits).mean().item()) < 4 * found.stderr


@pytest.mark.parametrize("fit", [baselines.logistic_vae, baselines.one_step_decoder])
def test_training_gives_a_model_ready_for_use_its_size_and_its_time(fit):
    fitted = fit(levels(256))
    assert not fitted.model.training
    assert fitted.parameters == sum(p.numel() for p in fitted.model.parameters())
    assert fitted.seconds > 0


def test_refusals():
    for sample in (baselines.sample_one_step, baselines.sample_logistic_vae):
        with pytest.raises(ValueError, match="n must be"):
            sample(None, 0, torch.Generator())


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 56)])
def test_the_decoder_of_one_step_takes_any_images(shape):
    network = baselines.SmallDenoiser(4, 8, out=2, shape=shape)
    x_1 = torch.randn(2, *shape)
    assert network(x_1).shape == (2, 2 * shape[0], *shape[1:])
    assert network(x_1.double()).dtype == torch.float64
    x_0 = (2 * torch.randint(0, 256, (2, *shape)) / 255 - 1).float()
    assert baselines.one_step_bound(network, x_0).shape == (2,)
    drawn = baselines.sample_one_step(network, 3, torch.Generator().manual_seed(0), shape)
    assert drawn.shape == (3, *shape)
    with pytest.raises(ValueError, match="expected images of shape"):
        network(torch.randn(2, 1, 28, 28))
