"""Numbers that say which step it is."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def waves(T: int, size: int) -> Float[Tensor, "steps size"]:
    """Describe step t in row t, 0 to T, by sines and cosines from slow to fast (`[eq-waves]`).

    Neighbouring steps get similar rows, so what a network learns at one step serves the next. The
    slowest wave makes an eighth of a turn from 0 to T and tells early from late; the fastest makes
    125 turns and tells neighbours apart. Vaswani et al. (2017), section 3.5, with other
    frequencies; Ho, Jain and Abbeel (2020).
    """
    turns = torch.logspace(math.log10(1 / 8), math.log10(125), size // 2)
    angles = 2 * math.pi * turns * torch.arange(T + 1)[:, None] / T
    return torch.cat([angles.sin(), angles.cos()], dim=1)
