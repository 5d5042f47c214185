import json

import pytest
import torch
from safetensors.torch import load_file

from bench import BUDGETS, RECIPES, eps_error, spread, work


@pytest.mark.parametrize("name", ["UNet", BUDGETS[1][0]])
def test_a_training_leaves_averaged_weights_and_what_it_took(tmp_path, name):
    file = tmp_path / "network.safetensors"
    work(name, 128, 2, file)
    result = json.loads(file.with_suffix(".json").read_text())
    assert result["images"] == 128
    assert len(result["seconds"]) == 2
    assert min(result["seconds"]) > 0
    # The peak of this whole process, in which other tests have run: the unit, and no more.
    assert 0.1 < result["gigabytes"] < 40
    network = RECIPES[name].network()
    network.load_state_dict(load_file(file))
    assert any((value != 0).any() for value in network.head.state_dict().values())


def test_the_error_of_a_denoiser_that_guesses_nothing():
    # x_0_hat = 0 has eps_hat = x_t / sigma: its error is SNR x_0^2, infinite in the mean at t = 1.
    zero = eps_error(lambda x_t, t: torch.zeros_like(x_t))
    right = RECIPES["UNet"].denoiser(lambda x_t, t: torch.zeros_like(x_t))  # v_hat = 0
    assert zero.mean > 10 * eps_error(right).mean
    assert 0.3 < eps_error(right).mean < 0.6  # alpha_bar E[v^2], with pixels of square 0.9


def test_a_spread_is_a_median_between_its_ends():
    assert spread([3.0, 1.0, 2.0]) == "2 (1 to 3)"


def test_an_unknown_budget_is_refused(monkeypatch, capsys):
    from bench import main

    monkeypatch.setattr("sys.argv", ["bench", "--minutes", "7"])
    with pytest.raises(SystemExit):
        main()
    assert "invalid choice" in capsys.readouterr().err
