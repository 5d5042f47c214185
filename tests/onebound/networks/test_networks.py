import math

import pytest
import torch
import torch.nn.functional as F

from onebound.checks import trusting
from onebound.networks.classifier import ConvClassifier
from onebound.networks.conv import ConvDecoder, ConvEncoder
from onebound.networks.inputs import check_label, check_step, waves
from onebound.networks.mlp import MLPDecoder, MLPEncoder
from onebound.networks.shufflenet import Downsample, ShuffleUNet, Unit, shuffle_channels
from onebound.networks.unet import (
    Conv,
    Far,
    Near,
    UNet,
    depth_to_space,
    level_waves,
    modulate,
    space_to_depth,
)

T = 20
# A new network gets a row here: every test that takes `make` then holds for it.
NETWORKS = [
    pytest.param(lambda: ShuffleUNet(T, width=4), id="shufflenet"),
    pytest.param(lambda: UNet(T, width=4, deep_width=6, pairs=1), id="unet"),
    pytest.param(lambda: UNet(T, width=4, deep_width=6, pairs=1, levels=2), id="unet with waves"),
]


@pytest.fixture
def x_t():
    return torch.randn(6, 1, 28, 28, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def t():
    return torch.tensor([1, 2, 7, 7, 19, 20])


def started(make):
    """Make a network and move all of its weights, since some start at zero and hide the others."""
    torch.manual_seed(0)
    network = make()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return network


def generator(seed):
    return torch.Generator().manual_seed(seed)


# ---- networks of images and steps


@pytest.mark.parametrize("make", NETWORKS)
def test_the_answer_is_like_x_t(make, x_t, t):
    network = make()
    out = network(x_t, t)
    assert out.shape == x_t.shape
    assert out.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert network(x_t, t).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("make", NETWORKS)
def test_half_precision_is_refused(make, x_t, t, dtype):
    with pytest.raises(ValueError, match=r"in float32 or float64, got .*float16"):
        make()(x_t.to(dtype), t)


@pytest.mark.parametrize("make", NETWORKS)
def test_a_network_computes_in_its_own_type_and_answers_in_that_of_x_t(make, x_t, t):
    network = started(make).eval()
    with torch.no_grad():
        found = network(x_t.double(), t)
        assert found.dtype == torch.float64
        assert torch.equal(found, network(x_t, t).double())
        whole = network.double()(x_t, t)
        assert whole.dtype == torch.float32
        torch.testing.assert_close(whole, network(x_t.double(), t).float())
        torch.testing.assert_close(whole, network.float()(x_t, t), rtol=1e-3, atol=1e-4)


SHAPES = [(3, 32, 32), (1, 28, 56), (2, 4, 8)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("network", [ShuffleUNet, UNet])
def test_images_of_any_channels_and_sides_of_multiples_of_four(network, shape):
    options = {"levels": 2, "deep_width": 6} if network is UNet else {}
    made = started(lambda: network(T, width=4, shape=shape, **options))
    x_t, t = torch.randn(5, *shape, requires_grad=True), torch.tensor([1, 5, 5, 9, 20])
    made.eval()(x_t, t)[0, 0, 0, 0].backward()
    heard = x_t.grad[0] != 0
    assert heard.all() if network is UNet else heard[:, :4, :4].all()
    assert (x_t.grad[1:] == 0).all()
    with pytest.raises(ValueError, match=r"expected images of shape \(B, .*build the network with"):
        made(torch.randn(5, 1, 28, 28), t)


@pytest.mark.parametrize("shape", [(1, 30, 28), (1, 28, 27), (0, 28, 28), (1, 0, 28)])
@pytest.mark.parametrize(
    "make",
    [lambda s: ShuffleUNet(T, shape=s), lambda s: UNet(T, shape=s)]
    + [lambda s, kind=kind: kind(shape=s) for kind in (MLPEncoder, MLPDecoder)]
    + [lambda s, kind=kind: kind(shape=s) for kind in (ConvEncoder, ConvDecoder, ConvClassifier)],
)
def test_no_network_is_built_for_other_sides(make, shape):
    with pytest.raises(ValueError, match=r"multiples of 4, got shape=|must be a whole number"):
        make(shape)


PAIRS = [(MLPEncoder, MLPDecoder), (ConvEncoder, ConvDecoder)]


@pytest.mark.parametrize("shape", [(1, 28, 28), *SHAPES])
@pytest.mark.parametrize(("encoder", "decoder"), PAIRS)
def test_encoders_and_decoders_take_any_images_and_every_number_counts(encoder, decoder, shape):
    enter, leave = (started(lambda kind=kind: kind(3, shape=shape)) for kind in (encoder, decoder))
    x = torch.randn(2, *shape, requires_grad=True)
    mu, logvar = enter(x)
    assert mu.shape == logvar.shape == (2, 3)
    out = leave(mu + logvar)
    assert out.shape == x.shape
    out[0].square().sum().backward()
    assert (x.grad[0] != 0).float().mean() > 0.99
    assert (x.grad[1] == 0).all()


@pytest.mark.parametrize(("encoder", "decoder"), PAIRS)
def test_encoders_and_decoders_compute_in_their_own_type(encoder, decoder):
    x = torch.rand(2, 1, 28, 28, dtype=torch.float64)
    mu, logvar = encoder(3)(x)
    assert mu.dtype == logvar.dtype == decoder(3)(mu).dtype == torch.float64
    assert encoder(3).double()(x.float())[0].dtype == torch.float32
    assert decoder(3).double()(mu.float()).dtype == torch.float32


@pytest.mark.parametrize("encoder", [MLPEncoder, ConvEncoder, ConvClassifier])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 784), r"expected images of shape \(B, 1, 28, 28\).*got shape \(2, 784\)"),
        (torch.zeros(2, 1, 24, 24), r"got shape \(2, 1, 24, 24\)"),
        (torch.zeros(2, 3, 28, 28), r"got shape \(2, 3, 28, 28\)"),
        (torch.zeros(1, 28, 28), r"got shape \(1, 28, 28\)"),
        (torch.zeros(0, 1, 28, 28), "B >= 1"),
        (torch.zeros(2, 1, 28, 28, dtype=torch.uint8), "got torch.uint8: convert grey levels with"),
    ],
)
def test_bad_images_are_refused_by_encoders_and_the_classifier(encoder, x, message):
    with pytest.raises(ValueError, match=message):
        encoder()(x)
    if encoder is ConvClassifier:
        with pytest.raises(ValueError, match=message):
            encoder().features(x)


@pytest.mark.parametrize("decoder", [MLPDecoder, ConvDecoder])
@pytest.mark.parametrize(
    "z", [torch.zeros(2, 4), torch.zeros(3), torch.zeros(2, 3).long(), torch.full((2, 3), math.nan)]
)
def test_bad_latents_are_refused_by_decoders(decoder, z):
    with pytest.raises(ValueError, match=r"latents"):
        decoder(3)(z)


def test_what_a_step_tells_has_a_name_and_reaches_its_layer(x_t, t):
    network = started(lambda: UNet(T, width=4, deep_width=6, pairs=2, levels=1)).eval()
    heard = {}

    def listen(name):
        def hook(module, inputs, told):
            heard[name] = told

        return hook

    layers = {"encode": network.encode}
    layers |= {f"middle {i}": layer for i, layer in enumerate(network.middle)}
    layers |= {f"decode {i}": layer for i, layer in enumerate(network.decode)}
    for name, layer in layers.items():
        layer.register_forward_pre_hook(listen(name), with_kwargs=True)
    network(x_t, t)
    numbers = network.time(network.features[t])
    first = dict(zip(network.told, numbers.split(list(network.told.values()), dim=1), strict=True))
    for name in layers:
        for kind in ("scale", "shift"):
            assert torch.equal(heard[name][kind].flatten(1), first[f"{name} {kind}"])
    assert list(network.told) == [
        "waves",
        *(f"{name} {kind}" for name in layers for kind in ("scale", "shift")),
        *("d", "r"),
    ]


@pytest.mark.parametrize("make", NETWORKS)
def test_every_parameter_gets_a_gradient(make, x_t):
    network = started(make)
    every_step = torch.arange(1, T + 1)  # each row of a table of steps
    inputs = torch.randn(T, 1, 28, 28)
    # In training a batch norm takes away what a bias before it adds, and the gradient is rounding.
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # one pass, and the statistics are those of this batch
    network(inputs, every_step)
    network.eval()
    network(inputs, every_step).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        each_row = parameter.grad.reshape(len(parameter), -1).abs().sum(1)
        assert (each_row > 1e-3).all(), name


@pytest.mark.parametrize("make", NETWORKS)
def test_another_step_gives_another_answer(make, x_t):
    network = started(make).eval()
    one = x_t[:1].expand(T, -1, -1, -1)
    with torch.no_grad():
        out = network(one, torch.arange(1, T + 1))
    distances = torch.cdist(out.flatten(1), out.flatten(1))
    assert (distances + 1e6 * torch.eye(T)).min() > 1e-3


@pytest.mark.parametrize("make", NETWORKS)
def test_an_image_is_answered_alone_as_in_a_batch_once_training_is_over(make, x_t, t):
    network = started(make)
    network(x_t, t)  # the running statistics of a batch norm move
    network.eval()
    torch.testing.assert_close(network(x_t, t)[2:3], network(x_t[2:3], t[2:3]))


@pytest.mark.parametrize("make", NETWORKS)
def test_every_pixel_hears_from_every_other(make, x_t):
    network = started(make).eval()
    x = x_t[:1].requires_grad_()
    network(x, torch.tensor([7]))[0, 0, 0, 0].backward()
    assert (x.grad != 0).all()


@pytest.mark.parametrize("make", NETWORKS)
@pytest.mark.parametrize(
    ("t", "message"),
    [
        (torch.tensor([0, 1]), "from 1 to 20, got 0 to 1"),
        (torch.tensor([20, 21]), "from 1 to 20, got 20 to 21"),
        (torch.tensor([3]), r"each of 2 examples, got shape \(1,\)"),
        (torch.tensor([[3], [4]]), r"got shape \(2, 1\)"),
        (torch.tensor([3.0, 4.0]), "int64, got torch.float32"),
        (torch.tensor([3, 4], dtype=torch.int32), "int64, got torch.int32"),
    ],
)
def test_bad_steps_are_refused_and_named(make, t, message):
    with pytest.raises(ValueError, match=message):
        make()(torch.zeros(2, 1, 28, 28), t)


@pytest.mark.parametrize("make", NETWORKS)
@pytest.mark.parametrize(
    ("x_t", "message"),
    [
        (torch.zeros(2, 784), r"got shape \(2, 784\)"),
        (torch.zeros(2, 3, 28, 28), r"got shape \(2, 3, 28, 28\)"),
        (torch.zeros(2, 1, 28, 28, dtype=torch.uint8), "uint8"),
        (torch.full((2, 1, 28, 28), torch.nan), "nan"),
    ],
)
def test_bad_images_are_refused_and_named(make, x_t, message):
    with pytest.raises(ValueError, match=message):
        make()(x_t, torch.tensor([3, 4]))


@pytest.mark.parametrize("size", [0, -2, 2.5, True])
@pytest.mark.parametrize(
    ("network", "name"),
    [
        *((ShuffleUNet, name) for name in ("T", "width")),
        *((UNet, name) for name in ("T", "width", "deep_width", "pairs")),
    ],
)
def test_a_size_below_one_is_refused(network, name, size):
    with pytest.raises(ValueError, match=f"{name} must be .* got {size}"):
        network(**({"T": T} | {name: size}))


# ---- time


def test_a_step_that_is_allowed_passes():
    check_step(torch.zeros(2, 1, 28, 28), torch.tensor([1, T]), T)
    check_step(torch.zeros(2, 3, 8, 8), torch.tensor([1, T]), T, (3, 8, 8))


def test_labels_are_taken_on_trust_within_trusting(told, x_t, t):
    with trusting():
        check_label(torch.tensor([7]), 1, 3)
        with pytest.raises(ValueError, match="expected 2 labels"):
            check_label(torch.tensor([7]), 2, 3)
    with pytest.raises(ValueError, match=r"in 0\.\.3"):
        check_label(torch.tensor([7]), 1, 3)


@pytest.mark.equation("eq-waves")
def test_waves_are_sines_and_cosines_of_a_part_of_a_turn():
    rows = waves(40, 6)
    assert rows.shape == (41, 6)
    assert rows[0].tolist() == [0, 0, 0, 1, 1, 1]
    assert rows[40, 0].item() == pytest.approx(math.sin(2 * math.pi / 8))
    assert rows[20, 3].item() == pytest.approx(math.cos(2 * math.pi / 16))
    turns = math.sqrt(125 / 8)  # halfway between 1/8 and 125 on a logarithmic scale
    assert rows[10, 1].item() == pytest.approx(math.sin(2 * math.pi * turns / 4), abs=1e-5)
    assert rows[1, 2].item() == pytest.approx(math.sin(2 * math.pi * 125 / 40), abs=1e-4)


def test_waves_tell_all_steps_apart_and_neighbours_are_alike():
    rows = waves(1000, 64)
    distances = torch.cdist(rows, rows) + 1e6 * torch.eye(1001)
    assert distances.min() > 0.05
    assert (rows[1:] - rows[:-1]).norm(dim=1).max() < 0.3 * distances[0, 500]


# ---- ShuffleNet


def test_the_shuffle_is_its_formula_and_a_permutation():
    C = 10
    x = torch.randn(2, C, 3, 3, generator=generator(2))
    source = [c // 2 + (c % 2) * C // 2 for c in range(C)]
    assert torch.equal(shuffle_channels(x), x[:, source])
    assert sorted(source) == list(range(C))
    assert source == [0, 5, 1, 6, 2, 7, 3, 8, 4, 9]


def test_after_two_units_each_half_hears_from_both():
    torch.manual_seed(0)
    units = torch.nn.Sequential(Unit(8), Unit(8)).eval()
    x = torch.randn(1, 8, 5, 5, requires_grad=True)
    for channel in range(8):
        (gradient,) = torch.autograd.grad(units(x)[0, channel].sum(), x)
        assert gradient[0].abs().sum((1, 2)).gt(0).all()


def test_one_unit_keeps_the_halves_apart_and_interleaves_them():
    torch.manual_seed(0)
    unit = Unit(8).eval()
    x = torch.randn(1, 8, 5, 5, requires_grad=True)
    for channel in range(8):
        (gradient,) = torch.autograd.grad(unit(x)[0, channel].sum(), x)
        halves = gradient[0].abs().sum((1, 2)).unflatten(0, (2, 4)).sum(1) > 0
        assert halves.tolist() == [channel % 2 == 0, channel % 2 == 1]


def test_downsampling_halves_the_image_and_doubles_the_channels():
    assert Downsample(6)(torch.randn(2, 6, 28, 28)).shape == (2, 12, 14, 14)


def test_the_shuffle_unet_has_about_400_000_parameters():
    def count(network):
        return sum(parameter.numel() for parameter in network.parameters())

    assert 370_000 < count(ShuffleUNet(500)) < 430_000
    assert count(ShuffleUNet(501)) - count(ShuffleUNet(500)) == 256  # one row of the table


def test_an_odd_width_cannot_be_split():
    with pytest.raises(ValueError, match=r"even.*got 5"):
        ShuffleUNet(T, width=5)


# ---- our own


def test_space_to_depth_is_its_formula_and_depth_to_space_undoes_it():
    x = torch.randn(2, 3, 6, 4, generator=generator(3))
    deep = space_to_depth(x)
    assert deep.shape == (2, 12, 3, 2)
    for row in range(2):
        for column in range(2):
            first = 3 * (2 * row + column)
            assert torch.equal(deep[:, first : first + 3], x[:, :, row::2, column::2])
    assert torch.equal(depth_to_space(deep), x)
    assert space_to_depth(torch.zeros(2, 1, 28, 28)).is_contiguous(
        memory_format=torch.channels_last
    )


def test_a_convolution_is_its_sum():
    torch.manual_seed(0)
    conv = Conv(3, 2, 3)
    with torch.no_grad():
        conv.bias += torch.tensor([0.5, -1.0])
    x = torch.randn(1, 3, 4, 4)
    padded = F.pad(x, (1, 1, 1, 1))[0]
    weight = conv.weight.reshape(2, 3, 3, 3)  # out, row, column, in
    here = torch.einsum("orci,irc->o", weight, padded[:, 1:4, 2:5]) + conv.bias
    torch.testing.assert_close(conv(x)[0, :, 1, 2], here)
    assert conv(x).shape == (1, 2, 4, 4)


def test_a_convolution_keeps_the_variance_at_the_start():
    torch.manual_seed(0)
    for size in (1, 3):
        y = Conv(64, 256, size)(torch.randn(4, 64, 12, 12))[:, :, 1:-1, 1:-1]
        assert y.var().item() == pytest.approx(1, abs=0.05)


def test_modulate_sets_mean_and_variance_of_each_channel_from_its_step():
    x = 3 + 5 * torch.randn(2, 4, 8, 8, generator=generator(4))
    x[1] *= 100  # each image is measured against itself
    zero = torch.zeros(2, 4, 1, 1)
    plain = modulate(x, zero, zero)
    torch.testing.assert_close(plain.mean((1, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(plain.var((1, 2, 3), correction=0), torch.ones(2), rtol=1e-4, atol=0)
    scale, shift = torch.randn(2, 2, 4, 1, 1, generator=generator(5))
    torch.testing.assert_close(modulate(x, scale, shift), (1 + scale) * plain + shift)


@pytest.mark.parametrize("block", [Near(4), Far(4, 49)], ids=["near", "far"])
def test_a_block_starts_as_the_identity(block):
    x = torch.randn(2, 4, 7, 7)
    assert torch.equal(block(x, torch.randn(2, 4, 1, 1), torch.randn(2, 4, 1, 1)), x)


def reach(block, size=7):
    """Which places of the answer change when the middle place of the input does."""
    torch.manual_seed(0)
    block = block.double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    # The norm would carry a change everywhere: hide it by a change that keeps mean and variance.
    x = torch.randn(1, 4, size, size, dtype=torch.float64)
    swapped = x.clone()
    swapped[:, :, size // 2, size // 2] = x[:, [1, 0, 3, 2], size // 2, size // 2]
    zero = torch.zeros(1, 4, 1, 1, dtype=torch.float64)
    return (block(x, zero, zero) - block(swapped, zero, zero)).abs().sum(1)[0] > 1e-9


def test_a_near_block_reaches_two_places_and_a_far_block_all():
    expected = torch.zeros(7, 7, dtype=torch.bool)
    expected[1:6, 1:6] = True
    assert torch.equal(reach(Near(4)), expected)
    assert reach(Far(4, 49)).all()


def test_the_far_block_mixes_places_by_one_matrix():
    torch.manual_seed(0)
    far = Far(4, 49)
    torch.nn.init.normal_(far.second.weight)
    far.second.weight.data *= 0.5
    x, zero = torch.randn(2, 4, 7, 7), torch.zeros(2, 4, 1, 1)
    h = far.first(modulate(x, zero, zero)).flatten(2)
    mixed = torch.einsum("pq,bcq->bcp", far.mix, h).unflatten(2, (7, 7))
    torch.testing.assert_close(far(x, zero, zero), x + far.second(F.silu(mixed)))


def test_our_network_starts_as_zero_and_learns_how_much_of_x_t_to_pass(x_t, t):
    torch.manual_seed(0)
    network = UNet(T, width=4, deep_width=6, pairs=1)
    assert (network(x_t, t) == 0).all()
    with torch.no_grad():
        network.time[-1].bias[-1] = 0.7
    torch.testing.assert_close(network(x_t, t), 0.7 * x_t)


def test_every_weight_is_a_matrix_or_a_vector_so_that_muon_takes_the_matrices():
    assert {parameter.ndim for parameter in UNet(T).parameters()} == {1, 2}


def test_the_waves_of_a_clean_pixel_are_those_of_its_level():
    levels = torch.arange(256.0).reshape(1, 1, 16, 16)
    sines, cosines = level_waves(2 * levels / 255 - 1, 3).chunk(2, dim=1)
    for j, period in enumerate((1, 2, 4)):
        angle = 2 * math.pi * (levels[0, 0] % period) / period
        torch.testing.assert_close(sines[0, j], angle.sin(), rtol=0, atol=2e-4)
        torch.testing.assert_close(cosines[0, j], angle.cos(), rtol=0, atol=2e-4)


def test_the_fastest_wave_shows_noise_finer_than_a_level():
    x = torch.full((1, 1, 4, 4), 2 * 100 / 255 - 1) + 0.1 * 2 / 255  # a tenth of a level
    sine, cosine = level_waves(x, 1).chunk(2, dim=1)
    torch.testing.assert_close(sine, torch.full_like(x, math.sin(0.2 * math.pi)), rtol=0, atol=1e-3)
    torch.testing.assert_close(
        cosine, torch.full_like(x, math.cos(0.2 * math.pi)), rtol=0, atol=1e-3
    )


def test_without_levels_there_are_no_waves():
    assert level_waves(torch.zeros(2, 1, 4, 4), 0).shape == (2, 0, 4, 4)


# ---- told a label


@pytest.fixture
def told():
    return started(lambda: UNet(T, width=4, deep_width=6, pairs=1, classes=3))


def test_a_label_changes_the_answer_for_its_own_image_alone(told, x_t, t):
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    other = torch.tensor([0, 1, 2, 0, 1, 0])
    changed = (told(x_t, t, y) - told(x_t, t, other)).abs().amax((1, 2, 3)) > 1e-4
    assert changed.tolist() == [False] * 5 + [True]


def test_the_last_label_tells_nothing_and_never_learns(told, x_t, t):
    with torch.no_grad():
        told.label.weight[3] = 0  # `started` moved it
    torch.testing.assert_close(told(x_t, t, torch.full((6,), 3)), told(x_t, t))
    told(x_t, t, torch.tensor([0, 1, 2, 3, 3, 3])).square().sum().backward()
    assert (told.label.weight.grad[:3].abs().sum(1) > 0).all()
    assert (told.label.weight.grad[3] == 0).all()
    assert (UNet(T, classes=3).label.weight[3] == 0).all()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (torch.zeros(5, dtype=torch.int64), r"expected 6 labels.*shape \(5,\)"),
        (torch.zeros(7, dtype=torch.int64), r"expected 6 labels.*shape \(7,\)"),
        (torch.zeros(6), r"int64.*got torch.float32"),
        (torch.tensor([0, 0, 0, 0, 0, -1]), r"in 0\.\.3, 3 for none, got -1 to 0"),
        (torch.tensor([4, 0, 0, 0, 0, 0]), r"in 0\.\.3, 3 for none, got 0 to 4"),
    ],
)
def test_bad_labels_are_refused_and_named(told, x_t, t, y, message):
    with pytest.raises(ValueError, match=message):
        told(x_t, t, y)


def test_a_network_without_classes_refuses_labels(x_t, t):
    with pytest.raises(ValueError, match="no classes"):
        UNet(T)(x_t, t, torch.zeros(6, dtype=torch.int64))
