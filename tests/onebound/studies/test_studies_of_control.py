"""What the studies of control share: the ways, and what is compared."""

import pytest
import torch

from onebound.diffusion.control import Observation
from onebound.diffusion.denoisers import clipped
from onebound.studies import control_exact, control_halves


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_each_observation_has_its_own_posterior():
    x_0, y, posteriors = control_exact.observed("super-resolution", 400, generator())
    off = (y - x_0 @ control_exact.coarse().T) / control_exact.SIGMA
    assert off.square().mean() == pytest.approx(1, abs=4 * (2 / off.numel()) ** 0.5)
    # On average over observations the posterior's mean is the best guess: nothing is left over.
    means = torch.stack([posterior.moments[0] for posterior in posteriors])
    left = ((x_0 - means) * means).sum(1)
    assert left.mean().abs() < 4 * left.std() / 20


@pytest.mark.parametrize("task", control_exact.OPERATORS)
def test_the_exact_slope_draws_from_the_posterior(monkeypatch, task):
    monkeypatch.setattr(control_exact, "WAYS", {})  # which draw after it
    found = control_exact.run(1, task, observations=12, each=32)
    off = torch.tensor(found["exact slope"])
    assert off.mean() < 4 * off.std() / 12**0.5 + 0.01
    assert len(off) == 12


def test_every_way_draws_for_every_observation():
    found = control_exact.run(1, "deblurring", observations=3, each=4)
    assert set(found) == {"exact draws", "exact slope", *control_exact.WAYS}
    assert all(len(values) == 3 for values in found.values())


def test_a_way_can_cut_what_the_sampler_gets():
    x = torch.full((2, 4), 0.5)
    seen = Observation(torch.eye(4)[:2], torch.full((2, 2), 0.3), 0.1)
    far = lambda x_t, t: 7 + 0 * x_t  # noqa: E731
    start = control_exact.SCHEDULE, far, seen, x
    for make in (control_exact.put_in, control_exact.stepped):
        loose, cut = make(1), make(1, clipped)
        assert loose(*start, generator())[:, 2:].min() > 6
        assert cut(*start, generator())[:, 2:].max() == 1


def test_pairs_of_different_draws_are_counted_once_each():
    drawn = torch.tensor([[1, 1, 2], [3, 3, 3]])
    assert control_halves.pairs(torch.eq, drawn).tolist() == [pytest.approx(1 / 3), 1]


def test_the_truth_agrees_with_itself():
    from onebound.data.images import to_unit
    from onebound.data.mnist import load_mnist

    *_, test, labels = load_mnist()
    x = to_unit(test[:20])
    same = control_halves.compared(x.repeat_interleave(control_halves.EACH, 0), x, labels[:20])
    assert same["agree"] == [1] * 20
    assert same["off"] == same["apart"] == [0] * 20
    assert same["misfit"] == 0
    assert sum(same["true"]) >= 19
