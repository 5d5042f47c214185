import math

import pytest
import torch
from torch import nn

from onebound.training.optimisers import Average, Muon, adam, muon, orthogonal


class Line(nn.Module):
    """One weight and, as batch norm has them, a statistic and a count."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(3))
        self.register_buffer("seen", torch.zeros(3))
        self.register_buffer("count", torch.tensor(0))

    def at(self, n):
        with torch.no_grad():
            self.w.fill_(n)
            self.seen.fill_(10 * n)
            self.count.fill_(n)


def average_of(memory, steps):
    model = Line()
    average = Average(model, memory)
    for n in range(1, steps + 1):
        model.at(float(n))
        average.update_parameters(model)
    return average.module


@pytest.mark.equation("eq-average-weights")
def test_an_average_has_its_closed_form():
    # a_n = a_{n-1} + (n - a_{n-1}) / (1 + memory (n - 1)), with a_1 = 1
    expected = 1.0
    for n in range(2, 51):
        expected += (n - expected) / (1 + 0.3 * (n - 1))
    found = average_of(0.3, 50)
    assert found.w.tolist() == pytest.approx([expected] * 3, rel=1e-5)
    assert found.seen.tolist() == pytest.approx([10 * expected] * 3, rel=1e-5)
    assert found.count == 50


@pytest.mark.equation("eq-average-weights")
@pytest.mark.parametrize("chosen", [0, 1, 17, 29])
def test_a_step_has_the_share_of_a_ratio_of_gammas(chosen):
    model, memory, steps = Line(), 0.4, 30
    average = Average(model, memory)
    for n in range(steps):
        model.at(float(n == chosen))
        average.update_parameters(model)
    p, n = 1 / memory, chosen
    logs = [math.lgamma(n + p), math.lgamma(steps), -math.lgamma(n + 1), -math.lgamma(steps + p)]
    assert average.module.w.tolist() == pytest.approx([p * math.exp(sum(logs))] * 3, rel=1e-4)


def test_the_ends_are_the_last_weights_and_the_mean_of_all():
    assert average_of(0.0, 9).w[0] == 9
    assert average_of(1.0, 9).w[0].item() == pytest.approx(5)


def test_the_first_weights_are_soon_forgotten():
    # From -1000 before training, the average at step 100 is within one step's noise of the rest.
    model = Line()
    model.at(-1000.0)
    average = Average(model)
    for n in range(1, 101):
        model.at(float(n))
        average.update_parameters(model)
    assert 80 < average.module.w[0] < 100


def test_an_average_keeps_its_model_apart_and_is_for_use():
    model = Line()
    average = Average(model)
    assert not average.module.training
    assert model.training
    model.at(3.0)
    assert average.module.w[0] == 0


def test_an_average_is_that_of_torch_and_goes_on_from_its_state():
    model, memory = Line(), 0.3

    def theirs(average, new, n):
        average[0].lerp_(new[0], 1 / (1 + memory * float(n)))

    pair = (
        Average(model, memory),
        torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=theirs),
    )
    for n in range(1, 12):
        model.at(float(n))
        if n == 6:
            state = pair[0].state_dict()
            pair = (Average(Line(), memory), pair[1])
            pair[0].load_state_dict(state)
        for average in pair:
            average.update_parameters(model)
    assert torch.equal(pair[0].module.w, pair[1].module.w)


@pytest.mark.parametrize("memory", [-0.1, 1.1, float("nan")])
def test_a_memory_outside_0_to_1_is_refused(memory):
    with pytest.raises(ValueError, match=r"memory must be in \[0, 1\], got"):
        Average(Line(), memory)


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(16, 20))
        self.narrow = nn.Parameter(torch.randn(15, 40))
        self.bias = nn.Parameter(torch.randn(20))
        self.cube = nn.Parameter(torch.randn(16, 16, 16))


def test_muon_takes_the_matrices_and_adam_the_rest():
    model = Mixed()
    large, rest = muon(model, 0.06)
    assert large.param_groups[0]["params"] == [model.matrix]
    assert rest.param_groups[0]["params"] == [model.narrow, model.bias, model.cube]
    assert large.param_groups[0]["lr"] == pytest.approx(0.06)
    assert rest.param_groups[0]["lr"] == pytest.approx(0.01)


@pytest.mark.parametrize("size", [15, 16, 17])
def test_every_parameter_has_one_optimiser(size):
    model = nn.Sequential(nn.Linear(size, 40), nn.Linear(40, 20))
    groups = [optimiser.param_groups[0]["params"] for optimiser in muon(model, 0.06)]
    given = [id(p) for group in groups for p in group]
    assert sorted(given) == sorted(map(id, model.parameters()))
    assert {id(p) for p in groups[0]} == {
        id(p) for p in model.parameters() if p.ndim == 2 and min(p.shape) >= 16
    }


def test_orthogonal_does_not_depend_on_how_large_a_gradient_is():
    matrix = torch.randn(20, 30, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(orthogonal(1e-3 * matrix), orthogonal(matrix))
    assert (orthogonal(torch.zeros(20, 30)) == 0).all()


def test_a_model_without_matrices_is_refused_and_one_of_matrices_alone_is_not():
    with pytest.raises(ValueError, match=r"Line has no matrix of at least 16 .*: train it with"):
        muon(Line(), 0.06)
    (only,) = muon(nn.Linear(16, 16, bias=False), 0.06)
    assert isinstance(only, Muon)


@pytest.mark.equation("eq-newton-schulz")
def test_muon_moves_every_direction_of_a_matrix_about_equally():
    model = Mixed()
    before = model.matrix.detach().clone()
    large, _ = muon(model, 1.0)
    model.matrix.grad = torch.diag(torch.logspace(0, -1, 16)) @ torch.eye(16, 20)
    large.step()
    moved = torch.linalg.svdvals((model.matrix - 0.99 * before).detach())  # less weight decay
    assert moved.min() > 0.3
    assert moved.max() < 1.5


@pytest.mark.equation("eq-newton-schulz")
@pytest.mark.parametrize("shape", [(16, 20), (20, 16), (16, 16)])
def test_orthogonal_maps_singular_values_by_the_polynomial(shape):
    matrix = torch.randn(shape, dtype=torch.float64)
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    s = s / s.square().sum().sqrt()
    for _ in range(2):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    assert torch.allclose(orthogonal(matrix, steps=2), u * s @ v)


@pytest.mark.equation("eq-muon")
@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="it came with torch 2.9")
@pytest.mark.parametrize("shape", [(16, 24), (40, 16)])
def test_muon_is_torchs_muon(shape):
    ours, theirs = (nn.Parameter(torch.ones(shape)) for _ in range(2))
    steps = (
        Muon([ours], 0.1),
        torch.optim.Muon([theirs], 0.1, weight_decay=0.01, ns_steps=3),
    )
    for _ in range(4):
        ours.grad = torch.randn(shape)
        theirs.grad = ours.grad.clone()
        for step in steps:
            step.step()
    # Theirs are products in bfloat16, of 8 bits.
    assert (ours - theirs).abs().max() < 0.02 * (theirs - 1).abs().max()


@pytest.mark.parametrize("optimiser", [adam, muon])
def test_every_parameter_moves(optimiser):
    model = Mixed()
    before = [p.detach().clone() for p in model.parameters()]
    for p in model.parameters():
        p.grad = torch.randn_like(p)
    for part in optimiser(model, 0.01):
        part.step()
    moved = [(p - b).abs().min() > 0 for p, b in zip(model.parameters(), before, strict=True)]
    assert all(moved)
