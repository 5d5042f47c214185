"""How a step changes the weights, and an average over steps."""

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

MEMORY = (0.9, 0.99)
"""Adam's decay of gradients and of their squares. A shorter memory of squares than the usual 0.999
suits runs of a few thousand steps."""


Tensors = tuple[Tensor, ...] | list[Tensor]


def adam(model: nn.Module, learning_rate: float) -> list[Optimizer]:
    """Adam for all parameters.

    References
    ----------
    Kingma and Ba (2015).
    """
    return [torch.optim.Adam(model.parameters(), learning_rate, betas=MEMORY, fused=True)]


def muon(model: nn.Module, learning_rate: float) -> list[Optimizer]:
    """Muon for matrices, Adam at a sixth of the rate for the rest.

    Muon makes all singular values of a matrix's update about equal, so that each direction learns
    as fast as the others. A matrix with fewer than 16 rows or columns has too few of them to gain
    from that.

    References
    ----------
    Jordan et al. (2024).
    """
    parameters = list(model.parameters())
    matrices = [p for p in parameters if p.ndim == 2 and min(p.shape) >= 16]
    chosen = {id(matrix) for matrix in matrices}
    rest = [p for p in parameters if id(p) not in chosen]
    return [
        # Three iterations bring the singular values close enough together, in half of the time.
        torch.optim.Muon(matrices, learning_rate, weight_decay=0.01, ns_steps=3),
        torch.optim.Adam(rest, learning_rate / 6, betas=MEMORY, fused=True),
    ]


def averaged(model: nn.Module, memory: float = 0.1) -> AveragedModel:
    """Return an exponential moving average of a model's weights and buffers.

    At step n the new weights count 1 / (1 + memory n), the old average the rest
    (`[eq-average-weights]`). The average reaches back over about a share `memory` of the steps so
    far: early it forgets the first random weights soon, later it is smooth. Buffers, such as the
    statistics of a batch norm, are averaged too: those of the last step do not fit averaged
    weights.

    Parameters
    ----------
    model
        Not changed.
    memory
        0 to 1: 0 keeps the last weights only, 1 is the mean of all.

    Returns
    -------
    AveragedModel
        Torch's own; ``update_parameters(model)`` takes in a step, ``module`` is the averaged model.

    Raises
    ------
    ValueError
        If `memory` is outside [0, 1].

    References
    ----------
    Karras et al. (2024) for an average whose reach grows with training.
    """
    if not 0 <= memory <= 1:
        raise ValueError(f"memory must be in [0, 1], got {memory!r}")

    def update(average: Tensors, new: Tensors, n: Tensor | int) -> None:
        if average[0].is_floating_point():
            torch._foreach_lerp_(average, new, 1 / (1 + memory * float(n)))
        else:  # a count of batches
            torch._foreach_copy_(average, new)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)
