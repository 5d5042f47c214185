"""The training loop: what a step is. It knows no model, no device and no file."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Generator, Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


def shuffled(n: int, batch_size: int, seed: int, epoch: int) -> list[Int64[Tensor, "B"]]:
    """Deal out the places 0 to n - 1 in random order; a last incomplete batch is left out."""
    order = torch.randperm(n, generator=Generator().manual_seed(1000 * seed + epoch))
    return list(order[: n - n % batch_size].split(batch_size))


def rate(step: int, steps: int, warm_up: int) -> float:
    """Rise in proportion over `warm_up` steps, and fall to zero along half a cosine."""
    return min(1.0, (step + 1) / (warm_up + 1)) * 0.5 * (1 + math.cos(math.pi * step / steps))


def descend(
    model: nn.Module,
    loss: Callable[..., Float[Tensor, "B"]],
    batches: Iterable[tuple[Tensor, ...]],
    optimisers: Sequence[Optimizer],
    rates: Sequence[LRScheduler],
) -> Iterator[Float[Tensor, ""]]:
    """Take a step for each batch, down the mean of its losses; yield that mean."""
    for batch in batches:
        mean = loss(*batch).mean()
        model.zero_grad()
        mean.backward()
        for optimiser in optimisers:
            optimiser.step()
        for falling in rates:
            falling.step()
        yield mean.detach()
