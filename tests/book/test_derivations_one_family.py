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


NU = sp.Symbol("nu", positive=True)
KEPT = READ(r"\bar\alpha_t")
SKIPS = {"A": r"c_\text{skip}", "B": r"c_\text{out}", "C": r"c_\text{in}", "V": r"\nu"}


def preconditioned():
    """Return c_skip, c_out and c_in as the chapter prints them, in alpha_bar and nu."""
    parts = claims("design", "eq-design-edm", **SKIPS)
    return [Reader({"V": NU})(side) for _, side in parts]


@pytest.mark.equation("eq-design-unit", "eq-design-residual", "eq-design-edm")
def test_the_three_numbers_meet_the_three_demands():
    skip, out, into = preconditioned()
    (unit,) = claims("design", "eq-design-unit", C=r"c_\text{in}", V=r"\nu")
    assert_chain(Reader({"C": into, "V": NU}), unit)
    (left,) = claims("design", "eq-design-residual", A=SKIPS["A"], B=SKIPS["B"], V=r"\nu")
    assert_chain(Reader({"A": skip, "B": out, "V": NU}), left)
    c = sp.Symbol("c", real=True)
    amount = Reader({"A": c, "V": NU})(left[1])
    assert vanishes(sp.diff(amount, c).subs(c, skip))
    assert vanishes(sp.diff(amount, c, 2) - 2 * (KEPT * NU + 1 - KEPT))  # positive: a minimum


@pytest.mark.equation("eq-design-precision")
def test_precisions_add_up():
    _, out, _ = preconditioned()
    (chain,) = claims(
        "design", "eq-design-precision", B=SKIPS["B"], V=r"\nu", S=r"\operatorname{SNR}_t"
    )
    assert_chain(Reader({"B": out, "V": NU, "S": KEPT / (1 - KEPT)}), chain)


@pytest.mark.equation("eq-design-v")
def test_v_is_the_case_of_unit_variance():
    tex = display("design", "eq-design-v").partition(":")[2]
    for name, printed in list(SKIPS.items())[:3]:
        tex = tex.replace(printed, name)
    for found, (_, side) in zip(preconditioned(), chains(tex), strict=True):
        assert vanishes(found.subs(NU, 1) - READ(side))


@pytest.mark.equation("eq-design-karras")
def test_the_numbers_of_an_image_that_is_not_scaled_down():
    parts = claims("design", "eq-design-karras", R=r"\rho_t", **SKIPS)
    ratio = sp.Symbol("r", positive=True)
    kept = 1 / (1 + ratio**2)
    found = [sp.simplify(one.subs(KEPT, kept)) for one in preconditioned()]
    names = dict(zip("ABC", found, strict=True))
    for chain in parts:
        assert_chain(Reader(names | {"V": NU, "R": ratio, r"\bar\alpha_t": kept}), chain)


@pytest.mark.equation("eq-design-even")
def test_even_steps_have_a_bell_in_log_snr():
    tex = display("design", "eq-design-even")
    assert r"\lambda = -2 \log \tan \frac{\pi u}{2} ," in tex
    assert tex.endswith(r"= \frac{1}{2 \pi \cosh(\lambda / 2)} ,")
    u, lam = sp.symbols("u lambda", real=True)
    way = sp.atan(sp.exp(-lam / 2)) * 2 / sp.pi
    assert sp.simplify(-2 * sp.log(sp.tan(sp.pi * way / 2)) - lam) == 0
    density = (-sp.diff(way, lam)).rewrite(sp.exp)
    assert sp.simplify(density - (1 / (2 * sp.pi * sp.cosh(lam / 2))).rewrite(sp.exp)) == 0
    kept = sp.cos(sp.pi * u / 2) ** 2  # and the SNR is the inverse square of the tangent
    assert sp.simplify(kept / (1 - kept) - sp.tan(sp.pi * u / 2) ** -2) == 0
