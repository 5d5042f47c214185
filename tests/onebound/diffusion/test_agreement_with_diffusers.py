"""The solvers against those of `diffusers`, which is installed into a folder of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_samplers import normal

from onebound.diffusion.denoisers import respaced
from onebound.diffusion.flows import flow, straight_schedule, velocity_of
from onebound.diffusion.schedules import linear_schedule
from onebound.diffusion.solvers import heun, multistep

ROOT = Path(__file__).parents[3]
VERSION = "0.42.1"
THEIRS = """
import json, sys
import torch
from diffusers import (
    DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler, HeunDiscreteScheduler,
)

x_T = torch.tensor(json.loads(sys.argv[1]))
betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64).numpy()


def guess(x):
    return 0.9 * torch.tanh(x)


def multistep(kind):
    scheduler = DPMSolverMultistepScheduler(
        trained_betas=betas, algorithm_type=kind, prediction_type="sample", solver_order=2,
        final_sigmas_type="zero", timestep_spacing="trailing",
    )
    scheduler.set_timesteps(10)
    x, noise, found = x_T, torch.Generator().manual_seed(0), []
    for t in scheduler.timesteps:
        x = scheduler.step(guess(x), t, x, generator=noise).prev_sample
        found.append(x.tolist())
    return found


def heun():
    scheduler = HeunDiscreteScheduler(trained_betas=betas, timestep_spacing="trailing")
    scheduler.set_timesteps(10)
    x, found = x_T * (scheduler.sigmas[0] ** 2 + 1) ** 0.5, []
    for i, t in enumerate(scheduler.timesteps):
        sigma = scheduler.sigmas[i]
        eps = (x - guess(scheduler.scale_model_input(x, t))) / sigma
        x = scheduler.step(eps, t, x).prev_sample
        after = scheduler.sigmas[i + 1]
        if i % 2 == 1 or after == 0:
            found.append((x / (after**2 + 1) ** 0.5).tolist())
    return found


def straight():
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(sigmas=[1 - k / 10 for k in range(10)])
    x, found = x_T, []
    for t, tau in zip(scheduler.timesteps, scheduler.sigmas):
        scale = (tau**2 + (1 - tau) ** 2) ** 0.5
        image = guess(x / scale)
        x = scheduler.step((x - image) / tau, t, x).prev_sample
        found.append(x.tolist())
    return found


print(json.dumps({
    "multistep": multistep("dpmsolver++"), "noisy": multistep("sde-dpmsolver++"),
    "heun": heun(), "straight": straight(),
}))
"""


def guess(x, t):
    return 0.9 * torch.tanh(x)


@pytest.fixture(scope="module")
def x_T():
    return normal(4, 3, seed=1).float()


def answer(packages, code, *given):
    """Install packages into a folder of their own, run code with JSON arguments, and read JSON."""
    folder = ROOT / "_build/theirs" / "-".join(packages).replace("==", "-")
    if not folder.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", f"{folder}.new"]
        subprocess.run([*pip, *packages], check=True)
        Path(f"{folder}.new").rename(folder)
    run = subprocess.run(
        # Ours come first: what they need of another version is theirs alone.
        [sys.executable, "-c", f"import sys; sys.path.append({str(folder)!r})\n{code}",
         *map(json.dumps, given)],
        env=os.environ | {"HF_HUB_OFFLINE": "1"}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return json.loads(run.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def theirs(x_T):
    """What their solvers make of x_T at each step."""
    return answer([f"diffusers=={VERSION}"], THEIRS, x_T.tolist())


def agree(steps, expected):
    found = [step.x_s for step in steps]
    assert len(found) == len(expected)
    for ours, other in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, torch.tensor(other), rtol=1e-4, atol=1e-5)


@pytest.fixture
def ten_steps():
    return respaced(linear_schedule(1000), guess, torch.arange(100, 1001, 100))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "eta"), [("multistep", 0.0), ("noisy", 1.0)])
@pytest.mark.equation("eq-multistep", "eq-churn")
def test_the_multistep_method_is_that_of_diffusers_noise_and_all(theirs, x_T, ten_steps, name, eta):
    noise = torch.Generator().manual_seed(0)
    agree(multistep(*ten_steps, x_T, eta, noise), theirs[name])


@pytest.mark.slow
@pytest.mark.equation("eq-heun")
def test_heuns_method_is_that_of_diffusers(theirs, x_T, ten_steps):
    agree(heun(*ten_steps, x_T), theirs["heun"])


@pytest.mark.slow
@pytest.mark.equation("eq-flow-euler")
def test_a_straight_flow_is_that_of_diffusers(theirs, x_T):
    schedule = straight_schedule(10)
    scale = sum(schedule.amplitudes)
    steps = list(flow(schedule, velocity_of(schedule, guess), x_T))
    straight = [step._replace(x_s=step.x_s / scale[step.t - 1].item()) for step in steps]
    agree(straight, theirs["straight"])
