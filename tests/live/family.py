"""What the figures of Part IV compute, against `onebound`: in V8 alone and in a browser."""

import math

import pytest
import torch
from torch import Generator, Tensor

from live.engine import Engine
from onebound.diffusion.flows import curvature, optimal_pairing, straight_schedule, velocity_of
from onebound.diffusion.samplers import ddim
from onebound.diffusion.schedules import Schedule, cosine_schedule
from onebound.diffusion.solvers import heun, karras_ratios, log_snr_ratios, multistep, schedule_of
from onebound.evaluation.estimates import estimate
from onebound.exact.mixture import mixture_1d, mixture_2d
from onebound.exact.transport import carried
from onebound.studies.solvers import HIGH, LOW

LINE, PLANE = mixture_1d(), mixture_2d()
SOLVERS = {
    "euler": lambda schedule, denoise, x_T: ddim(schedule, denoise, x_T, 0.0),
    "heun": heun,
    "multistep": multistep,
}
GRIDS = {
    "roots": karras_ratios,
    "log-SNR": log_snr_ratios,
    "ratio": lambda K, low, high: karras_ratios(K, low, high, 1.0),
}


def doubles(values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def quantiles(n: int, low: float) -> Tensor:
    return torch.special.ndtri(torch.linspace(low, 1 - low, n, dtype=torch.float64))[:, None]


def same(found, expected: Tensor, atol: float = 1e-9) -> None:
    torch.testing.assert_close(
        doubles(found).reshape(expected.shape), expected, rtol=1e-8, atol=atol
    )


def check_mixtures(engine: Engine) -> None:
    """Compare all that is known of random points, and places with given shares on a line."""
    noise = Generator().manual_seed(0)
    for name, mixture in (("LINE", LINE), ("PLANE", PLANE)):
        D = mixture.means.shape[1]
        x = 1.5 * torch.randn(20, D, dtype=torch.float64, generator=noise)
        for a, sigma in ((0.9, 0.3), (0.5, math.sqrt(0.75)), (0.05, 1.0)):
            density, chances, guess, score = engine(
                """((level, places) => [
                    places.map((i) => level.density(x, i)), places.map((i) => level.chances(x, i)),
                    [...level.guess(x)], [...level.score(Float64Array.from(x))],
                ])($mixtures[name].noised(a, sigma), Array.from({length: 20}, (_, i) => i * D))""",
                name=name, D=D, a=a, sigma=sigma, x=x.flatten().tolist(),
            )  # fmt: skip
            same(density, mixture.log_prob(x, a, sigma).exp())
            same(chances, mixture.responsibilities(x, a, sigma))
            same(guess, mixture.x_0_mean(x, a, sigma))
            same(score, mixture.score(x, a, sigma))
    x = torch.linspace(-8, 8, 65, dtype=torch.float64)
    same(engine("x.map($mixtures.ndtr)", x=x.tolist()), torch.special.ndtr(x), atol=1e-15)
    same(engine("[...$mixtures.normalQuantiles(9, 0.06)]"), quantiles(9, 0.06))


def check_solvers(engine: Engine) -> None:
    """Compare every place on the paths of each solver, and the errors that the figure draws."""
    starts = quantiles(9, 0.06)
    for name, solver in SOLVERS.items():
        for grid, ratios in GRIDS.items():
            K = 6 if name == "heun" else 11
            schedule = schedule_of(ratios(K, LOW, HIGH))
            steps = solver(schedule, LINE.denoiser(schedule), starts)
            expected = torch.stack([step.x_t for step in steps])
            found = engine(
                """$solver_error.solved(name, grid, 11, Float64Array.from(x))
                    .places.map((x) => [...x])""",
                name=name, grid=grid, x=starts.flatten().tolist(),
            )  # fmt: skip
            same(found, expected)
        schedule = schedule_of(karras_ratios(11 if name == "heun" else 21, LOW, HIGH))
        many = quantiles(33, 0.02)
        *_, end, _ = solver(schedule, LINE.denoiser(schedule), many)
        pairs = [tuple(table[t].item() for table in schedule.amplitudes) for t in (-1, 1)]
        error = (end.x_s - carried(LINE, many, *pairs)).square().mean().sqrt().item()
        found = engine("$solver_error.errorOf(name, 'roots', 21)", name=name)
        assert found == pytest.approx(error, rel=1e-7)


def check_orders(engine: Engine) -> None:
    """The figure's curves end with the slopes of their orders, on every grid of smooth steps."""
    for grid in ("roots", "log-SNR", "t"):
        for name, order in (("euler", 1), ("heun", 2), ("multistep", 2)):
            first, last = engine(
                "[321, 641].map((n) => $solver_error.errorOf(name, grid, n))", name=name, grid=grid
            )
            assert math.log(first / last) / math.log(641 / 321) == pytest.approx(order, abs=0.1)


def check_ways_back(engine: Engine) -> None:
    """The smooth path is the package's, and shaken ones end in the clusters as Bayes' rule says."""
    for start, place in ((-3.0, [0.9, -0.3]), (0.5, [0.1, 0.2])):
        found = engine(
            """((schedule) => [[...schedule.alphaBar],
                $ways_back.smoothPath(schedule, place).map((x) => [...x]),
                $ways_back.chancesAt(start, place),
                $ways_back.sharesOf([...$ways_back.shakenPaths(schedule, place, 3000, 7)].at(-1)),
            ])($ways_back.scheduleFrom(start))""",
            start=start, place=place,
        )  # fmt: skip
        schedule = Schedule(doubles(found[0]))
        assert schedule.log_snr[[1, -1]].tolist() == pytest.approx([6.0, start])
        x_T = doubles([place])
        steps = heun(schedule, PLANE.denoiser(schedule), x_T)
        same(found[1], torch.cat([step.x_t for step in steps]))
        a, sigma = (table[-1].item() for table in schedule.amplitudes)
        chances = PLANE.responsibilities(x_T, a, sigma)[0]
        same(found[2], chances)
        for share, chance in zip(found[3], chances.tolist(), strict=True):
            assert abs(share - chance) < 4 * math.sqrt(chance * (1 - chance) / 3000) + 2e-3


def check_couplings(engine: Engine) -> None:
    """Velocities, curvature and ends of each coupling of the line."""
    straight = straight_schedule(100)
    velocity = velocity_of(straight, LINE.denoiser(straight))
    # Independent pairs: the package's exact velocity, and its curvature.
    t = torch.tensor([5, 30, 60, 95, 100])
    x = doubles([[-1.0], [0.2], [0.7], [-0.4], [1.1]])
    scale = sum(straight.amplitudes)[t][:, None]
    found = engine("tau.map((tau, i) => $couplings.velocityOf(1)(x[i], tau))",
                   tau=(t / 100).tolist(), x=x.flatten().tolist())  # fmt: skip
    same(found, velocity(x * scale, t), atol=1e-4)
    starts = quantiles(31, 0.5 / 31)
    ends = carried(LINE, starts, (0.0, 1.0), (1.0, 0.0)).flatten()
    bend = curvature(straight, velocity, starts)
    same(engine("[...x].map($couplings.carried)", x=starts.flatten().tolist()), ends)
    follow = """(pairs, K) => [...$couplings.euler(
        $straightening.velocityFor(pairs, x, ends), x, K)]"""
    bends, single = [], []
    for pairs in ("independent", "best of 4", "best of 64", "rectified"):
        way, once, bent = engine(
            f"(({{follow}}) => [[...follow(pairs, 100).at(-1)], [...follow(pairs, 1).at(-1)],"
            f"$couplings.curvatureOf(follow(pairs, 100))])({{follow: {follow}}})",
            pairs=pairs, x=starts.flatten().tolist(), ends=ends.tolist(),
        )  # fmt: skip
        # Whatever the pairs, the paths end where order is kept; a hundred steps err a little.
        assert (doubles(way) - ends).abs().max() < 0.08
        bends.append(bent)
        single.append((doubles(once) - ends).abs().mean().item())
    assert bends[0] == pytest.approx(bend, rel=1e-3)
    assert bends == sorted(bends, reverse=True)
    assert single == sorted(single, reverse=True)
    assert bends[-1] == pytest.approx(0, abs=1e-9)
    assert single[-1] == pytest.approx(0, abs=1e-9)


def check_batches(engine: Engine) -> None:
    """The velocity of batches is the conditional mean over pairs that the package finds in them."""
    size, batches, tau = 4, 1500, 0.6
    noise = Generator().manual_seed(1)
    x_0 = LINE.sample(size * batches, noise)
    eps = torch.randn(size * batches, 1, generator=noise, dtype=torch.float64)
    parts = zip(x_0.split(size), eps.split(size), strict=True)
    eps = torch.cat([part[optimal_pairing(points, part)] for points, part in parts])
    x = ((1 - tau) * x_0 + tau * eps).flatten()
    u = engine("((velocity) => x.map((x) => velocity(x, tau)))($couplings.velocityOf(size))",
               x=x.tolist(), tau=tau, size=size)  # fmt: skip
    error = (eps - x_0).flatten() - doubles(u)
    # A conditional mean leaves an error that no function of x can foretell.
    for g in (torch.ones_like(x), x, torch.sin(3 * x), (x > 0.4).double()):
        mean = estimate((g * error).reshape(batches, size).mean(1))
        assert abs(mean.mean) < 4 * mean.stderr
    pairs = doubles(engine("$couplings.pairsOf(16, 16, 5)"))
    order = optimal_pairing(pairs[:, :1], pairs[:, 1:])
    assert torch.equal(order, torch.arange(16))


def check_grid_in_t(engine: Engine) -> None:
    """The grid even in t goes through ratios of the cosine schedule's steps."""
    schedule = cosine_schedule(1000)
    ratio = ((1 - schedule.alpha_bar) / schedule.alpha_bar).sqrt()[100:901:100]
    found = engine(
        "[...$solver_error.evenInT(9, low, high)]", low=ratio[0].item(), high=ratio[-1].item()
    )
    same(found, ratio)


CHECKS = [
    check_mixtures,
    check_solvers,
    check_orders,
    check_ways_back,
    check_couplings,
    check_batches,
    check_grid_in_t,
]
