"""The network that learns in the page: its gradient, its training, and the best guess."""

import math

import pytest
import torch
from torch.nn import functional as F

from live.engine import Engine
from onebound.diffusion.schedules import cosine_schedule


def mlp(weights, x):
    sizes = [12, 64, 64, 2]
    for i, flat in enumerate(weights):
        inner, out = sizes[i], sizes[i + 1]
        x = F.linear(x, flat[: inner * out].view(out, inner), flat[inner * out :])
        x = F.silu(x) if i < 2 else x
    return x


def test_its_gradient_is_pytorch_s(engine: Engine):
    inputs, targets = torch.randn(8, 12), torch.randn(8, 2)
    loss, weights, gradients = engine(
        """(() => {
            const network = new $toy_network.ToyNetwork(3);
            const {loss, gradients} = network.gradient(inputs, targets, 8);
            return [loss, network.weights.map((w) => [...w]), gradients.map((g) => [...g])];
        })()""",
        inputs=inputs.flatten(),
        targets=targets.flatten(),
    )
    theirs = [torch.tensor(weight, requires_grad=True) for weight in weights]
    expected = F.mse_loss(mlp(theirs, inputs), targets)
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    for ours, theirs_ in zip(gradients, torch.autograd.grad(expected, theirs), strict=True):
        torch.testing.assert_close(torch.tensor(ours), theirs_, rtol=1e-4, atol=1e-6)


def test_the_best_guess_is_a_mean_under_bayes_rule(engine: Engine):
    points, at = torch.randn(5, 2), torch.randn(4, 2)
    spread, alpha_bar = 0.3, 0.4
    found = engine.tensor(
        "$toy_network.bestGuess(points, spread, at, alphaBar)",
        (4, 2),
        points=points.flatten(),
        at=at.flatten(),
        spread=spread,
        alphaBar=alpha_bar,
    )
    # By importance weights of draws from the data.
    x_0 = points[torch.randint(5, (400_000,))] + spread * torch.randn(400_000, 2)
    for i in range(4):
        logs = -((at[i] - math.sqrt(alpha_bar) * x_0) ** 2).sum(1) / (2 * (1 - alpha_bar))
        weights = logs.softmax(0)
        mean = weights @ x_0
        error = (weights**2 @ (x_0 - mean) ** 2).sqrt()
        assert ((found[i] - mean).abs() < 4 * error + 1e-4).all()


def test_the_loss_of_the_best_guess_is_what_no_guess_can_know(engine: Engine):
    """One point that is blurred: v is normal given x_t, and its variance has a closed form."""
    spread, count = 0.3, 40
    found = engine(
        """(() => {
            const {alphaBar} = $schedules.cosineSchedule(1000);
            const options = {points: [0.4, -0.2], spread, alphaBar, steps: 1, seed: 1};
            return new $toy_network.Training(options).judge(count);
        })()""",
        spread=spread,
        count=count,
    )
    a = cosine_schedule(1000).alpha_bar[1:]
    # Given x_t, x_0 has variance s^2 (1 - a) / (a s^2 + 1 - a), and v that over 1 - a.
    expected = (spread**2 / (a * spread**2 + 1 - a)).mean().item()
    # Squares of normal numbers: their variance is twice the square of their mean.
    error = math.sqrt(2 * (spread**2 / (a * spread**2 + 1 - a)).square().mean() / (256 * count))
    assert error < 0.05 * expected
    assert abs(found["exact"] - expected) < 4 * error
    assert found["network"] > found["exact"]


def test_training_comes_close_to_the_best_guess(engine: Engine):
    before, after = engine(
        """(() => {
            const points = $playground.pointsOf("moons"), spread = 0.06;
            const {alphaBar} = $schedules.cosineSchedule(1000);
            const options = {points, spread, alphaBar, steps: 500, seed: 1};
            const training = new $toy_network.Training(options);
            const x = $random.normal(9)(2000);
            const t = 500, a = alphaBar[t];
            const best = $toy_network.bestGuess(points, spread, x, a);
            const error = () => {
                const guess = $samplers.x0FromV(x, training.network.v(x, t), a);
                return Math.sqrt(guess.reduce((s, g, i) => s + (g - best[i]) ** 2, 0) / 1000);
            };
            const before = error();
            training.run(500);
            return [before, error()];
        })()"""
    )
    assert after < before / 4
    assert cosine_schedule(1000).alpha_bar[500] == pytest.approx(0.49, abs=0.01)
