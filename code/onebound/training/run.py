"""A run of the training loop: on the fastest device, in several processes, cut short and gone on.

It knows no model either: it takes a loss function of a batch.
"""

import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from onebound.checks import check_positive, need, trusting
from onebound.training import loop
from onebound.training.checkpoint import Checkpoint, Parts, fingerprint, name_of
from onebound.training.optimisers import Average, adam
from onebound.training.precision import mixed_precision

with warnings.catch_warnings():  # in a notebook without widgets, which nothing here wants
    warnings.filterwarnings("ignore", "IProgress not found")
    from accelerate import Accelerator

LOOK = 50  # steps after which a run looks whether its numbers are finite: a read stalls a GPU


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training data left behind; the first has `number` 1.

    `loss` is the mean of what the steps of the pass descended, in its own unit. Since the start,
    `steps` are updates of the weights, `seconds` training time, what the caller does apart.
    """

    number: int
    loss: float
    steps: int
    seconds: float


def train(
    model: nn.Module,
    loss: Callable[..., Float[Tensor, "B"]],
    *data: Shaped[Tensor, "N ..."],
    epochs: int,
    batch_size: int = 256,
    learning_rate: float = 2e-3,
    optimiser: Callable[[nn.Module, float], list[Optimizer]] = adam,
    warm_up: int = 0,
    average: Average | None = None,
    seed: int = 0,
    checkpoint: Path | str | None = None,
) -> Iterator[Epoch]:
    """Minimise the mean of `loss` over batches of `data`; `model` and `average` change in place.

    A generator: it trains an epoch each time the caller asks for the next record, so the caller may
    plot, measure or stop in between. There the model is in evaluation mode and where the data are;
    while it trains it is on the fastest device, with products in bfloat16 where that pays. Under
    ``accelerate launch`` each process takes its share of every batch. `seed` fixes the order of the
    examples and, through torch's global generator, the noise in `loss`. `average` takes in each
    step. `checkpoint` keeps the run, every half minute and each epoch, and the run goes on from it.

    ValueError if sizes or rates make no run, or `checkpoint` is damaged, in use or of another run;
    FloatingPointError, within `LOOK` steps, if a loss, a gradient or a weight is not finite.
    """
    accelerator = Accelerator()
    device, main = accelerator.device, accelerator.is_main_process
    rank, processes = accelerator.process_index, accelerator.num_processes
    _check(data, epochs, batch_size, processes, learning_rate, warm_up)
    n = len(data[0])
    steps = n // batch_size
    objective = accelerator.prepare(_Objective(model, loss))  # moves the model to `device`
    optimisers = optimiser(model, learning_rate)
    rate = partial(loop.rate, steps=epochs * steps, warm_up=warm_up)
    rates = [LambdaLR(part, rate) for part in optimisers]
    torch.manual_seed(seed + rank)  # each process has noise of its own
    run: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "seed": seed}
    run |= {"learning_rate": learning_rate, "warm_up": warm_up, "loss": name_of(loss)}
    if checkpoint:
        run["data"] = [fingerprint(part) for part in data]
    models = nn.ModuleDict({"model": model} | ({"average": average} if average else {}))
    parts: Parts = dict(models.items())
    for i, pair in enumerate(zip(optimisers, rates, strict=True)):
        parts |= {f"optimiser {i}": pair[0], f"rate {i}": pair[1]}
    with Checkpoint(checkpoint, run, parts, writes=main) as kept:
        first, done, sofar, seconds = kept.restore() or (1, 0, 0.0, 0.0)
        for number in range(first, epochs + 1):
            start = time.perf_counter() - seconds
            models.to(device)
            model.train()
            total = torch.tensor(sofar, device=device)
            places = loop.shuffled(n, batch_size, seed, number)[done:]  # the same in all processes
            mine = [part.chunk(processes)[rank] for part in places]
            # Progress on a terminal or in a live notebook; the build of the book turns it off.
            quiet = not main or "TQDM_DISABLE" in os.environ
            bar = tqdm(mine, f"epoch {number}", steps, leave=False, initial=done, disable=quiet)
            batches = (tuple(part[place].to(device) for part in data) for place in bar)
            means = loop.descend(model, objective, batches, optimisers, rates)
            for step, mean in enumerate(means, done + 1):
                if average:
                    average.update_parameters(model)
                total += mean
                writes = step == steps or kept.due()
                if writes or step % LOOK == 0:
                    _check_finite(model, total, f"step {step} of epoch {number}", kept)
                if writes:
                    seconds = time.perf_counter() - start
                    kept.save((number, step, total.item(), seconds))
            value = accelerator.reduce(total, "mean").item() / steps
            models.to(data[0].device)
            model.eval()
            yield Epoch(number, value, number * steps, seconds)
            done, sofar = 0, 0.0


class _Objective(nn.Module):
    """The loss as a module that owns the model: what accelerate wraps to share out gradients.

    Values are checked in the first batch of a run; shapes and types in each.
    """

    def __init__(self, model: nn.Module, loss: Callable[..., Tensor]) -> None:
        super().__init__()
        self.model, self.loss, self.first = model, loss, True

    def forward(self, *batch: Tensor) -> Tensor:
        with mixed_precision(batch[0].device), nullcontext() if self.first else trusting():
            self.first = False
            return self.loss(*batch)


def _check(
    data: Sequence[Tensor], epochs: int, batch_size: int, processes: int, rate: float, warm_up: int
) -> None:
    """Refuse what makes no run."""
    sizes = [len(part) for part in data]
    need(len(set(sizes)) == 1, f"expected data of one length, got {sizes}")
    check_positive(epochs=epochs, batch_size=batch_size)
    check_positive(0, warm_up=warm_up)
    uneven = f"a batch of {batch_size} cannot be shared evenly by {processes} processes"
    need(batch_size % processes == 0, uneven)
    need(sizes[0] >= batch_size, f"got {sizes[0]} examples, fewer than one batch of {batch_size}")
    need(0 <= rate < math.inf, f"learning_rate must be finite and at least 0, got {rate!r}")


def _check_finite(model: nn.Module, total: Tensor, place: str, kept: Checkpoint) -> None:
    """Look at losses, gradients and weights, with one read from the device.

    A gradient of an earlier step that was not finite is in the weights: 0 times it is none either.
    """
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    looked_at = (total, *gradients, *model.parameters())
    if not torch.stack([x.isfinite().all() for x in looked_at]).all():
        message = f"a loss, gradient or weight is not finite at {place}: lower learning_rate"
        if kept.path and kept.path.exists():
            message += (
                f". {kept.path} is the last good state: to go on from it, call model."
                f"load_state_dict(onebound.training.checkpoint.read({str(kept.path)!r})['parts']"
                "['model']), and train with a lower rate and another checkpoint"
            )
        raise FloatingPointError(message)
