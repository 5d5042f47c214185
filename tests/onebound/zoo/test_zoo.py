import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import asdict
from importlib import import_module, reload

import pytest
import torch
from torch import Generator

from onebound.data.fetch import SHA256
from onebound.data.images import static_binarisation, to_signed
from onebound.data.mnist import load_mnist
from onebound.diffusion.bound import Bound, kl_coefficients, reverse_variance
from onebound.diffusion.tuning import total
from onebound.evaluation.estimates import estimate, per_example
from onebound.likelihoods import bits_per_dim, log_prob_discretised_normal
from onebound.networks.unet import UNet
from onebound.zoo import iwae_conv, unet_bound, vae_conv
from onebound.zoo.__main__ import make
from onebound.zoo.cards import FOLDER, ZooError, load_model, names

NAMES = names()

# A model of the zoo that trains in a second, in a folder of its own.
LINE = """
    import torch
    from onebound.training import checkpoint
    from onebound.training.run import train as run

    RECIPE = {"epochs": 4, "batch_size": 10, "learning_rate": 0.1, "seed": 0}
    checkpoint.EVERY = -1.0  # a state after every step

    def build():
        torch.manual_seed(1)
        return torch.nn.Linear(1, 1)

    def train(model, checkpoint):
        data = torch.linspace(-1, 1, 200)[:, None]
        loss = lambda x: (model(x)[:, 0] - 3 * x[:, 0] + 0.1 * torch.randn(len(x))) ** 2
        for epoch in run(model, loss, data, **RECIPE, checkpoint=checkpoint):
            yield {
                "epoch": epoch.number,
                "steps": epoch.steps,
                "seconds": epoch.seconds,
                "loss": epoch.loss,
            }

    def measure(model):
        return {"slope": [model.weight.item(), 0.0]}
"""


@pytest.fixture
def line(tmp_path, monkeypatch):
    (tmp_path / "line.py").write_text(textwrap.dedent(LINE))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("onebound.training.checkpoint.EVERY", 30.0)  # the module changes it
    sys.modules.pop("line", None)
    yield import_module("line")
    sys.modules.pop("line", None)


def test_what_was_made_is_what_is_loaded(line, tmp_path):
    made = make(line, tmp_path / "work")
    model, card = load_model(line)
    assert asdict(card) == asdict(made)
    assert card.metrics["slope"][0] == model.weight.item() == pytest.approx(3, abs=0.1)
    assert not model.training
    assert card.parameters == 2
    assert card.steps == 80
    assert card.images_seen == 800
    assert [record["epoch"] for record in card.history] == [1, 2, 3, 4]
    assert card.seconds == pytest.approx(card.history[-1]["seconds"], abs=0.1)
    assert not (tmp_path / "work").exists()
    assert sorted(path.name for path in tmp_path.glob("line.*")) == [
        "line.json",
        "line.py",
        "line.safetensors",
    ]


def test_weights_are_stored_in_half_precision_and_measured_as_stored(line, tmp_path):
    make(line, tmp_path / "work")
    model, _ = load_model(line)
    assert model.weight.dtype == torch.float32
    assert torch.equal(model.weight, model.weight.half().float())


def test_a_run_killed_at_any_moment_ends_as_if_it_had_not_been(line, tmp_path):
    expected = make(line, tmp_path / "work")
    script = "import sys, pathlib, line, onebound.zoo.__main__ as m; "
    script += "m.make(line, pathlib.Path('work'))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    checkpoint = tmp_path / "work" / "checkpoint"
    run = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, env=environment)
    while not checkpoint.exists() and run.poll() is None:
        time.sleep(0.001)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL, "it ended before it could be killed"
    assert json.loads((tmp_path / "line.json").read_text())["weights"] == expected.weights
    reload(line)
    resumed = make(line, tmp_path / "work")
    assert resumed.weights == expected.weights
    assert [r["loss"] for r in resumed.history] == [r["loss"] for r in expected.history]


def test_two_processes_share_a_run(line, tmp_path):
    (tmp_path / "go.py").write_text(
        "import pathlib, line, onebound.zoo.__main__ as m; m.make(line, pathlib.Path('work'))"
    )
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "go.py"]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
    }
    subprocess.run(
        [sys.executable, *launch], cwd=tmp_path, env=environment, check=True, timeout=120
    )
    assert load_model(line)[1].machine["processes"] == 2


def test_a_model_too_poor_to_be_measured_is_kept_and_measured_again(line, tmp_path, monkeypatch):
    measure, work = line.measure, tmp_path / "work"

    def fail(model):
        raise ValueError("no digit among them")

    monkeypatch.setattr(line, "measure", fail)
    with pytest.raises(ValueError, match="no digit") as caught:
        make(line, work)
    (note,) = caught.value.__notes__
    assert "python -m onebound.zoo line measures it again" in note
    assert f"change its RECIPE and delete {work}" in note
    kept = load_model(line)[1]
    assert kept.metrics == {}
    monkeypatch.setattr(line, "measure", measure)
    again = make(line, work)
    assert (again.weights, again.seconds) == (kept.weights, kept.seconds)
    assert again.metrics["slope"][0] == pytest.approx(3, abs=0.1)
    assert not work.exists()


def test_a_missing_model_is_named_and_how_to_make_it(line):
    with pytest.raises(ZooError, match=r"no trained line .*python -m onebound.zoo line"):
        load_model(line)


def test_damaged_weights_are_refused(line, tmp_path):
    make(line, tmp_path / "work")
    weights = tmp_path / "line.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ZooError, match=r"weights of line are damaged .*SHA-256 is [0-9a-f]{64}"):
        load_model(line)


@pytest.mark.parametrize("text", ["", "{}", '{"name": "line", "colour": "red"}'])
def test_a_damaged_card_is_refused(line, tmp_path, text):
    make(line, tmp_path / "work")
    (tmp_path / "line.json").write_text(text)
    with pytest.raises(ZooError, match="card of line is damaged"):
        load_model(line)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_model_is_that_of_its_recipe(name):
    entry = import_module(f"onebound.zoo.{name}")
    _, card = load_model(entry)
    assert card.recipe == entry.RECIPE, "the recipe changed: train it again"
    assert card.data == SHA256
    assert card.metrics, f"stopped before it was measured: python -m onebound.zoo {name} does it"
    assert card.history[-1]["epoch"] == card.recipe["epochs"] == len(card.history)


def test_the_zoo_stays_small():
    size = sum(path.stat().st_size for path in FOLDER.glob("*.safetensors"))
    assert size < 12.5e6, "git keeps all weights for ever: a smaller network, or one less"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_metric_of_a_card_comes_out_again(name):
    entry = import_module(f"onebound.zoo.{name}")
    model, card = load_model(entry)
    measured = entry.measure(model)
    assert measured.keys() == card.metrics.keys()
    for metric, (mean, stderr) in card.metrics.items():
        # The same images and, on one machine, the same noise; elsewhere the noise may differ.
        assert measured[metric][0] == pytest.approx(mean, abs=0.2 * stderr), metric


@pytest.mark.parametrize("entry", [vae_conv, iwae_conv], ids=["vae_conv", "iwae_conv"])
def test_a_vae_has_the_bound_of_its_card(entry):
    model, card = load_model(entry)
    test = static_binarisation(load_mnist().test_images)
    noise = Generator().manual_seed(1)
    one, other = (per_example(lambda x: model.bound(x, noise).elbo, x) for x in (test, test[:1000]))
    mean, stderr = card.metrics["elbo"]
    # The images are those of the card, so two numbers differ by the noise in z alone.
    again = estimate(one[:1000] - other).stderr * (1000 / len(test)) ** 0.5
    assert abs(one.mean().item() - mean) < 4 * again
    assert estimate(one).stderr == pytest.approx(stderr, rel=0.05)


def test_the_card_of_the_bound_is_that_of_a_few_images_too():
    network, card = load_model(unet_bound)
    levels = load_mnist().test_images[:12]
    alone = unet_bound.costs(unet_bound.denoiser_of(network), unet_bound.SCHEDULE, levels)
    finer = unet_bound.costs(
        unet_bound.with_steps(network, unet_bound.FINER), unet_bound.FINER, levels
    )
    terms = {"decoder": alone.log_likelihood, "steps": alone.kl_steps.sum(1)}
    terms |= {"prior": alone.kl_prior, "bits_per_dim": total(alone), "finer": total(finer)}
    found = {name: values.mean().item() for name, values in terms.items()}
    assert found.keys() == card.metrics.keys()
    for metric, (mean, stderr) in card.metrics.items():  # of 10,000 images
        assert abs(found[metric] - mean) < 4 * stderr * (10_000 / len(levels)) ** 0.5, metric
        assert stderr > 0, metric
    parts = [card.metrics[name][0] for name in ("decoder", "steps", "prior")]
    assert sum(parts) == pytest.approx(card.metrics["bits_per_dim"][0], rel=1e-6)
    # More steps can only help, and help little: the paper's limit of many steps.
    assert 0 < card.metrics["bits_per_dim"][0] - card.metrics["finer"][0] < 0.02


@pytest.mark.parametrize("schedule", [unet_bound.SCHEDULE, unet_bound.FINER])
def test_the_groups_have_their_closed_forms_where_every_step_costs_the_same(schedule):
    levels, D = torch.randint(0, 256, (30, 1, 28, 28), dtype=torch.uint8), 784
    x_0 = to_signed(levels)
    off = 0.2 * schedule.snr.rsqrt()  # an error of 0.2 in eps_hat, at each step
    variance = reverse_variance(schedule)
    weight, excess = kl_coefficients(schedule, variance)
    steps = D * (weight * off**2 + excess)[2:].sum()
    left = schedule.alpha_bar[-1]
    prior = 0.5 * (left * (x_0.double().square().flatten(1).sum(1) - D) - D * torch.log1p(-left))
    first = log_prob_discretised_normal(x_0, x_0 + off[1].float(), variance[1].log().float())

    def denoise(x_t, t):
        return x_0 + off.float()[t].reshape(-1, 1, 1, 1)

    found = unet_bound.costs(denoise, schedule, levels)
    groups = (found.log_likelihood, found.kl_steps.sum(1), found.kl_prior)
    for bits, nats in zip(groups, (first.double(), -steps.expand(30), -prior), strict=True):
        torch.testing.assert_close(bits.double(), bits_per_dim(nats), rtol=2e-3, atol=1e-6)


def test_what_is_measured_of_the_bound_has_the_names_of_its_groups(monkeypatch):
    values = {id(unet_bound.SCHEDULE): (1.0, 2.0, 4.0), id(unet_bound.FINER): (3.0, 5.0, 9.0)}

    def costs(denoise, schedule, levels):
        assert torch.equal(levels, load_mnist().test_images)
        decoder, steps, prior = (torch.full((4,), value) for value in values[id(schedule)])
        return Bound(decoder, steps[:, None], prior)

    monkeypatch.setattr(unet_bound, "costs", costs)
    monkeypatch.setattr(unet_bound, "with_steps", lambda network, schedule: (network, schedule))
    monkeypatch.setattr(unet_bound, "denoiser_of", lambda network: network)
    found = {name: mean for name, (mean, _) in unet_bound.measure(UNet(4, 4, 4, 1)).items()}
    assert found == {"bits_per_dim": 7, "decoder": 1, "steps": 2, "prior": 4, "finer": 17}
