"""How a step changes the weights, and an average over steps."""

from copy import deepcopy

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from onebound.checks import need

Matrix = Float[Tensor, "rows columns"]
MEMORY = (0.9, 0.99)
"""Adam's decay of gradients and of their squares. A shorter memory of squares than the usual 0.999
suits runs of a few thousand steps."""


def adam(model: nn.Module, learning_rate: float) -> list[Optimizer]:
    """Adam for all parameters; Kingma and Ba (2015)."""
    return [torch.optim.Adam(model.parameters(), learning_rate, betas=MEMORY, fused=True)]


class Muon(Optimizer):
    """Gradient descent whose every step has all its singular values about equal (`[eq-muon]`).

    The running mean of a matrix's gradients, with Nesterov's look ahead, is brought close to U V^T
    of its singular value decomposition by `orthogonal`, and scaled by sqrt(rows / columns) if it is
    taller than wide. `weight_decay` is the share of the weights, times the rate, that each step
    takes away. Jordan et al. (2024).
    """

    def __init__(
        self,
        matrices: list[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change every matrix that has a gradient."""
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for matrix in (matrix for matrix in group["params"] if matrix.grad is not None):
                state = self.state[matrix]
                if not state:
                    state["mean"] = torch.zeros_like(matrix)
                state["mean"].lerp_(matrix.grad, 1 - momentum)
                ahead = matrix.grad.lerp(state["mean"], momentum)
                tall = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
                matrix.mul_(1 - rate * group["weight_decay"])
                matrix.add_(orthogonal(ahead), alpha=-rate * tall)


def orthogonal(matrix: Matrix, steps: int = 3) -> Matrix:
    """Bring all singular values of a matrix near 1 by Newton-Schulz steps (`[eq-newton-schulz]`).

    Each step maps a singular value s to a s + b s^3 + c s^5 with the numbers of Jordan et al.
    (2024): they bring small ones up fast, and keep them between 0.68 and 1.21 from then on. Three
    steps, not the usual five, take all above 0.018 of the matrix's norm there. A step multiplies X
    from the left by P = a + b X X^T + c (X X^T)^2. The products of these P, and what they make of
    X X^T, are small squares; the long matrix itself is multiplied twice in all.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp(min=1e-7)
    gram, product = x @ x.T, torch.eye(len(x), dtype=x.dtype, device=x.device)
    for _ in range(steps):
        p = torch.addmm(gram, gram, gram, beta=-4.7750, alpha=2.0315)
        p.diagonal().add_(3.4445)
        product, gram = p @ product, p @ gram @ p  # all are polynomials of one matrix: they commute
    x = product @ x
    return x.T if tall else x


def muon(model: nn.Module, learning_rate: float) -> list[Optimizer]:
    """Muon for matrices, Adam at a sixth of the rate for the rest.

    A matrix with fewer than 16 rows or columns has too few singular values to gain from Muon.
    ValueError if there is no larger one.
    """
    parameters = list(model.parameters())
    matrices = [p for p in parameters if p.ndim == 2 and min(p.shape) >= 16]
    rest = [p for p in parameters if p.ndim != 2 or min(p.shape) < 16]
    what = f"{type(model).__name__} has no matrix of at least 16 rows and columns"
    remedy = "Muon is for matrices: train it with onebound.training.optimisers.adam"
    need(matrices, f"{what}, and {remedy}")
    adams = [torch.optim.Adam(rest, learning_rate / 6, betas=MEMORY, fused=True)] if rest else []
    return [Muon(matrices, learning_rate), *adams]


class Average(nn.Module):
    """An exponential moving average of a model's weights and buffers, in evaluation mode.

    ``update_parameters(model)`` takes in a step; ``module`` is the averaged model. It reaches back
    over about a share `memory` of the steps so far (`[eq-average-weights]`). The statistics of a
    batch norm fit averaged weights neither so nor as they were at the last step: compute them
    again. Shamir and Zhang (2013), with their eta = 1 / memory - 1; Karras et al. (2024).
    ValueError if `memory` is not in [0, 1].
    """

    def __init__(self, model: nn.Module, memory: float = 0.1) -> None:
        super().__init__()
        need(0 <= memory <= 1, f"memory must be in [0, 1], got {memory!r}")
        self.module, self.memory, self.steps = deepcopy(model).eval(), memory, 0

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take in a step: the new weights count 1 / (1 + memory n) at step n, the old the rest."""
        share = 1 / (1 + self.memory * self.steps)
        for average, new in zip(_tensors(self.module), _tensors(model), strict=True):
            if new.is_floating_point():
                average.lerp_(new, share)
            else:  # a count of batches
                average.copy_(new)
        self.steps += 1

    def get_extra_state(self) -> int:
        """Return the steps taken in, for `state_dict`."""
        return self.steps

    def set_extra_state(self, state: int) -> None:
        """Take them back."""
        self.steps = state


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
