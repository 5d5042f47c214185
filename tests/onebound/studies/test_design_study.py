"""The study of designs compares what it says: one change at a time, from the same start."""

import pytest
import torch

from onebound.diffusion.design import preconditioned, weight_for
from onebound.studies import design


def test_a_setting_differs_from_the_base_in_what_it_is_named_for():
    for name, setting in design.SETTINGS.items():
        changed = {key for key in setting if setting[key] != design.BASE[key]}
        if name == "base":
            assert not changed
        elif name != "all of EDM":
            assert changed == {name.split()[0]}


@pytest.mark.parametrize("name", ["even", "EDM", "SD3"])
def test_no_noise_is_shown_outside_the_ends(name):
    chances = design.chances_of(name)
    ratios = (-design.COSINE.log_snr / 2).exp()
    assert chances.sum().item() == pytest.approx(1)
    assert (ratios[chances > 0] >= design.LOW).all()
    assert (ratios[chances > 0] <= design.HIGH).all()
    assert chances[(ratios > 0.06) & (ratios < 19)].min() > 0


def test_other_chances_keep_the_aim():
    effective = design.effective_of("v")
    for name in ("even", "EDM", "SD3"):
        chances = design.chances_of(name)
        torch.testing.assert_close(weight_for(effective, chances) * chances, effective)


def test_with_its_own_chances_each_error_of_edm_counts_alike():
    weight = weight_for(design.effective_of("EDM"), design.chances_of("EDM"))
    in_network = (weight * design.outputs()["F"].out ** 2)[design.chances_of("EDM") > 0]
    torch.testing.assert_close(in_network, torch.ones_like(in_network))


def test_the_network_has_no_skip_of_its_own():
    network = design.plain(0).eval()
    torch.nn.init.normal_(network.time[2].weight)
    x, t = torch.randn(2, 1, 28, 28), torch.tensor([10, 500])
    with torch.no_grad():
        assert network.head.weight.abs().max() == 0
        assert network(x, t).abs().max() == 0  # with a skip it would be r x


def test_the_loss_of_a_perfect_guess_is_zero():
    x_0 = torch.rand(4, 1, 28, 28) * 2 - 1
    chances, numbers = design.chances_of("even"), design.outputs()["x_0"]
    guess = preconditioned(design.COSINE, lambda x, t: x_0, numbers)
    t, found = design.loss(guess, x_0, chances, weight_for(design.effective_of("v"), chances))
    assert (chances[t] > 0).all()
    assert found.abs().max() == 0
