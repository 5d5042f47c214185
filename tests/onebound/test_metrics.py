import pytest
import torch

from onebound.metrics import Estimate, bits_per_dim, estimate, per_example


def test_estimate_of_three_numbers():
    mean, stderr = estimate(torch.tensor([1.0, 2.0, 6.0]))
    assert mean == pytest.approx(3)
    assert stderr == pytest.approx((7 / 3) ** 0.5)  # s^2 = (4 + 1 + 9) / 2 = 7


def test_estimate_covers_the_truth_as_often_as_it_says():
    draws = torch.randn(2000, 50, generator=torch.Generator().manual_seed(1))
    inside = sum(abs(e.mean) < e.stderr for e in map(estimate, draws)) / 2000
    assert inside == pytest.approx(
        0.678, abs=0.04
    )  # Student's t with 49 degrees, 4 standard errors


def test_estimate_keeps_its_digits_over_many_values():
    assert estimate(torch.full((200_000,), 0.1)).mean == pytest.approx(0.1, rel=1e-7)


@pytest.mark.parametrize("bad", [torch.zeros(1), torch.zeros(3, 2), torch.tensor([1.0, torch.nan])])
def test_estimate_refuses(bad):
    with pytest.raises(ValueError, match="values"):
        estimate(bad)


def test_an_estimate_prints_with_its_error():
    assert str(Estimate(-98.765, 0.254)) == "-98.77 ± 0.25"


def test_per_example_does_not_depend_on_the_batches():
    images = torch.arange(7.0)
    for batch_size in (1, 3, 7, 100):
        assert torch.equal(per_example(lambda x: 2 * x, images, batch_size), 2 * images)


def test_bits_per_dim_of_uniform_levels_is_eight():
    nats = 784 * torch.tensor([1 / 256, 1 / 2], dtype=torch.float64).log()
    torch.testing.assert_close(bits_per_dim(nats), torch.tensor([8.0, 1.0], dtype=torch.float64))
    assert bits_per_dim(nats[1:], dims=392).item() == pytest.approx(2)


def test_bits_per_dim_needs_a_dimension():
    with pytest.raises(ValueError, match=r"dims must be .* got 0"):
        bits_per_dim(torch.zeros(2), dims=0)
