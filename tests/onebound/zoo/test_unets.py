"""What the U-Nets of the zoo share, and the one that takes labels."""

import pytest
import torch

from onebound.data.mnist import load_mnist
from onebound.diffusion.denoisers import denoiser
from onebound.diffusion.loss import stratified_t
from onebound.diffusion.process import x_0_from_v
from onebound.diffusion.schedules import cosine_schedule
from onebound.networks.unet import UNet
from onebound.zoo import unet_classes, unet_small
from onebound.zoo._unets import COSINE, draw, fit, for_samples, tilted, validation


@pytest.fixture
def network():
    """A small network that is not zero and listens to labels."""
    torch.manual_seed(0)
    network = UNet(1000, width=4, deep_width=6, pairs=1, classes=unet_classes.UNTOLD).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name != "label.weight":
                parameter += 0.1 * torch.randn_like(parameter)
    return network


@pytest.fixture
def x_t():
    return torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(1))


@pytest.mark.equation("eq-tilt")
def test_the_tilt_is_one_in_the_middle_and_grows_with_the_noise():
    schedule = cosine_schedule(10)
    weight = tilted(schedule, 2.0) / (schedule.snr + 1)
    assert weight[5].item() == pytest.approx(1)
    assert (weight[6] / weight[1]).log().item() == pytest.approx(2 * 0.5)


def test_draws_are_images_are_the_same_each_time_and_stay_in_range():
    schedule = cosine_schedule(20)
    far = denoiser(schedule, lambda x_t, t: 3 * x_t, x_0_from_v)  # leaves the range
    one, same, other = (draw(schedule, far, 3, 5, seed) for seed in (0, 0, 1))
    assert one.shape == (3, 1, 28, 28)
    assert one.abs().max() <= 1
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_tenth_of_the_labels_is_not_told(network):
    y = torch.arange(2000) % 10
    told = {}
    objective = for_samples(unet_classes.RECIPE)
    levels = torch.zeros(2000, 1, 28, 28, dtype=torch.uint8)
    network.forward = lambda x_t, t, y: told.update(y=y) or x_t
    objective.loss(network, levels, y, torch.Generator().manual_seed(0))
    hid = told["y"] != y
    assert (told["y"][hid] == 10).all()
    assert hid.float().mean().item() == pytest.approx(0.1, abs=4 * (0.1 * 0.9 / 2000) ** 0.5)


def test_what_a_unet_is_trained_for_is_the_weighted_error_of_its_answer(network):
    levels, y = torch.full((6, 1, 28, 28), 100, dtype=torch.uint8), torch.arange(6)
    objective = for_samples(unet_small.RECIPE)
    noise = [torch.Generator().manual_seed(0) for _ in range(2)]
    found = objective.loss(network, levels, y, noise[0])
    t = stratified_t(6, 1000, noise[1])
    x_0, eps = (
        torch.full((6, 1, 28, 28), 200 / 255 - 1),
        torch.randn(6, 1, 28, 28, generator=noise[1]),
    )
    signal, sigma = (
        root.sqrt().float()[t].reshape(6, 1, 1, 1)
        for root in (COSINE.alpha_bar, 1 - COSINE.alpha_bar)
    )
    v = signal * eps - sigma * x_0
    error = (v - network(signal * x_0 + sigma * eps, t)).square().mean((1, 2, 3))
    torch.testing.assert_close(found, error * torch.exp(2 * (t / 1000 - 0.5)), rtol=1e-3, atol=1e-3)


def test_a_fit_ends_with_the_average_and_looks_at_the_same_images_each_time():
    torch.manual_seed(0)
    network = UNet(1000, width=4, deep_width=16, pairs=1)
    levels, y = torch.randint(0, 256, (40, 1, 28, 28), dtype=torch.uint8), torch.zeros(40).long()
    objective = for_samples(unet_small.RECIPE)
    options = {"epochs": 2, "batch_size": 8, "learning_rate": 0.02}
    seen = [loss for _, loss in fit(network, objective, levels, y, (levels, y), **options)]
    assert seen[1] != seen[0]
    assert validation(network, objective, levels, y) == pytest.approx(seen[1], rel=1e-6)
    assert [loss for _, loss in fit(network, objective, levels, y, **options)] == [None, None]


@pytest.mark.equation("eq-label-guidance")
def test_guidance_by_labels_starts_untold_and_passes_through_told(network, x_t):
    y, t = torch.tensor([3, 1, 4, 1]), torch.tensor([1, 300, 600, 1000])
    with torch.no_grad():
        told, untold = (
            unet_classes.denoiser_of(net)(x_t, t)
            for net in (unet_classes.told(network, y), network)
        )
        for strength in (0.0, 1.0, 2.5):
            found = unet_classes.guided_by_labels(network, y, strength)(x_t, t)
            torch.testing.assert_close(found, (1 - strength) * untold + strength * told)
    assert not torch.allclose(told, untold)


def test_the_labels_asked_for_have_the_shares_of_the_data():
    y = unet_classes.some_labels(2000)
    shares = load_mnist().train_labels.bincount() / 60_000
    found = y.bincount(minlength=10) / 2000
    assert ((found - shares).abs() < 4 * (shares * (1 - shares) / 2000).sqrt()).all()
