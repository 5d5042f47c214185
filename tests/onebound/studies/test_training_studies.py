"""What the studies of chapter 12 do, apart from training for long."""

import pytest
import torch
from torch import nn

from onebound.networks.shufflenet import ShuffleUNet
from onebound.networks.unet import UNet
from onebound.studies import networks, training_buffers
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
