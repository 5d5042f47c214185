"""Strips whose posteriors are known, and what can be seen of them."""

import math

import pytest
import torch

from onebound.exact.strips import PIXELS, SHAPES, blurred, coarse, half, strips

DATA = strips()


def test_each_shape_is_a_cluster_with_the_signs_that_it_shows():
    rows = [[1.0 if mark == "+" else -1.0 for mark in shape] for shape in SHAPES.values()]
    assert DATA.means.tolist() == rows
    assert DATA.weights.sum() == pytest.approx(1)
    assert (DATA.moments[1].diagonal() - 1).abs().max() < 0.1


def test_neighbours_deviate_together():
    covariance = DATA.covariances[2]
    near = [math.exp(-(distance**2) / 8) for distance in range(PIXELS)]
    expected = torch.tensor(near).double() * 0.04
    expected[0] += 0.0025
    torch.testing.assert_close(covariance[0], expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(covariance[3, 5], covariance[0, 2])


def test_an_operator_sees_what_its_name_says():
    ramp = torch.arange(PIXELS).double()
    assert (half() @ ramp).tolist() == [0, 1, 2, 3]
    assert (coarse() @ ramp).tolist() == [1.5, 5.5]
    torch.testing.assert_close(blurred().sum(1), torch.ones(PIXELS).double())
    middle = torch.zeros(PIXELS).double()
    middle[3] = 9
    assert (blurred() @ middle).round(decimals=9).tolist() == [0, 1, 2, 3, 2, 1, 0, 0]
    first = torch.zeros(PIXELS).double()
    first[0] = 9  # its copies beyond the end count too
    assert (blurred() @ first).round(decimals=9).tolist() == [6, 3, 1, 0, 0, 0, 0, 0]


def test_bar_and_gap_look_alike_from_afar():
    bar, gap = (DATA.means[list(SHAPES).index(name)] for name in ("bar", "gap"))
    torch.testing.assert_close(coarse() @ bar, coarse() @ gap)
    seen = DATA.posterior(torch.zeros(2).double(), coarse(), 0.1)
    odds = seen.weights[list(SHAPES).index("bar")] / seen.weights[list(SHAPES).index("gap")]
    assert odds == pytest.approx(2)  # what they were before
