"""Flows: the network that is there read as a velocity, and velocities learned along straight lines.

A point of the *straight path* is (1 - tau) x_0 + tau eps. It is x_t, divided by the sum of its two
amplitudes, and tau is the share of the noise in that sum: so the straight path is a schedule like
the others, and any schedule can be walked in its coordinates. The maps here have the form of those
in `onebound.diffusion.process`. They hold for every coupling of x_0 and eps, where the score's hold
if the two are independent.
"""

from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from onebound.checks import check_positive, check_same_shape, trusting
from onebound.diffusion.denoisers import Denoiser, Network
from onebound.diffusion.process import Data, Steps, amplitudes, eps_from_x_0, sample_xt
from onebound.diffusion.samplers import Step
from onebound.diffusion.schedules import Schedule, at


def straight_schedule(T: int) -> Schedule:
    """tau_t = t / T, so alpha_bar = (1 - tau)^2 / ((1 - tau)^2 + tau^2) (`[eq-straight-path]`).

    At t = T nothing is left of x_0. Liu, Gong and Liu (2023); Lipman et al. (2023).
    """
    check_positive(T=T)
    tau = torch.arange(T + 1, dtype=torch.float64) / T
    return Schedule((1 - tau) ** 2 / ((1 - tau) ** 2 + tau**2))


def straight_times(schedule: Schedule) -> Float64[Tensor, "steps"]:
    """Return tau of each step, the noise's share of the two amplitudes (`[eq-straight-path]`)."""
    signal, noise = schedule.amplitudes
    return noise / (signal + noise)


def straight_scale(schedule: Schedule) -> Float64[Tensor, "steps"]:
    """Return what a point of the straight path is multiplied by to be x_t: the two amplitudes."""
    signal, noise = schedule.amplitudes
    return signal + noise


def velocity_from_x_0(schedule: Schedule, x_t: Data, x_0: Data, t: Steps) -> Data:
    """Return eps - x_0, the velocity along the straight path (`[eq-velocity-maps]`)."""
    return eps_from_x_0(schedule, x_t, x_0, t) - x_0


def x_0_from_velocity(schedule: Schedule, x_t: Data, velocity: Data, t: Steps) -> Data:
    """Return (x_t - sqrt(1 - alpha_bar) velocity) / (sqrt(alpha_bar) + sqrt(1 - alpha_bar)).

    Finite at every step (`[eq-velocity-maps]`).
    """
    check_same_shape(x_t=x_t, velocity=velocity)
    signal, noise = amplitudes(schedule, x_t, t)
    return (x_t - noise * velocity) / (signal + noise)


def velocity_of(schedule: Schedule, denoise: Denoiser) -> Network:
    """Read the velocity off a denoiser, trained for whatever it may be (`[eq-velocity-maps]`)."""
    return lambda x_t, t: velocity_from_x_0(schedule, x_t, denoise(x_t, t), t)


@torch.no_grad()
def flow(schedule: Schedule, velocity: Network, x_T: Data) -> Iterator[Step]:
    """Go along the velocity in straight coordinates, by Euler's method (`[eq-flow-euler]`).

    The steps are those of `ddim` without noise, whatever the schedule.
    """
    tau, scale = straight_times(schedule), straight_scale(schedule)
    length, scale_s = tau - tau.roll(1), scale.roll(1)
    x_t = x_T
    for step in range(schedule.T, 0, -1):
        with nullcontext() if step == schedule.T else trusting():
            t = torch.full((len(x_t),), step, device=x_t.device)
            u = velocity(x_t, t)
            straight = x_t / at(scale, t, x_t) - at(length, t, x_t) * u
            x_s = at(scale_s, t, x_t) * straight
            x_0_hat = x_0_from_velocity(schedule, x_t, u, t)
        yield Step(step, x_t, x_0_hat, x_s)
        x_t = x_s


def flow_matching_loss(
    schedule: Schedule, velocity: Network, x_0: Data, eps: Data, t: Steps
) -> Float[Tensor, "B"]:
    """||eps - x_0 - velocity(x_t, t)||^2 of each pair (`[eq-flow-matching]`).

    How x_0 and eps are paired is the caller's choice. Lipman et al. (2023).
    """
    error = eps - x_0 - velocity(sample_xt(schedule, x_0, eps, t), t)
    return error.flatten(1).square().sum(1)


def curvature(schedule: Schedule, velocity: Network, x_T: Data) -> float:
    """How much the velocity changes along the paths: 0 if all are straight (`[eq-curvature]`).

    The mean over tau and the paths of ||u - d||^2, where d leads from the sample to x_T, over the
    mean of ||d||^2, on the schedule's steps. ValueError if no sample is elsewhere than its x_T.
    Liu, Gong and Liu (2023).
    """
    tau, scale = straight_times(schedule), straight_scale(schedule)
    speed, lengths = 0.0, tau.diff().tolist()
    for step in flow(schedule, velocity, x_T):
        start, end = step.x_t / scale[step.t].item(), step.x_s / scale[step.t - 1].item()
        speed += (start - end).square().sum().item() / lengths[step.t - 1]
    # The mean of u is d, so the mean of ||u - d||^2 is that of ||u||^2 less ||d||^2.
    whole = (x_T / scale[-1].item() - step.x_s).square().sum().item() / tau[-1].item()
    if not whole > torch.finfo(x_T.dtype).eps * x_T.square().sum().item():
        raise ValueError("expected paths that lead somewhere: no velocity moves these points")
    return speed / whole - 1


def optimal_pairing(x_0: Float[Tensor, "B ..."], eps: Float[Tensor, "B ..."]) -> Int64[Tensor, "B"]:
    """Return the order of eps that makes the sum of ||x_0 - eps||^2 the least.

    Over large batches this tends to the coupling of optimal transport. Tong et al. (2024).
    """
    check_same_shape(x_0=x_0, eps=eps)
    a, b = x_0.detach().flatten(1).double(), eps.detach().flatten(1).double()
    # Of ||a - b||^2 only the product knows who is paired with whom.
    return torch.from_numpy(assignment((-2 * a @ b.T).cpu().numpy())).to(x_0.device)


def assignment(cost: np.ndarray) -> np.ndarray:
    """Return the column of each row, all different, whose costs have the least sum.

    The Hungarian method: rows come in one by one, each by the shortest way of changing the others'
    columns, with prices that keep all reduced costs at least 0. Kuhn (1955).
    """
    n = len(cost)
    if cost.shape != (n, n) or not np.isfinite(cost).all():
        raise ValueError(f"expected a square matrix of finite costs, got shape {cost.shape}")
    row_price, column_price = np.zeros(n), np.zeros(n + 1)
    row_of = np.full(n + 1, -1)  # the row that has each column; column n is where a new row waits
    for row in range(n):
        row_of[n], column = row, n
        shortest, before = np.full(n, np.inf), np.full(n, n)
        reached = np.zeros(n + 1, dtype=bool)
        while row_of[column] >= 0:
            reached[column] = True
            there = row_of[column]
            reduced = cost[there] - row_price[there] - column_price[:n]
            better = ~reached[:n] & (reduced < shortest)
            shortest[better], before[better] = reduced[better], column
            open_ = np.where(reached[:n], np.inf, shortest)
            column = int(open_.argmin())
            step = open_[column]
            row_price[row_of[reached]] += step
            column_price[reached] -= step
            shortest[~reached[:n]] -= step
        while column != n:  # along the way found, everyone takes the next column
            row_of[column] = row_of[before[column]]
            column = before[column]
    found = np.empty(n, dtype=np.int64)
    found[row_of[:n]] = np.arange(n)
    return found
