import pytest
import torch
from torch import distributions as td

from onebound.likelihoods import cross_entropy_grey, log_prob_bernoulli

SHAPE = (3, 1, 28, 28)


@pytest.fixture
def logits():
    return 3 * torch.randn(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def grey():
    return torch.rand(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def test_bernoulli_agrees_with_torch(logits, grey):
    x = grey.round()
    expected = td.Bernoulli(logits=logits).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(log_prob_bernoulli(x, logits), expected)


def test_bernoulli_probabilities_sum_to_one():
    # All but two pixels are certain, so four images carry all the probability.
    logits = torch.full((1, 1, 28, 28), -60.0, dtype=torch.float64)
    logits[0, 0, 3, 4], logits[0, 0, 20, 7] = 0.7, -1.3
    x = torch.zeros(4, 1, 28, 28, dtype=torch.float64)
    x[[1, 3], 0, 3, 4] = 1
    x[[2, 3], 0, 20, 7] = 1
    total = log_prob_bernoulli(x, logits.expand_as(x)).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-12)


def test_bernoulli_of_one_pixel():
    logits, x = torch.full((1, 1, 28, 28), -60.0), torch.zeros(1, 1, 28, 28)
    logits[0, 0, 0, 0], x[0, 0, 0, 0] = 0.5, 1
    expected = torch.sigmoid(torch.tensor(0.5)).log()
    torch.testing.assert_close(log_prob_bernoulli(x, logits)[0], expected)


@pytest.mark.parametrize("logit", [1e4, -1e4])
def test_extreme_logits_stay_finite(logit):
    x = torch.ones(1, 1, 28, 28)
    expected = 0.0 if logit > 0 else 784 * logit
    assert log_prob_bernoulli(x, x * logit).item() == expected


def test_the_gradient_in_the_logits_is_x_minus_pi(logits, grey):
    x = grey.round()
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(log_prob_bernoulli(x, logits).sum(), logits)
    torch.testing.assert_close(gradient, x - torch.sigmoid(logits))


def test_grey_cross_entropy_is_the_mean_over_binarised_images(logits, grey):
    n = 20_000
    x, same = (t[:1].expand(n, -1, -1, -1) for t in (grey, logits))
    drawn = torch.bernoulli(x, generator=torch.Generator().manual_seed(3))
    draws = log_prob_bernoulli(drawn, same)
    stderr = draws.std().item() / n**0.5
    assert stderr < 0.5
    assert abs(draws.mean() - cross_entropy_grey(grey, logits)[0]).item() < 4 * stderr


def test_on_binary_images_both_agree(logits, grey):
    x = grey.round()
    assert torch.equal(cross_entropy_grey(x, logits), log_prob_bernoulli(x, logits))


def test_grey_levels_are_refused_and_named(logits, grey):
    with pytest.raises(ValueError, match=r"0 or 1, got 0\.\d+.*binarise"):
        log_prob_bernoulli(grey, logits)


@pytest.mark.parametrize("function", [log_prob_bernoulli, cross_entropy_grey])
def test_other_bad_input_is_refused_and_named(function, logits, grey):
    x = grey.round()
    with pytest.raises(ValueError, match=r"shape \(3, 28, 28\)"):
        function(x[:, 0], logits)
    with pytest.raises(ValueError, match=r"\(3, 1, 28, 28\) and logits \(3, 1, 28, 1\)"):
        function(x, logits[..., :1])
    with pytest.raises(ValueError, match="values from -1 to 1"):
        function(2 * x - 1, logits)
    with pytest.raises(ValueError, match="nan"):
        function(x / 0, logits)
    with pytest.raises(ValueError, match="uint8"):
        function(x.to(torch.uint8), logits)
