"""A U-Net of ShuffleNet units: few multiplications, many small operations."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from onebound.networks import inputs
from onebound.networks.inputs import SHAPE, Images, Shape, Steps

TIME_SIZE = 256  # numbers that stand for one step


def shuffle_channels(x: Images) -> Images:
    """Interleave the two halves of the channels, an even number of them.

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
    Ma, Zhang, Zheng and Sun (2018), figures 3c and 3d.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.short = nn.Sequential(depthwise(half), pointwise(half, half))
        self.long = nn.Sequential(pointwise(half, half), depthwise(half), pointwise(half, half))

    def forward(self, x: Images) -> Images:
        """Convolve and shuffle."""
        first, second = x.chunk(2, dim=1)
        return shuffle_channels(torch.cat([self.short(first), self.long(second)], dim=1))


class Downsample(nn.Module):
    """Halve height and width and double the channels, in two branches that see all channels.

    Ma, Zhang, Zheng and Sun (2018), figure 3d.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.short = nn.Sequential(depthwise(width, stride=2), pointwise(width, width))
        self.long = nn.Sequential(
            pointwise(width, width), depthwise(width, stride=2), pointwise(width, width)
        )

    def forward(self, x: Float[Tensor, "B width H W"]) -> Float[Tensor, "B 2*width H//2 W//2"]:
        """Convolve and shuffle."""
        return shuffle_channels(torch.cat([self.short(x), self.long(x)], dim=1))


class Stage(nn.Module):
    """Four units, and the step: a small network of its embedding, added to every pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.units = nn.Sequential(*(Unit(width) for _ in range(4)))
        self.time = nn.Sequential(nn.Linear(TIME_SIZE, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, x: Images, embedding: Float[Tensor, "B numbers"]) -> Images:
        """Apply the units, told the step."""
        return F.silu(self.units(x) + self.time(embedding)[:, :, None, None])


class ShuffleUNet(nn.Module):
    """Noisy images and their steps, 1 to T, to one number a pixel and channel.

    There are `width` channels, an even number, and twice as many at each half of height and width.
    On the way back, what was there at a size joins what comes from below. A learned table holds
    `TIME_SIZE` numbers for each step. Ronneberger, Fischer and Brox (2015); Ma et al. (2018).
    """

    def __init__(self, T: int, width: int = 32, shape: Shape = SHAPE) -> None:
        super().__init__()
        inputs.check_built_for(shape, T=T, width=width)
        if width % 2:
            raise ValueError(f"width must be even: a unit splits the channels, got {width}")
        self.T, self.shape, channels = T, shape, shape[0]
        self.embedding = nn.Embedding(T, TIME_SIZE)
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.SiLU()
        )
        self.encode_whole, self.to_half = Stage(width), Downsample(width)
        self.encode_half, self.to_quarter = Stage(2 * width), Downsample(2 * width)
        self.middle = nn.Sequential(
            *(Unit(4 * width) for _ in range(3)), pointwise(4 * width, 2 * width)
        )
        self.up = nn.Upsample(scale_factor=2, mode="bilinear")
        self.decode_half, self.from_half = Stage(4 * width), pointwise(4 * width, width)
        self.decode_whole, self.from_whole = Stage(2 * width), pointwise(2 * width, width)
        self.head = nn.Conv2d(width, channels, 1)

    def forward(self, x_t: Images, t: Steps) -> Images:
        """Return the prediction for each pixel, any real number."""
        inputs.check_step(x_t, t, self.T, self.shape)
        embedding = self.embedding(t - 1)
        whole = self.encode_whole(self.stem(inputs.own_type(x_t, self)), embedding)
        half = self.encode_half(self.to_half(whole), embedding)
        h = self.middle(self.to_quarter(half))
        h = self.decode_half(torch.cat([self.up(h), half], dim=1), embedding)
        h = self.decode_whole(torch.cat([self.up(self.from_half(h)), whole], dim=1), embedding)
        return self.head(self.from_whole(h)).to(x_t.dtype)
