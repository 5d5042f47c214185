"""What several tests share."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from onebound.diffusion.bound import bound, equal_chances
from onebound.diffusion.schedules import cosine_schedule, linear_schedule, log_snr_schedule
from onebound.exact.mixture import Mixture

SCHEDULES = [linear_schedule, cosine_schedule, log_snr_schedule]


def by_a_random_step(schedule, *arguments, **named):
    """The bound from the decoder and one step of each example, all steps alike."""
    return bound(schedule, *arguments, **named, chances=equal_chances(schedule))


def one_normal(covariance, mean=0.0):
    """A single normal density as a mixture, whose every quantity is known."""
    covariance = torch.as_tensor(covariance, dtype=torch.float64)
    return Mixture(torch.ones(1).double(), torch.full_like(covariance[:1], mean), covariance[None])


READS = {  # what makes a device wait: a value of a tensor decides on the host
    torch.ops.aten._local_scalar_dense,
    torch.ops.aten.nonzero,
    torch.ops.aten.masked_select,
    torch.ops.aten.equal,
    torch.ops.aten.is_nonzero,
    torch.ops.aten._unique2,
    torch.ops.aten.repeat_interleave,
    torch.ops.aten.bincount,
}


class Watch(TorchDispatchMode):
    """Writes down, while it is entered, each operation that makes a float64 tensor or a read.

    `doubles` and `reads` are their names; `nothing()` asserts that there were none.
    """

    def __init__(self):
        super().__init__()
        self.doubles, self.reads = [], []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        by_mask = packet in (torch.ops.aten.index, torch.ops.aten.index_put_) and any(
            isinstance(i, torch.Tensor) and i.dtype in (torch.bool, torch.uint8)
            for i in tree_leaves(args[1])
        )
        if packet in READS or by_mask:
            self.reads.append(str(func))
        made = [x for x in tree_leaves(out) if isinstance(x, torch.Tensor)]
        if any(x.dtype == torch.float64 for x in made):
            self.doubles.append(str(func))
        return out

    def nothing(self):
        assert not self.doubles, f"float64: {self.doubles}"
        assert not self.reads, f"read on the host: {self.reads}"
