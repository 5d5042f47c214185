"""A U-Net for a CPU: most of its work is matrix products on 7 x 7 places."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onebound.checks import check_positive
from onebound.networks.time import check_step, waves

WAVES = 64
"""Sines and cosines that describe one step."""


def space_to_depth(x: Tensor) -> Tensor:
    """Turn each 2 x 2 patch into channels: (B, C, 2 H, 2 W) to (B, 4 C, H, W).

    The result is stored channels last. Convolutions are fastest there, and keep it so.
    """
    patches = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))  # (B, C, H, 2, W, 2)
    return patches.permute(0, 2, 4, 3, 5, 1).flatten(3).permute(0, 3, 1, 2)


def depth_to_space(x: Tensor) -> Tensor:
    """Undo `space_to_depth`: (B, 4 C, H, W) to (B, C, 2 H, 2 W)."""
    patches = x.unflatten(1, (2, 2, -1))  # (B, 2, 2, C, H, W)
    return patches.permute(0, 4, 1, 5, 2, 3).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


class Conv(nn.Module):
    """A convolution of `size` x `size` places that keeps height and width; outside is 0.

    The weights are a matrix with one row for each channel that comes out, because Muon takes
    matrices: this optimiser makes all singular values of an update about equal.

    References
    ----------
    Jordan et al. (2024) for Muon.
    """

    def __init__(self, width: int, out_width: int, size: int, *, zero: bool = False) -> None:
        super().__init__()
        fan_in = size * size * width
        self.shape = (out_width, size, size, width)
        scale = 0.0 if zero else 1 / math.sqrt(fan_in)
        self.weight = nn.Parameter(scale * torch.randn(out_width, fan_in))
        self.bias = nn.Parameter(torch.zeros(out_width))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, H, W) to (B, out_width, H, W)."""
        kernel = self.weight.view(self.shape).permute(0, 3, 1, 2)
        return F.conv2d(x, kernel, self.bias, padding=self.shape[1] // 2)


def modulate(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Give each image mean 0 and variance 1, then scale and shift each channel."""
    return torch.addcmul(shift, F.group_norm(x, 1), 1 + scale)


def level_waves(x: Tensor, levels: int) -> Tensor:
    """Sines and cosines of each pixel's value, whose periods are 1, 2, 4, ... grey levels.

    A clean pixel is a whole number of levels, and its fastest waves are always 0 and 1. Where the
    noise is finer than a level, they show it, though it is lost in the digits of the value itself.

    Parameters
    ----------
    x
        In units in which a grey level is 2 / 255 wide, shape (B, 1, H, W).
    levels
        How many periods; may be 0.

    Returns
    -------
    Tensor
        Shape (B, 2 levels, H, W).

    References
    ----------
    Kingma, Salimans, Poole and Ho (2021), appendix C, with other periods.
    """
    periods = 2.0 ** torch.arange(levels, device=x.device).reshape(-1, 1, 1)
    angles = math.pi * 255 * (x + 1) / periods
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class Near(nn.Module):
    """x + f(x), f two 3 x 3 convolutions: a place hears from its neighbours."""

    def __init__(self, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = Conv(width, width, 3)
        self.second = Conv(width, width, 3, zero=True)  # the block starts as the identity
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Map (B, width, H, W) to the same shape; scale and shift are (B, width, 1, 1)."""
        h = self.first(F.silu(modulate(x, scale, shift)))
        return x + self.second(self.dropout(F.silu(h)))


class Far(nn.Module):
    """x + f(x), f a matrix over the places between two over the channels: a place hears from all.

    The matrix is the same for each channel and does not depend on the image: the token mixing of
    an MLP-Mixer. It costs less than a 3 x 3 convolution as soon as 49 < 9 `width`.

    References
    ----------
    Tolstikhin et al. (2021).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = Conv(width, width, 1)
        self.mix = nn.Parameter(torch.randn(49, 49) / math.sqrt(49))
        self.second = Conv(width, width, 1, zero=True)

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Map (B, width, 7, 7) to the same shape; scale and shift are (B, width, 1, 1)."""
        h = self.first(modulate(x, scale, shift)).permute(0, 2, 3, 1)  # (B, 7, 7, width)
        mixed = (self.mix @ h.flatten(1, 2)).view(h.shape).permute(0, 3, 1, 2)
        return x + self.second(F.silu(mixed))


def check_label(y: Tensor, n: int, classes: int) -> None:
    """Refuse labels unless they are n whole numbers from 0 to `classes`, the last for "not told".

    Raises
    ------
    ValueError
        If they are not.
    """
    if not classes:
        raise ValueError("got labels, but this network has no classes: give it `classes`")
    if y.dtype != torch.int64 or y.shape != (n,):
        raise ValueError(
            f"expected {n} labels, int64 of shape ({n},), got {y.dtype} of shape {tuple(y.shape)}"
        )
    smallest, largest = (value.item() for value in y.aminmax())
    if smallest < 0 or largest > classes:
        raise ValueError(
            f"labels must be in 0..{classes}, {classes} for none, got {smallest} to {largest}"
        )


class UNet(nn.Module):
    """Noisy images (B, 1, 28, 28) and steps t (B,) to one number a pixel, (B, 1, 28, 28).

    Patches of 2 x 2 pixels become channels, and one block works at 14 x 14 places. Patches become
    channels again, and most blocks work at 7 x 7, a near and a far one in turn. Back at 14 x 14,
    what was there before is added to what comes from below, and two blocks follow. Each block is
    told the step by a scale and a shift for each channel.

    The result is d F(x_t, t) + c x_t, with two numbers c and d that depend on the step alone: F
    need not carry the noisy image through all its layers to give a part of it back.

    Parameters
    ----------
    T
        Number of steps; t is in 1..T.
    width, deep_width
        Channels at 14 x 14 and at 7 x 7; multiples of 16 are fast.
    pairs
        Blocks of each kind at 7 x 7.
    dropout
        Probability that a hidden number of a near block is dropped in training.
    levels
        How many sines and cosines of a pixel's value come with it, see `level_waves`.
    classes
        How many classes the network may be told; may be 0.

    References
    ----------
    Ronneberger, Fischer and Brox (2015); Perez et al. (2018) for scale and shift; Karras et al.
    (2022) for the skip from the input to the output.
    """

    features: Tensor

    def __init__(
        self,
        T: int,
        width: int = 32,
        deep_width: int = 64,
        pairs: int = 2,
        dropout: float = 0.0,
        levels: int = 0,
        classes: int = 0,
    ) -> None:
        super().__init__()
        check_positive("T", T)
        check_positive("width", width)
        check_positive("deep_width", deep_width)
        check_positive("pairs", pairs)
        self.T, self.levels, self.classes = T, levels, classes
        self.stem = Conv(4 + 8 * levels, width, 3)
        self.encode = Near(width, dropout)
        self.down = Conv(4 * width, deep_width, 1)
        self.middle = nn.ModuleList()
        for _ in range(pairs):
            self.middle += [Near(deep_width, dropout), Far(deep_width)]
        self.up = Conv(deep_width, 4 * width, 1)
        self.decode = nn.ModuleList([Near(width, dropout), Near(width, dropout)])
        self.head = Conv(width, 4, 3, zero=True)
        self.register_buffer("features", waves(T, WAVES), persistent=False)
        # A number for each wave, two for each channel of each block in the order of use, d and c.
        blocks = [width] * 2 + [deep_width] * 4 * pairs + [width] * 4
        self.sizes = [2 * levels, *blocks, 1, 1]
        self.time = nn.Sequential(
            nn.Linear(WAVES, 2 * WAVES), nn.SiLU(), nn.Linear(2 * WAVES, sum(self.sizes))
        )
        for parameter in self.time[2].parameters():
            nn.init.zeros_(parameter)
        if classes:  # what no label adds is 0, and stays so
            self.label = nn.Embedding(classes + 1, WAVES, padding_idx=classes)

    def forward(self, x_t: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the prediction for each pixel, any real number, in the type of `x_t`.

        Parameters
        ----------
        x_t, t
            Noisy images (B, 1, 28, 28) and their steps (B,).
        y
            The class of each image, int64, shape (B,); `classes` stands for "not told", and None
            tells nobody's. Only a network with `classes` takes it.

        Raises
        ------
        ValueError
            As `onebound.networks.time.check_step`, and if `y` holds anything else.
        """
        check_step(x_t, t, self.T)
        known = self.features[t]
        if y is not None:
            check_label(y, len(x_t), self.classes)
            known = known + self.label(y)
        told = iter(self.time(known)[:, :, None, None].split(self.sizes, dim=1))
        pixels = torch.cat([x_t, level_waves(x_t, self.levels) * next(told)], dim=1)
        at_14 = self.encode(self.stem(space_to_depth(pixels)), next(told), next(told))
        h = self.down(space_to_depth(at_14))
        for block in self.middle:
            h = block(h, next(told), next(told))
        h = depth_to_space(self.up(h)) + at_14
        for block in self.decode:
            h = block(h, next(told), next(told))
        f = depth_to_space(self.head(F.silu(h)))
        return ((1 + next(told)) * f + next(told) * x_t).to(x_t.dtype)
