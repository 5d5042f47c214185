"""The displays of Part IV as they are printed, proved by SymPy."""

import pytest
import sympy as sp
from printed_math import Reader, assert_chain, chains, display, vanishes

READ = Reader()
NOISY = r"\sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \epsilon"


def claims(page, key, **names):
    """Return the chains of a display, with what SymPy has no notation for under other names."""
    tex = display(page, key)
    for name, printed in names.items():
        assert printed in tex, f"{key} does not print {printed}"
        tex = tex.replace(printed, name)
    return chains(tex)


def log_normal(x, mean, variance):
    return -((x - mean) ** 2) / (2 * variance) - sp.log(2 * sp.pi * variance) / 2


@pytest.mark.equation("eq-fisher-conditional")
def test_the_score_of_a_normal_step():
    (chain,) = claims("scores", "eq-fisher-conditional", S=r"\nabla \log q(x_t \mid x_0)")
    x_t, a_bar = READ("x_t"), READ(r"\bar\alpha_t")
    slope = sp.diff(log_normal(x_t, sp.sqrt(a_bar) * READ("x_0"), 1 - a_bar), x_t)
    assert_chain(Reader({"S": slope}), chain[:2])
    assert_chain(Reader({"x_t": NOISY}), chain[1:])


@pytest.mark.equation("eq-fisher-tweedie")
def test_the_two_forms_of_the_score_of_noisy_data():
    """Both means are taken given x_t, so that eps and x_0 keep their relation on average."""
    (chain,) = claims(
        "scores",
        "eq-fisher-tweedie",
        S=r"\nabla \log q(x_t)",
        M=r"\E[x_0 \mid x_t]",
        N=r"\E[\epsilon \mid x_t]",
    )
    noise = r"\frac{x_t - \sqrt{\bar\alpha_t}\, M}{\sqrt{1 - \bar\alpha_t}}"
    assert_chain(Reader({"N": noise}), chain[1:])


@pytest.mark.equation("eq-fisher-step")
def test_the_weight_of_a_fisher_divergence():
    """The weight turns a squared difference of scores into that of guesses, in the bound's unit."""
    (score,) = claims(
        "scores",
        "eq-fisher-tweedie",
        S=r"\nabla \log q(x_t)",
        M=r"\E[x_0 \mid x_t]",
        N=r"\E[\epsilon \mid x_t]",
    )
    tex = display("scores", "eq-fisher-step")
    weight = tex.split(r"\underbrace{")[1].split(r"}_{\omega_t}")[0]
    lost = tex.split(r"\E \big")[0]
    of = {name: Reader({"M": name})(score[1]) for name in ("x_0", r"\hat x_0")}
    scores = (of["x_0"] - of[r"\hat x_0"]) ** 2
    guesses = (READ("x_0") - READ(r"\hat x_0")) ** 2
    assert vanishes(READ(weight) * scores - READ(lost) * guesses)


@pytest.mark.equation("eq-sde-flow")
def test_the_flow_in_both_forms():
    (chain,) = claims(
        "continuous-time",
        "eq-sde-flow",
        V=r"\frac{dx}{d\lambda}",
        S=r"\nabla \log q(x)",
        M=r"\E[x_0 \mid x]",
    )
    score = {"S": r"\frac{\alpha M - x}{\sigma^2}", r"\sigma": sp.sqrt(1 - READ(r"\alpha") ** 2)}
    assert_chain(Reader(score), chain[1:])


@pytest.mark.equation("eq-sde-clock")
def test_the_clock_of_the_log_snr():
    (chain,) = claims("continuous-time", "eq-sde-clock", B=r"\beta(t)\, dt", L=r"d\lambda")
    kept = READ(r"\bar\alpha")
    rate = sp.diff(sp.log(kept) - sp.log(1 - kept), kept)  # d lambda over d alpha_bar
    assert_chain(Reader({"B": -1 / kept, "L": rate}), chain)


@pytest.mark.equation("eq-sde-fokker-planck")
def test_noisy_normal_data_obey_the_fokker_planck_equation():
    (chain,) = claims(
        "continuous-time",
        "eq-sde-fokker-planck",
        A=r"\frac{\partial q}{\partial t}",
        B=r"\frac{\partial (b\, q)}{\partial x}",
        C=r"\frac{\partial^2 q}{\partial x^2}",
    )
    x, t, m = sp.symbols("x t m", real=True)
    v = sp.Symbol("v", positive=True)
    kept = sp.exp(-t)  # beta = 1
    q = sp.exp(log_normal(x, sp.sqrt(kept) * m, kept * v + 1 - kept))
    parts = {"A": sp.diff(q, t), "B": sp.diff(-x / 2 * q, x), "C": sp.diff(q, x, 2), "g": 1}
    left, right = (Reader(parts)(side) for side in chain)
    assert sp.simplify((left - right) / q) == 0


@pytest.mark.equation("eq-sde-kl")
def test_the_divergence_of_two_normal_densities_falls_at_the_rate_of_their_fisher_divergence():
    _, chain = claims(
        "continuous-time",
        "eq-sde-kl",
        K=r"\frac{d}{d\lambda} \KL{q}{p}",
        L=r"\frac{d}{dt} \KL{q}{p}",
        F=r"F(q, p)",
    )
    snr, v, w = sp.symbols("snr v w", positive=True)  # of clean data
    m = sp.Symbol("m", real=True)  # the distance of the means
    kept = snr / (1 + snr)
    wide, other = kept * v + 1 - kept, kept * w + 1 - kept
    kl = (sp.log(other / wide) + (wide + kept * m**2) / other - 1) / 2
    # The scores differ by the linear function (x - mean_p) / other - (x - mean_q) / wide.
    fisher = (1 / other - 1 / wide) ** 2 * wide + kept * m**2 / other**2
    parts = {"K": snr * sp.diff(kl, snr), "F": fisher, r"\sigma": sp.sqrt(1 - kept)}
    left, right = (Reader(parts)(side) for side in chain)
    assert sp.simplify(left - right) == 0
