"""The VAE of the plane, what travels with the figures, and the models that are solved."""

import itertools
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch.distributions import Bernoulli, Normal

from live.engine import SOURCES, Engine
from onebound.data.images import to_signed, to_unit
from onebound.data.mnist import load_mnist
from onebound.distributions import kl_normal_standard
from onebound.zoo import vae_plane
from onebound.zoo.cards import files, load_model

COLUMNS = 20


@pytest.fixture(scope="module")
def loaded(engine: Engine) -> Engine:
    weights, _ = files(vae_plane)
    make = "globalThis.plane = new $plane.PlaneVAE($tensors.tensorsOf(weights))"
    engine(f"({make}, true)", weights=weights.read_bytes())
    return engine


@torch.no_grad()
def test_codes_and_pictures_agree(loaded: Engine):
    vae, _ = load_model(vae_plane)
    x = (to_unit(load_mnist().test_images[:64]) > 0.5).float()
    mu, logvar = vae.encode(x)
    logits = vae.decode(mu)
    hidden = vae.encoder.net[1](x.flatten(1)), vae.decoder.net[0](mu)
    for i in range(64):
        found = loaded.tensor(
            """(({mean, logvar}) => [
                ...$layers.linear(...plane.layers[0], x), ...mean, ...logvar,
                ...$layers.linear(...plane.layers[2], mean), ...plane.decode(mean),
            ])(plane.encode(x))""",
            x=x[i].flatten(),
        )
        expected = torch.cat([hidden[0][i], mu[i], logvar[i], hidden[1][i], logits[i].flatten()])
        assert (found - expected).abs().max() < 1e-3


@torch.no_grad()
def test_the_bound_is_that_of_many_draws(loaded: Engine):
    vae, _ = load_model(vae_plane)
    x = (to_unit(load_mnist().test_images[3:4]) > 0.5).float()
    mu, logvar = vae.encode(x)
    found = loaded("plane.bound(x)", x=x.flatten())
    assert sum(found["kl"]) == pytest.approx(kl_normal_standard(mu, logvar).item(), abs=1e-3)
    z = Normal(mu, torch.exp(logvar / 2)).sample((20_000,))[:, 0]
    terms = Bernoulli(logits=vae.decode(z)).log_prob(x).flatten(1).sum(1)
    error = terms.std() / math.sqrt(len(terms))
    assert abs(found["likelihood"] - terms.mean()) < 4 * error + 1e-3
    assert found["elbo"] == pytest.approx(found["likelihood"] - sum(found["kl"]), abs=1e-9)


def test_the_digits_that_travel_are_test_digits():
    mnist = load_mnist()
    labels = (SOURCES / "digits.txt").read_text().strip()
    assert labels == "".join(map(str, mnist.test_labels[: len(labels)].tolist()))
    with Image.open(SOURCES / "digits.png") as picture:
        assert picture.mode == "L"
        sheet = torch.from_numpy(np.array(picture))
    sheet = sheet.reshape(-1, 28, COLUMNS, 28).transpose(1, 2).reshape(-1, 1, 28, 28)
    assert torch.equal(sheet, mnist.test_images[: len(labels)])


def test_the_exact_posterior_is_bayes_rule(engine: Engine):
    data = to_signed(load_mnist().test_images[:30]).flatten(1)
    signal, noise = 0.2, math.sqrt(1 - 0.04)
    x_t = signal * data[4] + noise * torch.randn(784)
    found = engine(
        """((images) => {
            const p = $exact.exactPosterior(images, xT, signal, noise);
            return [p, [...$exact.meanOf(images, p)]];
        })(Array.from({length: 30}, (_, n) => data.subarray(784 * n, 784 * (n + 1))))""",
        data=data.flatten(), xT=x_t, signal=signal, noise=noise,
    )  # fmt: skip
    logs = Normal(signal * data.double(), noise).log_prob(x_t.double()).sum(1)
    p = logs.softmax(0)
    assert torch.tensor(found[0], dtype=torch.float64).allclose(p, atol=1e-4)
    assert torch.tensor(found[1]).allclose((p @ data.double()).float(), atol=1e-3)


def test_a_bent_schedule_passes_its_three_points(engine: Engine):
    log_snr = engine("[...$forward_process.bent(9, -1, -6).logSnr].slice(1)")
    assert log_snr[0] == pytest.approx(9)
    assert log_snr[-1] == pytest.approx(-6)
    assert (log_snr[499] + log_snr[500]) / 2 == pytest.approx(-1, abs=0.02)
    assert all(a > b for a, b in itertools.pairwise(log_snr))


def test_a_step_back_becomes_normal_as_it_shrinks(engine: Engine):
    betas = [0.2, 0.05, 0.0125]
    steps = engine("betas.map((beta) => $reverse_step.stepBack(0.2, 0.8, beta))", betas=betas)
    for step in steps:
        for density in (step["exact"], step["normal"]):
            values = list(density.values()) if isinstance(density, dict) else density
            assert sum(values) * 0.005 == pytest.approx(1, abs=1e-3)
    apart = [step["apart"] for step in steps]
    # A quarter of the step, a half of its deviation: the skewness that is left is of its order.
    assert apart[1] < 0.6 * apart[0]
    assert apart[2] < 0.6 * apart[1]


def test_drawings_are_kept_in_letters_and_centred(engine: Engine):
    drawn = torch.randint(4, (784,)) / 3
    again = engine.tensor("$pad.pixelsOf($pad.lettersOf(x))", x=drawn)
    assert torch.equal(again, drawn)
    assert engine("$pad.pixelsOf('not a drawing') ?? null") is None
    corner = torch.zeros(28, 28)
    corner[2:6, 20:26] = 1
    moved = engine.tensor("$pad.centred(x)", (28, 28), x=corner.flatten())
    places = (torch.arange(28) + 0.5).float()
    assert moved.sum() == corner.sum()
    assert abs((moved.sum(0) @ places / moved.sum()) - 14) <= 0.5
    assert abs((moved.sum(1) @ places / moved.sum()) - 14) <= 0.5
