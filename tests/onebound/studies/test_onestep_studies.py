import pytest
import torch

from onebound.evaluation.estimates import estimate
from onebound.likelihoods import discretised_logistic_logits
from onebound.networks.mlp import MLPDecoder, MLPEncoder
from onebound.studies.likelihoods_compared import mean_level
from onebound.studies.onestep_decoders import (
    LearnedScale,
    logistic_vae,
    one_step_decoder,
    sample_logistic_vae,
)
from onebound.vae.model import VAE


def levels(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (n, 1, 28, 28), generator=generator, dtype=torch.uint8)


def test_samples_of_the_vae_have_the_mean_that_the_likelihood_says():
    torch.manual_seed(0)
    model = VAE(MLPEncoder(2), MLPDecoder(2), LearnedScale())
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.zero_()  # every latent has the same answer, 0
        logits = discretised_logistic_logits(torch.zeros(1, 1, 28, 28), torch.tensor(-2.0))
    x = sample_logistic_vae(model, 120, torch.Generator().manual_seed(1))
    assert x.shape == (120, 1, 28, 28)
    found = estimate(x.flatten())
    assert found.stderr < 1e-3
    assert abs(found.mean - mean_level(logits).mean().item()) < 4 * found.stderr


@pytest.mark.parametrize("fit", [logistic_vae, one_step_decoder])
def test_training_gives_a_model_ready_for_use_its_size_and_its_time(fit):
    fitted = fit(levels(256))
    assert not fitted.model.training
    assert fitted.parameters == sum(p.numel() for p in fitted.model.parameters())
    assert fitted.seconds > 0


def test_refusals():
    with pytest.raises(ValueError, match="n must be"):
        sample_logistic_vae(None, 0, torch.Generator())
