"""A U-Net for a CPU: most of its work is matrix products on a quarter of height and width."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from onebound.networks import inputs
from onebound.networks.inputs import SHAPE, Images, Shape, Steps, waves

WAVES = 64  # sines and cosines that describe one step

PerChannel = Float[Tensor, "B C 1 1"]


def space_to_depth(x: Images) -> Float[Tensor, "B 4*C H//2 W//2"]:
    """Turn 2 x 2 patches into channels, stored last: convolutions are fastest there and keep it."""
    patches = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))  # (B, C, H, 2, W, 2)
    return patches.permute(0, 2, 4, 3, 5, 1).flatten(3).permute(0, 3, 1, 2)


def depth_to_space(x: Images) -> Float[Tensor, "B C//4 2*H 2*W"]:
    """Undo `space_to_depth`."""
    patches = x.unflatten(1, (2, 2, -1))  # (B, 2, 2, C, H, W)
    return patches.permute(0, 4, 1, 5, 2, 3).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


class Conv(nn.Module):
    """A convolution of `size` x `size` places that keeps height and width; outside is 0.

    The weights are a matrix, a row for each channel that comes out, because Muon takes matrices.
    """

    def __init__(self, width: int, out_width: int, size: int, *, zero: bool = False) -> None:
        super().__init__()
        fan_in = size * size * width
        self.shape = (out_width, size, size, width)
        scale = 0.0 if zero else 1 / math.sqrt(fan_in)
        self.weight = nn.Parameter(scale * torch.randn(out_width, fan_in))
        self.bias = nn.Parameter(torch.zeros(out_width))

    def forward(self, x: Float[Tensor, "B width H W"]) -> Float[Tensor, "B out_width H W"]:
        """Convolve."""
        kernel = self.weight.view(self.shape).permute(0, 3, 1, 2)
        return F.conv2d(x, kernel, self.bias, padding=self.shape[1] // 2)


def modulate(x: Images, scale: PerChannel, shift: PerChannel) -> Images:
    """Give each image mean 0 and variance 1, then scale and shift each channel."""
    return torch.addcmul(shift, F.group_norm(x, 1), 1 + scale)


def level_waves(x: Images, levels: int) -> Float[Tensor, "B waves H W"]:
    """Sines and cosines of each pixel's value, whose `levels` periods are 1, 2, 4, ... grey levels.

    A grey level is 2 / 255 wide. On clean pixels the fastest waves are 0 and 1: they show noise
    finer than a level, which is lost in the digits of the value. Kingma, Salimans, Poole and Ho
    (2021), appendix C, with other periods.
    """
    periods = 2.0 ** torch.arange(levels, device=x.device).reshape(-1, 1, 1)
    angles = (math.pi * 255 * (x[:, :, None] + 1) / periods).flatten(1, 2)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class Near(nn.Module):
    """x + f(x), f two 3 x 3 convolutions: a place hears from its neighbours."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = Conv(width, width, 3)
        self.second = Conv(width, width, 3, zero=True)  # the block starts as the identity

    def forward(self, x: Images, scale: PerChannel, shift: PerChannel) -> Images:
        """Return x + f(x), told the step."""
        h = self.first(F.silu(modulate(x, scale, shift)))
        return x + self.second(F.silu(h))


class Far(nn.Module):
    """x + f(x), f a matrix over the places between two over the channels: a place hears from all.

    The matrix is one for all channels and images: the token mixing of an MLP-Mixer. It costs less
    than a 3 x 3 convolution as soon as `places` < 9 `width`. Tolstikhin et al. (2021).
    """

    def __init__(self, width: int, places: int) -> None:
        super().__init__()
        self.first = Conv(width, width, 1)
        self.mix = nn.Parameter(torch.randn(places, places) / math.sqrt(places))
        self.second = Conv(width, width, 1, zero=True)

    def forward(self, x: Images, scale: PerChannel, shift: PerChannel) -> Images:
        """Return x + f(x), told the step."""
        h = self.first(modulate(x, scale, shift)).permute(0, 2, 3, 1)  # channels last
        mixed = (self.mix @ h.flatten(1, 2)).view(h.shape).permute(0, 3, 1, 2)
        return x + self.second(F.silu(mixed))


class UNet(nn.Module):
    """Noisy images and their steps, 1 to T, to one number a pixel and channel.

    One block works at half of height and width, `pairs` of a near and a far one at a quarter. Back
    at half, what was there before is added to what comes from below, and two blocks follow. Each
    block is told the step by a scale and a shift for each channel. The result is
    (1 + d) F(x_t, t) + r x_t, with two numbers d and r that depend on the step alone: F need not
    carry the noisy image through all its layers to give a part of it back.

    There are `width` channels at half and `deep_width` at a quarter; multiples of 16 are fast.
    `levels` are those of `level_waves`, and the network may be told one of `classes`. Ronneberger,
    Fischer and Brox (2015); Perez et al. (2018) for scale and shift; Karras et al. (2022) for r.
    """

    features: Tensor

    def __init__(
        self,
        T: int,
        width: int = 32,
        deep_width: int = 64,
        pairs: int = 2,
        levels: int = 0,
        classes: int = 0,
        shape: Shape = SHAPE,
    ) -> None:
        super().__init__()
        inputs.check_built_for(shape, T=T, width=width, deep_width=deep_width, pairs=pairs)
        self.T, self.levels, self.classes, self.shape = T, levels, classes, shape
        channels, places = shape[0], shape[1] * shape[2] // 16
        self.stem = Conv(4 * channels * (1 + 2 * levels), width, 3)
        self.encode = Near(width)
        self.down = Conv(4 * width, deep_width, 1)
        self.middle = nn.ModuleList()
        for _ in range(pairs):
            self.middle += [Near(deep_width), Far(deep_width, places)]
        self.up = Conv(deep_width, 4 * width, 1)
        self.decode = nn.ModuleList([Near(width), Near(width)])
        self.head = Conv(width, 4 * channels, 3, zero=True)
        self.register_buffer("features", waves(T, WAVES), persistent=False)
        # What the step tells: how strong each wave is; a scale and a shift for each channel of a
        # block; d and r.
        deep = {f"middle {i}": deep_width for i in range(2 * pairs)}
        blocks = {"encode": width, **deep, "decode 0": width, "decode 1": width}
        self.told = {"waves": 2 * channels * levels}
        for name, size in blocks.items():
            self.told |= {f"{name} scale": size, f"{name} shift": size}
        self.told |= {"d": 1, "r": 1}
        self.time = nn.Sequential(
            nn.Linear(WAVES, 2 * WAVES), nn.SiLU(), nn.Linear(2 * WAVES, sum(self.told.values()))
        )
        for parameter in self.time[2].parameters():
            nn.init.zeros_(parameter)
        if classes:  # what no label adds is 0, and stays so
            self.label = nn.Embedding(classes + 1, WAVES, padding_idx=classes)

    def forward(self, x_t: Images, t: Steps, y: Int64[Tensor, "B"] | None = None) -> Images:
        """Return the prediction for each pixel, any real number.

        `y` is the class of each image, `classes` for "not told"; None tells nobody's.
        """
        inputs.check_step(x_t, t, self.T, self.shape)
        known = self.features[t]
        if y is not None:
            inputs.check_label(y, len(x_t), self.classes)
            known = known + self.label(y)
        parts = self.time(known)[:, :, None, None].split(list(self.told.values()), dim=1)
        told = dict(zip(self.told, parts, strict=True))

        def block(module: nn.Module, name: str, h: Tensor) -> Tensor:
            return module(h, scale=told[f"{name} scale"], shift=told[f"{name} shift"])

        x = inputs.own_type(x_t, self)
        pixels = torch.cat([x, level_waves(x, self.levels) * told["waves"]], dim=1)
        fine = block(self.encode, "encode", self.stem(space_to_depth(pixels)))
        h = self.down(space_to_depth(fine))
        for i, module in enumerate(self.middle):
            h = block(module, f"middle {i}", h)
        h = depth_to_space(self.up(h)) + fine
        for i, module in enumerate(self.decode):
            h = block(module, f"decode {i}", h)
        f = depth_to_space(self.head(F.silu(h)))
        return ((1 + told["d"]) * f + told["r"] * x).to(x_t.dtype)
