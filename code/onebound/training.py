"""The training loop. It knows no model: it takes a loss function of a batch."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from onebound.checks import check_positive


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training images left behind."""

    number: int
    """1 for the first."""
    loss: float
    """Mean over the pass of the loss that the steps descended, in its own unit."""
    seconds: float
    """Training time since the start; what the caller does between epochs does not count."""


def train(
    model: nn.Module,
    loss: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    epochs: int,
    batch_size: int = 256,
    learning_rate: float = 2e-3,
    seed: int = 0,
) -> Iterator[Epoch]:
    """Minimise the mean of `loss` with Adam; the rate falls to zero along half a cosine.

    A generator: it trains one epoch each time the caller asks for the next record, so the caller
    may plot, measure or stop in between. Matrix products run in bfloat16 where that is fast.

    Parameters
    ----------
    model
        What to train; its parameters change in place.
    loss
        Maps a batch of `images` to one number per example, shape (B,).
    images
        Training data in memory, first axis the examples.
    epochs, batch_size
        Passes over the data, and examples a step; a last incomplete batch is left out.
    learning_rate
        Adam's rate at the start.
    seed
        Fixes the order of the examples and, through torch's global generator, the noise in
        `loss`.

    Yields
    ------
    Epoch
        One record a pass.

    Raises
    ------
    ValueError
        If a size is below 1, or fewer images came than one batch holds.
    FloatingPointError
        If the loss of an epoch is not finite.
    """
    check_positive("epochs", epochs)
    check_positive("batch_size", batch_size)
    steps = len(images) // batch_size
    if steps == 0:
        raise ValueError(f"got {len(images)} images, fewer than one batch of {batch_size}")
    # A shorter memory of squared gradients than the usual 0.999 suits runs of a few thousand steps.
    optimiser = torch.optim.Adam(model.parameters(), learning_rate, betas=(0.9, 0.99), fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * steps)
    order = Generator().manual_seed(seed)
    torch.manual_seed(seed)
    seconds = 0.0
    for number in range(1, epochs + 1):
        start = time.perf_counter()
        model.train()
        total = torch.zeros(())
        shuffled = torch.randperm(len(images), generator=order)[: steps * batch_size]
        for batch in shuffled.split(batch_size):
            with mixed_precision(images.device):
                value = loss(images[batch]).mean()
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            schedule.step()
            total += value.detach()
        mean = total.item() / steps
        if not math.isfinite(mean):
            raise FloatingPointError(f"the loss is {mean} in epoch {number}: lower learning_rate")
        seconds += time.perf_counter() - start
        yield Epoch(number, mean, seconds)


def mixed_precision(device: torch.device) -> torch.autocast:
    """Return the context in which matrix products and convolutions use bfloat16 if that pays.

    It pays on processors and GPUs that compute in bfloat16. Elsewhere the context does nothing, and
    everything stays in float32.
    """
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        fast = device.type == "cpu" and any(
            capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16")
        )
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)
