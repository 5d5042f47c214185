"""A U-Net of ShuffleNet units: few multiplications, many small operations."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onebound.checks import check_positive
from onebound.networks.time import check_step

TIME_SIZE = 256
"""Numbers that stand for one step."""


def shuffle_channels(x: Tensor) -> Tensor:
    """Interleave the two halves of the channels of (B, C, H, W), C even.

    Channel c of the result is channel ``c // 2 + (c % 2) * C // 2`` of `x`: both halves of the
    result hold channels of both halves of `x`.
    """
    return x.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)


def pointwise(width: int, out_width: int) -> nn.Sequential:
    """Mix the channels of each pixel: 1 x 1 convolution, batch norm, SiLU."""
    return nn.Sequential(
        nn.Conv2d(width, out_width, 1, bias=False),  # batch norm would take a bias away again
        nn.BatchNorm2d(out_width),
        nn.SiLU(),
    )


def depthwise(width: int, stride: int = 1) -> nn.Sequential:
    """Mix the pixels of each channel: 3 x 3 convolution and batch norm."""
    return nn.Sequential(
        nn.Conv2d(width, width, 3, stride, padding=1, groups=width, bias=False),
        nn.BatchNorm2d(width),
    )


class Unit(nn.Module):
    """Split the channels, convolve the halves apart, and shuffle them together.

    A half never sees the other before the shuffle, so each pointwise convolution costs a quarter of
    one of all channels. In ShuffleNetV2 the short half passes unchanged; here it is convolved too.

    References
    ----------
    Ma, Zhang, Zheng and Sun (2018), figures 3c and 3d.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.short = nn.Sequential(depthwise(half), pointwise(half, half))
        self.long = nn.Sequential(pointwise(half, half), depthwise(half), pointwise(half, half))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, H, W) to the same shape."""
        first, second = x.chunk(2, dim=1)
        return shuffle_channels(torch.cat([self.short(first), self.long(second)], dim=1))


class Downsample(nn.Module):
    """Halve height and width and double the channels, in two branches that see all channels.

    References
    ----------
    Ma, Zhang, Zheng and Sun (2018), figure 3d.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.short = nn.Sequential(depthwise(width, stride=2), pointwise(width, width))
        self.long = nn.Sequential(
            pointwise(width, width), depthwise(width, stride=2), pointwise(width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, H, W) to (B, 2 width, H/2, W/2)."""
        return shuffle_channels(torch.cat([self.short(x), self.long(x)], dim=1))


class Stage(nn.Module):
    """Four units, and the step: a small network of its embedding, added to every pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.units = nn.Sequential(*(Unit(width) for _ in range(4)))
        self.time = nn.Sequential(nn.Linear(TIME_SIZE, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map x (B, width, H, W) and the embedding (B, TIME_SIZE) to a tensor like x."""
        return F.silu(self.units(x) + self.time(embedding)[:, :, None, None])


class ShuffleUNet(nn.Module):
    """Noisy images (B, 1, 28, 28) and steps t (B,) to one number a pixel, (B, 1, 28, 28).

    The encoder works at 28 x 28 and 14 x 14 pixels with `width` and 2 `width` channels, the middle
    at 7 x 7 with 4 `width`. On the way back, what the encoder had at a size joins what comes from
    below. A learned table holds `TIME_SIZE` numbers for each step.

    Parameters
    ----------
    T
        Number of steps; t is in 1..T.
    width
        Channels after the first convolution, a multiple of 2.

    References
    ----------
    Ronneberger, Fischer and Brox (2015); Ma, Zhang, Zheng and Sun (2018).
    """

    def __init__(self, T: int, width: int = 32) -> None:
        super().__init__()
        check_positive("T", T)
        check_positive("width", width)
        if width % 2:
            raise ValueError(f"width must be even: a unit splits the channels, got {width}")
        self.T = T
        self.embedding = nn.Embedding(T, TIME_SIZE)
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.SiLU()
        )
        self.encode_28, self.to_14 = Stage(width), Downsample(width)
        self.encode_14, self.to_7 = Stage(2 * width), Downsample(2 * width)
        self.middle = nn.Sequential(
            *(Unit(4 * width) for _ in range(3)), pointwise(4 * width, 2 * width)
        )
        self.up = nn.Upsample(scale_factor=2, mode="bilinear")
        self.decode_14, self.from_14 = Stage(4 * width), pointwise(4 * width, width)
        self.decode_28, self.from_28 = Stage(2 * width), pointwise(2 * width, width)
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Return the prediction for each pixel, any real number, in the type of `x_t`.

        Raises
        ------
        ValueError
            If `x_t` or `t` is not what `onebound.networks.time.check_step` asks for.
        """
        check_step(x_t, t, self.T)
        embedding = self.embedding(t - 1)
        at_28 = self.encode_28(self.stem(x_t), embedding)
        at_14 = self.encode_14(self.to_14(at_28), embedding)
        h = self.middle(self.to_7(at_14))
        h = self.decode_14(torch.cat([self.up(h), at_14], dim=1), embedding)
        h = self.decode_28(torch.cat([self.up(self.from_14(h)), at_28], dim=1), embedding)
        return self.head(self.from_28(h)).to(x_t.dtype)
