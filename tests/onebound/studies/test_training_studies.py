"""What the studies of training do, apart from training for long."""

import pytest
import torch
from torch import nn

from onebound.networks.shufflenet import ShuffleUNet
from onebound.networks.unet import UNet
from onebound.studies import networks, networks_drawn, training_buffers, training_runs
from onebound.studies.records import load_record, over_seeds, unpacked
from onebound.zoo._unets import COSINE


def test_full_convolutions_cost_what_the_units_save():
    # The encoder and the decoder have four units each at 28 and 14 places, the middle three at 7.
    units = [(28, 32, 4), (14, 64, 4), (7, 128, 3), (14, 128, 4), (28, 64, 4)]
    saved = sum(n * places**2 * (9 * c**2 - (3 * c**2 / 4 + 9 * c)) for places, c, n in units)
    more = networks.multiply_adds(networks.full_convolutions())
    assert more - networks.multiply_adds(ShuffleUNet(COSINE.T)) == pytest.approx(saved / 1e6)


def test_another_layout_computes_the_same():
    torch.manual_seed(0)
    plain = UNet(COSINE.T)
    torch.manual_seed(0)
    other = networks.channels_first()
    x, t = torch.randn(2, 1, 28, 28), torch.tensor([3, 900])
    nn.init.ones_(plain.head.weight)
    nn.init.ones_(other.head.weight)
    assert torch.allclose(plain(x, t), other(x, t), atol=1e-4)


def test_recomputed_statistics_do_not_depend_on_those_before():
    torch.manual_seed(0)
    network = ShuffleUNet(COSINE.T, width=4)
    other = training_buffers.with_buffers(network, network)
    for buffer in other.buffers():
        buffer.add_(3)
    one, two = (training_buffers.recomputed(made, images=200) for made in (network, other))
    for a, b in zip(one.buffers(), two.buffers(), strict=True):
        assert torch.equal(a, b)
    # The images' noise is that of the loss: the first statistics are of a convolution of x_t.
    assert one.stem[1].num_batches_tracked == 2
    assert not torch.equal(one.stem[1].running_mean, network.stem[1].running_mean)


def test_each_network_draws_after_training_at_the_better_rate():
    runs = load_record(training_runs)
    for setting, steps in (("ShuffleNet U-Net", 60), ("our U-Net", 150)):
        arguments = networks_drawn.SETTINGS[setting]
        losses = {
            found[0].arguments["rate"]: over_seeds(found, "last").mean
            for found in runs.values()
            if found[0].arguments["network"] == arguments["network"]
            and found[0].arguments["optimiser"] == "adam"
            and found[0].arguments["steps"] == steps
        }
        assert len(losses) > 1
        assert min(losses, key=losses.__getitem__) == arguments["rate"]


def test_drawings_are_kept_in_the_range_of_pictures(monkeypatch):
    grey = torch.tensor([-1.0, -0.6, 1.0])[:, None, None, None].expand(3, 1, 28, 28)
    monkeypatch.setattr(networks_drawn, "draw", lambda *arguments, **options: grey)
    found = networks_drawn.run(0, "U-Net", 0.003, steps=2, n=3, images=100)
    assert torch.allclose(unpacked(found["drawn"]), (grey + 1) / 2)
