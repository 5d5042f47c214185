"""Networks of any images, trained as the zoo trains its own: steps, samples, reads."""

import pytest
import torch

from common import Watch
from onebound.diffusion.denoisers import denoiser
from onebound.diffusion.process import x_0_from_v
from onebound.networks.shufflenet import ShuffleUNet
from onebound.networks.unet import UNet
from onebound.training.optimisers import adam
from onebound.zoo import unet_small
from onebound.zoo._unets import COSINE, draw, fit, for_samples

COLOURED = (3, 16, 16)
WIDE = (1, 12, 24)


@pytest.mark.parametrize("shape", [COLOURED, WIDE])
@pytest.mark.parametrize("make", [UNet, ShuffleUNet])
def test_a_network_of_any_images_learns_and_draws(make, shape):
    torch.manual_seed(0)
    sizes = {"width": 4} | ({"deep_width": 16, "pairs": 1} if make is UNet else {})
    network = make(1000, **sizes, shape=shape)
    levels, y = torch.randint(0, 256, (64, *shape), dtype=torch.uint8), torch.zeros(64).long()
    levels[:, :, : shape[1] // 2] //= 8  # dark above
    objective = for_samples(unet_small.RECIPE, shape)
    options = {"epochs": 6, "batch_size": 16, "learning_rate": 0.01, "optimiser": adam}
    (first, _), *_, (last, _) = fit(network, objective, levels, y, **options)
    assert last.loss < 0.8 * first.loss
    assert last.steps == 24
    images = draw(COSINE, denoiser(COSINE, network.eval(), x_0_from_v), 3, 5, shape=shape)
    assert images.shape == (3, *shape)
    assert images.isfinite().all()


@pytest.mark.parametrize("untold", [None, 0.1])
def test_a_training_step_makes_no_float64_and_reads_nothing_back(untold):
    network = UNet(1000, width=4, deep_width=16, pairs=1, levels=1, classes=10)
    levels, y = torch.randint(0, 256, (100, 1, 28, 28), dtype=torch.uint8), torch.zeros(100).long()
    objective = for_samples({"tilt": 2.0, "untold": untold})
    options = {"epochs": 2, "batch_size": 10, "learning_rate": 0.02}
    epochs = fit(network, objective, levels, y, **options)
    next(epochs)
    with Watch() as watch:
        next(epochs)
    assert not watch.doubles
    assert len(watch.reads) <= 3  # a look, and the loss for the state and for the record
