"""What a network of a noisy image and its step needs: a check of both, and numbers that say t."""

import math

import torch
from torch import Tensor

from onebound.checks import check_images, check_times


def check_step(x_t: Tensor, t: Tensor, T: int) -> None:
    """Refuse what is not a batch of noisy images with a step from 1 to T for each.

    Raises
    ------
    ValueError
        If `x_t` is not floating point of shape (B, 1, 28, 28) or holds NaN, or `t` is not int64 of
        shape (B,) or leaves 1 to T. Unchecked, t = 0 would read the last row of a table of T.
    """
    check_images(x_t, -math.inf, math.inf)
    check_times(t, T, x_t)


def waves(T: int, size: int) -> Tensor:
    """Describe each step by sines and cosines of t, from slow ones to fast ones (`[eq-waves]`).

    Neighbouring steps get similar rows, so what a network learns at one step serves the next. The
    slowest wave makes an eighth of a turn from 0 to T and tells early from late; the fastest makes
    125 turns and tells neighbours apart.

    Parameters
    ----------
    T
        Number of steps.
    size
        Numbers a step, even.

    Returns
    -------
    Tensor
        Row t describes step t, values in [-1, 1], shape (T + 1, size).

    References
    ----------
    Vaswani et al. (2017), section 3.5, with other frequencies; Ho, Jain and Abbeel (2020).
    """
    turns = torch.logspace(math.log10(1 / 8), math.log10(125), size // 2)
    angles = 2 * math.pi * turns * torch.arange(T + 1)[:, None] / T
    return torch.cat([angles.sin(), angles.cos()], dim=1)
