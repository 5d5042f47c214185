"""The loss of flow matching against that of `torchcfm`, which is installed into its own folder."""

import pytest
import torch
from test_agreement_with_diffusers import answer
from test_samplers import normal

from onebound.diffusion.flows import (
    flow_matching_loss,
    optimal_pairing,
    straight_scale,
    straight_schedule,
)

# Of what torchcfm asks for, its flow matching needs an exact solver of transport only.
PACKAGES = ["torchcfm==1.0.7", "pot==0.9.6", "scipy", "--no-deps"]
THEIRS = """
import json, sys
import torch
from torchcfm.conditional_flow_matching import ConditionalFlowMatcher
from torchcfm.optimal_transport import OTPlanSampler

images, noise, shares = (torch.tensor(json.loads(text)) for text in sys.argv[1:])
# They go from noise at 0 to images at 1.
_, x, velocity = ConditionalFlowMatcher(sigma=0.0).sample_location_and_conditional_flow(
    noise, images, t=1 - shares
)
loss = (torch.tanh(0.9 * x) - velocity).square().sum(1)
plan = torch.as_tensor(OTPlanSampler("exact").get_map(images, noise))
print(json.dumps({"loss": loss.tolist(), "partner": plan.argmax(1).tolist()}))
"""
T, N = 20, 40


@pytest.fixture(scope="module")
def batch():
    t = torch.arange(N) % T + 1
    return normal(N, 3, seed=1).float(), normal(N, 3, seed=2).float(), t


@pytest.fixture(scope="module")
def theirs(batch):
    x_0, eps, t = batch
    return answer(PACKAGES, THEIRS, x_0.tolist(), eps.tolist(), (t / T).tolist())


@pytest.mark.slow
@pytest.mark.equation("eq-flow-matching")
def test_the_loss_is_that_of_torchcfm(theirs, batch):
    schedule = straight_schedule(T)
    scale = straight_scale(schedule).float()

    def velocity(x_t, t):  # theirs leads the other way
        return -torch.tanh(0.9 * x_t / scale[t][:, None])

    ours = flow_matching_loss(schedule, velocity, *batch)
    torch.testing.assert_close(ours, torch.tensor(theirs["loss"]), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_the_best_pairing_is_that_of_torchcfm(theirs, batch):
    x_0, eps, _ = batch
    assert optimal_pairing(x_0, eps).tolist() == theirs["partner"]
