"""What the public boundary refuses, and the one sentence it says about it.

Each function raises a ValueError that says what came, what was expected, and what to do. A loop
checks its first batch, and trusts the others (`trusting`).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from jaxtyping import Shaped
from torch import Tensor

_trusts: ContextVar[bool] = ContextVar("trusts", default=False)
trusted = _trusts.get  # whether values are taken on trust here
CONVERT = "convert grey levels with onebound.data.images."


def need(holds: object, message: str) -> None:
    """Raise a ValueError with this message unless something holds.

    The message is made in any case: one that reads values from a device belongs behind an `if`.
    """
    if not holds:
        raise ValueError(message)


@contextmanager
def trusting() -> Iterator[None]:
    """Skip, in this thread, the checks that would read values back from a device.

    A generator has to leave it before each `yield`: its caller would trust as well.
    """
    token = _trusts.set(True)
    try:
        yield
    finally:
        _trusts.reset(token)


def check_precise(x: Shaped[Tensor, "..."], what: str = "data", advice: str = "to_signed") -> None:
    """Refuse anything but float32 and float64: in half precision, sums over pixels overflow."""
    got = f"got {x.dtype}: {CONVERT}{advice}"
    need(x.is_floating_point(), f"expected floating-point {what}, {got}")
    got = f"got {x.dtype}: convert it with .float()"
    need(x.dtype in (torch.float32, torch.float64), f"expected {what} in float32 or float64, {got}")


def check_images(x: Shaped[Tensor, "..."], low: float, high: float) -> None:
    """Refuse anything but images (B, C, H, W) in [low, high], H and W multiples of 4."""
    shape = "images of shape (B, C, H, W), H and W multiples of 4"
    four = x.ndim == 4 and 0 not in x.shape
    need(four and x.shape[2] % 4 == x.shape[3] % 4 == 0, f"expected {shape}, got {_of(x)}")
    what = f"images in [{low:g}, {high:g}]" if low > -math.inf else "images"
    advice = "to_signed" if low < 0 else "to_unit or binarise them first"
    check_precise(x, what, advice)
    if trusted():
        return
    smallest, largest = (value.item() for value in x.detach().aminmax())
    within = low <= smallest <= largest <= high  # false for NaN too, which aminmax passes on
    got = f"got values from {smallest:g} to {largest:g}"
    need(within, f"expected finite {what}, {got}: {CONVERT}{advice}")


def check_below_zero(x: Shaped[Tensor, "..."]) -> None:
    """Refuse a batch of images for [-1, 1] without a value below 0: they are in [0, 1]."""
    got = f"none of {len(x)} with a value below 0, as in [0, 1]: {CONVERT}to_signed"
    need(trusted() or x.detach().min() < 0, f"expected images in [-1, 1], got {got}")


def check_binary(x: Shaped[Tensor, "..."]) -> None:
    """Refuse what is no batch of images, and images with a pixel that is neither 0 nor 1."""
    check_images(x, 0, 1)
    if not trusted() and len(between := x[(x != 0) & (x != 1)]):
        raise ValueError(
            f"a Bernoulli likelihood is defined on pixels that are 0 or 1, got {between[0]:g}: "
            "binarise grey levels with onebound.data.images.binarise"
        )


def check_latents(z: Shaped[Tensor, "..."], size: int) -> None:
    """Refuse anything but finite floating-point latent vectors of shape (B, size)."""
    fits = z.ndim == 2 and z.shape[1] == size
    need(fits, f"expected latents of shape (B, {size}), got {_of(z)}")
    check_precise(z, "latents")
    finite = trusted() or torch.isfinite(z).all()
    need(finite, f"expected finite floating-point latents, got others in {_of(z)}")


def check_alpha_bar(alpha_bar: Shaped[Tensor, "..."]) -> None:
    """Refuse anything but a float64 sequence from 1 strictly downwards, not below 0."""
    need(
        alpha_bar.ndim == 1 and len(alpha_bar) >= 2 and alpha_bar.dtype == torch.float64,
        "expected alpha_bar as torch.float64 of shape (T + 1,) with T >= 1, got "
        f"{alpha_bar.dtype} of {_of(alpha_bar)}",
    )
    if torch.isnan(alpha_bar).any():
        raise ValueError(f"alpha_bar is NaN at t = {int(torch.isnan(alpha_bar).nonzero()[0])}")
    need(alpha_bar[0] == 1, f"alpha_bar must be 1 at t = 0, got {alpha_bar[0]:g}")
    rises = (alpha_bar.diff() >= 0).nonzero()
    if len(rises):
        t = int(rises[0]) + 1
        got = f"{alpha_bar[t - 1]:g} at t = {t - 1} and {alpha_bar[t]:g} at t = {t}"
        raise ValueError(f"alpha_bar must fall at every step, got {got}")
    last = alpha_bar[-1]
    need(last >= 0, f"alpha_bar must stay in [0, 1], got {last:g} at the last step")


def check_times(t: Shaped[Tensor, "..."], T: int, x: Shaped[Tensor, "..."]) -> None:
    """Refuse anything but one whole number from 1 to T for each example of floating-point x."""
    check_precise(x)
    need(t.dtype == torch.int64, f"expected steps t as torch.int64, got {t.dtype}")
    one_each = t.ndim == 1 and len(t) == len(x) > 0
    need(one_each, f"expected one step t for each of {len(x)} examples, got {_of(t)}")
    if not trusted():
        first, last = (int(value) for value in t.aminmax())
        need(1 <= first <= last <= T, f"expected steps t from 1 to {T}, got {first} to {last}")


def check_steps(steps: Shaped[Tensor, "..."], T: int) -> None:
    """Refuse anything but a rising int64 sequence of steps from 1 to T."""
    some = steps.dtype == torch.int64 and steps.ndim == 1 and len(steps) > 0
    need(some, f"expected steps as torch.int64 of shape (K,), got {steps.dtype} of {_of(steps)}")
    if not 1 <= int(steps[0]) <= int(steps[-1]) <= T or not (steps.diff() > 0).all():
        raise ValueError(f"expected rising steps from 1 to {T}, got {steps.tolist()}")


def check_per_step(name: str, values: Shaped[Tensor, "..."], T: int) -> None:
    """Refuse a sequence over the steps 0 to T that has another length."""
    message = f"{name} needs one entry for each of the steps 0 to {T}, got {_of(values)}"
    need(tuple(values.shape) == (T + 1,), message)


def check_variance(variance: Shaped[Tensor, "..."], T: int) -> None:
    """Refuse variances of the steps 1 to T that are not positive; entry 0 may be anything."""
    check_per_step("variance", variance, T)
    if not trusted() and len(bad := (~(variance[1:] > 0)).nonzero()):
        t = int(bad[0]) + 1
        raise ValueError(
            f"variance must be positive, got {variance[t]:g} at t = {t}: "
            "onebound.diffusion.bound.reverse_variance has a decoder's in the place of beta_tilde_1"
        )


def check_same_shape(**tensors: Shaped[Tensor, "..."]) -> None:
    """Refuse tensors of different shapes, which would otherwise be broadcast."""
    if len({x.shape for x in tensors.values()}) > 1:
        got = ", ".join(f"{name} {tuple(x.shape)}" for name, x in tensors.items())
        raise ValueError(f"expected equal shapes, got {got}")


def check_positive(least: int = 1, /, **sizes: int) -> None:
    """Refuse a size that is not a whole number of at least `least`."""
    for name, size in sizes.items():
        whole = isinstance(size, int) and not isinstance(size, bool) and size >= least
        need(whole, f"{name} must be a whole number of at least {least}, got {size!r}")


def _of(x: Tensor) -> str:
    return f"shape {tuple(x.shape)}"
