import math

import pytest
import torch

from onebound.evaluation.energy import energy_distance


def normal(*shape, seed):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.equation("eq-energy-distance")
def test_a_few_points_by_hand():
    x = torch.tensor([[[0.0], [2.0]]])
    y = torch.tensor([[[1.0], [4.0], [4.0]]])
    between = (1 + 4 + 4 + 1 + 2 + 2) / 6
    torch.testing.assert_close(energy_distance(x, y), torch.tensor([2 * between - 2 - 2.0]))


@pytest.mark.equation("eq-energy-distance")
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_its_mean_is_that_of_two_normal_densities(shift):
    # E|a - b| of two normals is that of N(shift, 2): a folded normal density.
    def folded(mean):
        spread = 2 * math.exp(-(mean**2) / 4) / math.sqrt(math.pi)
        return spread + mean * math.erf(mean / 2)

    found = energy_distance(normal(2000, 5, 1, seed=0), shift + normal(2000, 7, 1, seed=1))
    expected = 2 * folded(shift) - 2 * folded(0.0)
    error = found.std() / len(found) ** 0.5
    assert error < 0.02
    assert (found.mean() - expected).abs() < 4 * error


def test_one_point_has_no_spread():
    with pytest.raises(ValueError, match="at least two points, got 1 and 3"):
        energy_distance(torch.zeros(2, 1, 2), torch.zeros(2, 3, 2))
