"""The training loop. It knows no model: it takes a loss function of a batch."""

import math
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from onebound.checks import check_positive
from onebound.training.checkpoint import Checkpoint, Stateful
from onebound.training.optimisers import adam
from onebound.training.precision import mixed_precision

with warnings.catch_warnings():  # in a notebook without widgets, which nothing here wants
    warnings.filterwarnings("ignore", "IProgress not found")
    from accelerate import Accelerator


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training images left behind."""

    number: int
    """1 for the first."""
    loss: float
    """Mean over the pass of the loss that the steps descended, in its own unit."""
    steps: int
    """Updates of the weights since the start."""
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
    optimiser: Callable[[nn.Module, float], list[Optimizer]] = adam,
    warm_up: int = 0,
    average: AveragedModel | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
) -> Iterator[Epoch]:
    """Minimise the mean of `loss`; the rate falls to zero along half a cosine.

    A generator: it trains one epoch each time the caller asks for the next record, so the caller
    may plot, measure or stop in between. It computes on the fastest device there is, and matrix
    products in bfloat16 where that pays; between epochs the model is back where `images` are. Under
    ``accelerate launch`` each process takes its share of every batch.

    Parameters
    ----------
    model
        What to train; its parameters change in place.
    loss
        Maps a batch of `images` to one number per example, shape (B,).
    images
        Training data in memory, first axis the examples.
    epochs, batch_size
        Passes over the data, and examples a step over all processes together; a last incomplete
        batch is left out.
    learning_rate
        The rate at the start.
    optimiser
        Of `onebound.training.optimisers`, called with the model and the rate.
    warm_up
        Steps over which the rate rises in proportion before it follows the cosine.
    average
        An average of `model` that takes in the weights of each step, see
        `onebound.training.optimisers.averaged`.
    seed
        Fixes the order of the examples and, through torch's global generator, the noise in
        `loss`.
    checkpoint
        A file that keeps the state of the run, renewed every half minute and after each epoch. If
        it is there, training goes on from it, and the first record is that of the epoch it was in.

    Yields
    ------
    Epoch
        One record a pass.

    Raises
    ------
    ValueError
        If a size is below 1, fewer images came than one batch holds, the processes cannot share a
        batch evenly, or `checkpoint` cannot be read or is of another run.
    FloatingPointError
        If the loss of an epoch is not finite.
    """
    accelerator = Accelerator()
    device, main = accelerator.device, accelerator.is_main_process
    steps = _steps(len(images), epochs, batch_size, accelerator.num_processes)
    objective = accelerator.prepare(_Objective(model, loss))  # moves the model to `device`
    optimisers = optimiser(model, learning_rate)
    rate = partial(_rate, steps=epochs * steps, warm_up=warm_up)
    schedules = [LambdaLR(optimiser, rate) for optimiser in optimisers]
    torch.manual_seed(seed + accelerator.process_index)  # each process has noise of its own
    run = {"images": len(images), "epochs": epochs, "batch_size": batch_size, "seed": seed}
    rates = {"learning_rate": learning_rate, "warm_up": warm_up}
    parts: dict[str, Stateful] = {"model": model}
    if average:
        parts["average"] = average
    for number, pair in enumerate(zip(optimisers, schedules, strict=True)):
        parts |= {f"optimiser {number}": pair[0], f"schedule {number}": pair[1]}
    kept = Checkpoint(checkpoint, run | rates, parts, writes=main)
    first, done, sofar, seconds = kept.restore() or (1, 0, 0.0, 0.0)
    for number in range(first, epochs + 1):
        start = time.perf_counter() - seconds
        model.to(device).train()
        if average:
            average.to(device)
        total = torch.tensor(sofar, device=device)
        order = Generator().manual_seed(1000 * seed + number)  # the same in every process
        batches = torch.randperm(len(images), generator=order).split(batch_size)[done:steps]
        for step, batch in enumerate(_bar(batches, number, steps, shown=main), done + 1):
            with mixed_precision(device), accelerator.split_between_processes(batch) as share:
                value = objective(images[share].to(device)).mean()
            model.zero_grad()
            accelerator.backward(value)
            for part in optimisers + schedules:
                part.step()
            if average:
                average.update_parameters(model)
            total += value.detach()
            if step == steps or kept.due():
                seconds = time.perf_counter() - start
                kept.save((number, step, total.item(), seconds))
        mean = accelerator.reduce(total, "mean").item() / steps
        if not math.isfinite(mean):
            raise FloatingPointError(f"the loss is {mean} in epoch {number}: lower learning_rate")
        model.to(images.device)
        if average:
            average.to(images.device)
        yield Epoch(number, mean, number * steps, seconds)
        done, sofar = 0, 0.0


def _rate(step: int, steps: int, warm_up: int) -> float:
    """Return the share of the rate at a step, 0 for the first of `steps`."""
    return min(1.0, (step + 1) / (warm_up + 1)) * 0.5 * (1 + math.cos(math.pi * step / steps))


class _Objective(nn.Module):
    """The loss as a module that owns the model: what accelerate wraps to share out gradients."""

    def __init__(self, model: nn.Module, loss: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Tensor) -> Tensor:
        return self.loss(batch)


def _steps(images: int, epochs: int, batch_size: int, processes: int) -> int:
    """Return the steps of an epoch."""
    check_positive("epochs", epochs)
    check_positive("batch_size", batch_size)
    if batch_size % processes:
        raise ValueError(
            f"a batch of {batch_size} cannot be shared evenly by {processes} processes"
        )
    if images < batch_size:
        raise ValueError(f"got {images} images, fewer than one batch of {batch_size}")
    return images // batch_size


def _bar(batches: Sequence[Tensor], epoch: int, steps: int, *, shown: bool) -> Iterable[Tensor]:
    """Show progress on a terminal or in a live notebook; the build of the book turns it off."""
    disable = not shown or "TQDM_DISABLE" in os.environ
    done = steps - len(batches)
    bar: Iterable[Tensor] = tqdm(
        batches, f"epoch {epoch}", total=steps, initial=done, leave=False, disable=disable
    )
    return bar
