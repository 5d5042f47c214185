import pytest
import torch

from onebound.checks import trusted
from onebound.evaluation.estimates import Estimate, estimate, per_example, two_level


@pytest.mark.equation("eq-standard-error")
def test_estimate_of_three_numbers():
    mean, stderr = estimate(torch.tensor([1.0, 2.0, 6.0]))
    assert mean == pytest.approx(3)
    assert stderr == pytest.approx((7 / 3) ** 0.5)  # s^2 = (4 + 1 + 9) / 2 = 7


def test_two_numbers_are_enough_for_an_estimate():
    assert estimate(torch.tensor([1.0, 3.0])) == Estimate(2.0, 1.0)


@pytest.mark.equation("eq-standard-error")
def test_estimate_covers_the_truth_as_often_as_it_says():
    draws = torch.randn(2000, 50, generator=torch.Generator().manual_seed(1))
    inside = sum(abs(e.mean) < e.stderr for e in map(estimate, draws)) / 2000
    assert inside == pytest.approx(
        0.678, abs=0.04
    )  # Student's t with 49 degrees, 4 standard errors


def test_estimate_keeps_its_digits_over_many_values():
    assert estimate(torch.full((200_000,), 0.1)).mean == pytest.approx(0.1, rel=1e-7)


@pytest.mark.parametrize(
    "bad",
    [torch.zeros(()), torch.zeros(1), torch.zeros(3, 2), torch.tensor([1.0, torch.nan])],
)
def test_estimate_refuses(bad):
    with pytest.raises(ValueError, match="values"):
        estimate(bad)


def test_an_estimate_prints_with_its_error():
    assert str(Estimate(-98.765, 0.254)) == "-98.77 ± 0.25"
    assert str(Estimate(1.6944, 0.0042)) == "1.694 ± 0.004"
    assert str(Estimate(1.6944, 0.0098)) == "1.694 ± 0.010"
    assert Estimate(1.6944, 0.0098).text(4) == "1.6944 ± 0.0098"
    assert Estimate(1.0, 0.0).text(1) == "1.0"


def test_per_example_does_not_depend_on_the_batches():
    images = torch.arange(7.0)
    for batch_size in (1, 3, 7, 100):
        assert torch.equal(per_example(lambda x: 2 * x, images, batch_size), 2 * images)


def test_evaluation_keeps_no_graph():
    weight = torch.tensor(2.0, requires_grad=True)
    assert not per_example(lambda x: weight * x, torch.arange(3.0)).requires_grad


def test_values_are_read_on_the_first_batch_only():
    trust = []

    def function(batch):
        trust.append(trusted())
        return batch

    per_example(function, torch.arange(5.0), 2)
    assert trust == [False, True, True]
    assert not trusted()


def test_a_batch_of_no_images_is_refused():
    with pytest.raises(ValueError, match=r"batch_size must be .* got 0"):
        per_example(lambda x: x, torch.arange(3.0), 0)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.equation("eq-two-level")
def test_two_levels_agree_with_all_dear_ones_and_need_few():
    cheap = 5 * torch.randn(20_000, generator=seeded(1), dtype=torch.float64)
    dear = cheap + 1 + 0.1 * torch.randn(20_000, generator=seeded(2), dtype=torch.float64)
    chosen = torch.randperm(20_000, generator=seeded(3))[:100]
    mean, stderr = two_level(cheap, dear[chosen], chosen)
    full = estimate(dear)
    assert abs(mean - full.mean) < 4 * 0.1 / 100**0.5
    assert stderr == pytest.approx((full.stderr**2 + 0.1**2 / 100) ** 0.5, rel=0.02)
    assert stderr < 0.2 * estimate(dear[chosen]).stderr


@pytest.mark.parametrize(("numbers", "places"), [(3, 2), (2, 3)])
def test_two_levels_need_as_many_numbers_as_places(numbers, places):
    with pytest.raises(ValueError, match=rf"got \({numbers},\) numbers for \({places},\) places"):
        two_level(torch.zeros(5), torch.zeros(numbers), torch.arange(places))
