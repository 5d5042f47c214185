"""What the study of flows pairs, keeps and measures."""

import pytest
import torch

from onebound.diffusion.flows import straight_schedule, straight_times
from onebound.studies import flows


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_pairing_changes_partners_within_its_groups_only():
    x_0, eps = flows.pairs_of(128, 1, seeded(0))
    same, paired = flows.pairs_of(128, 64, seeded(0))
    assert torch.equal(x_0, same)
    for part in (slice(0, 64), slice(64, 128)):
        assert torch.equal(eps[part].sort(0).values, paired[part].sort(0).values)
    assert (x_0 - paired).square().sum() < 0.5 * (x_0 - eps).square().sum()


def test_fewer_steps_of_the_straight_path_are_even_and_ask_at_their_own_times():
    asked = []
    schedule, velocity = flows.in_steps(lambda x, t: asked.append(t.tolist()), 4)
    torch.testing.assert_close(straight_times(schedule), torch.arange(5).double() / 4)
    velocity(torch.zeros(2, 2), torch.tensor([1, 4]))
    assert asked == [[25, 100]]
    assert straight_schedule(flows.T).T == 100


def test_a_network_learns_the_velocity_of_a_shift():
    eps = torch.randn(500, 2, generator=seeded(0))
    network = flows.learned(eps - 3, eps, seed=0, steps=150)
    x, t = torch.zeros(1, 2), torch.tensor([50])
    assert network(x, t).detach().flatten().tolist() == pytest.approx([3, 3], abs=0.3)
