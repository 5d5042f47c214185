import pytest
import torch

from onebound.evaluation.neighbours import nearest_neighbours


def test_neighbours_are_those_of_brute_force_across_all_chunks():
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(1003, 1, 2, 3, generator=generator)
    reference = torch.rand(10_500, 1, 2, 3, generator=generator)
    index, distance = nearest_neighbours(images, reference)
    differences = (images.flatten(1)[::50, None] - reference.flatten(1)).double()
    expected = differences.square().sum(2).sqrt().min(dim=1)
    assert torch.equal(index[::50], expected.indices)
    torch.testing.assert_close(distance[::50], expected.values, rtol=1e-6, atol=0)
    assert index.max() >= 10_000  # the last chunk counts too


def test_a_copy_is_at_distance_zero_and_a_changed_pixel_at_its_change():
    generator = torch.Generator().manual_seed(2)
    reference = torch.randint(256, (50, 1, 28, 28), dtype=torch.uint8, generator=generator)
    images = reference[[7, 49]].clone()
    images[1, 0, 3, 4] ^= 16  # 16 levels up or down
    index, distance = nearest_neighbours(images, reference)
    assert index.tolist() == [7, 49]
    assert distance.tolist() == [0.0, 16.0]


def test_errors_say_what_came_in():
    x = torch.zeros(3, 1, 2, 2)
    with pytest.raises(ValueError, match=r"float32 of shape \(3, 1, 2, 2\) and torch.uint8"):
        nearest_neighbours(x, x.to(torch.uint8))
    with pytest.raises(ValueError, match=r"\(3, 1, 2, 2\) and torch.float32 of shape \(3, 1, 4\)"):
        nearest_neighbours(x, x.flatten(2))
    with pytest.raises(ValueError, match=r"float32 of shape \(0, 1, 2, 2\)"):
        nearest_neighbours(x, x[:0])
