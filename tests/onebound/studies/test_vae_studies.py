"""What the studies of VAEs do, apart from training for long."""

import pytest
import torch

from onebound.studies import collapse, vae_draws, vae_prices
from onebound.studies.records import load_record, packed, unpacked


def test_packed_images_come_back_to_a_grey_level_in_sixteen():
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(unpacked(packed(images)), images, atol=1 / 30 + 1e-6, rtol=0)
    exact = (15 * images).round() / 15
    torch.testing.assert_close(unpacked(packed(exact)), exact)


KL = torch.tensor([[0.0, 1.0, 3.0, 0.0], [0.2, 3.0, 5.0, 0.0]])  # of latents; mean 0.1, 2, 4, 0
LOG_LIKELIHOOD = torch.tensor([-7.0, -9.0])


@pytest.mark.parametrize(
    ("groups", "charged"),
    [(1, 8.0), (2, 4.0 + 4.0), (4, 2.0 + 2.0 + 4.0 + 2.0)],  # of 8 nats that are free in all
)
def test_free_bits_charge_a_group_for_no_less_than_its_share(groups, charged):
    loss = collapse.free_bits(groups, nats=8.0)(LOG_LIKELIHOOD, KL)
    torch.testing.assert_close(loss, charged - LOG_LIKELIHOOD)


def test_free_bits_take_the_mean_over_the_batch_before_the_maximum():
    loss = collapse.free_bits(4, nats=8.0)(LOG_LIKELIHOOD, KL.flip(1))
    torch.testing.assert_close(loss, 10.0 - LOG_LIKELIHOOD)
    apart = collapse.free_bits(1, nats=5.0)(LOG_LIKELIHOOD, KL)  # one image below 5, one above
    torch.testing.assert_close(apart, KL.sum(1).mean() - LOG_LIKELIHOOD)


def test_warm_up_reaches_the_bound_and_stays():
    objective = collapse.warm_up(4)
    charged = [(objective(LOG_LIKELIHOOD, KL) + LOG_LIKELIHOOD)[0].item() for _ in range(6)]
    assert charged == [1.0, 2.0, 3.0, 4.0, 4.0, 4.0]
    torch.testing.assert_close(
        objective(LOG_LIKELIHOOD, KL), collapse.minus_elbo(LOG_LIKELIHOOD, KL)
    )


@pytest.mark.parametrize("gain", [1.0, 1.732])
def test_the_gain_multiplies_what_torch_draws(gain):
    torch.manual_seed(0)
    plain = collapse.DeepDecoder()
    torch.manual_seed(0)
    scaled = collapse.DeepDecoder(gain=gain)
    torch.testing.assert_close(scaled.rest[1].weight, gain * plain.rest[1].weight)
    torch.testing.assert_close(scaled.rest[1].bias, plain.rest[1].bias)
    assert gain == 1 or 200 * scaled.rest[1].weight.var().item() == pytest.approx(1, rel=0.02)


def test_skip_connections_add_what_a_layer_is_given():
    torch.manual_seed(0)
    deep = collapse.Deep(3, 2, skip=True, gain=1.0)
    for layer in deep.rest:
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    x = torch.randn(4, 3)
    torch.testing.assert_close(deep(x), deep.last(torch.tanh(deep.first(x))))


def test_recorded_bounds_grow_with_the_draws():
    for run in load_record(vae_draws)["stored model"]:
        curves = torch.tensor(run.result["curves"])
        assert curves.shape == (24, len(vae_draws.SIZES))
        assert (curves.diff(dim=1) >= 0).all()


def test_recorded_rates_fall_as_their_price_rises():
    runs = load_record(vae_prices)
    rates = torch.tensor([[run.result["rate"] for run in found] for found in runs.values()])
    assert (rates.diff(dim=0) < 0).all()
