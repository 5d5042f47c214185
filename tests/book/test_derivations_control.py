"""The algebra of the chapter on control, proved by SymPy."""

import pytest
import sympy as sp
from printed_math import Reader, assert_chain, chains, display, inline

POSITIVE = {"positive": True}
w, x, rho, r, v, y = sp.symbols("w x rho r v y", **POSITIVE)


@pytest.mark.equation("eq-label-score", "eq-steered")
def test_the_difference_of_two_denoisers_is_the_slope_of_a_classifier():
    wanted, other = sp.Function("q_y")(x), sp.Function("q_n")(x)
    prior, kept = sp.symbols("p abar", **POSITIVE)
    every = prior * wanted + (1 - prior) * other
    guess = lambda density: (x + (1 - kept) * sp.diff(sp.log(density), x)) / sp.sqrt(kept)  # noqa: E731
    inline("control", r"q(x_t \mid y) = q(x_t)\, q(y \mid x_t) / p(y)")
    classifier = prior * wanted / every
    pull = (1 - kept) / sp.sqrt(kept) * sp.diff(sp.log(classifier), x)
    assert sp.simplify(guess(wanted) - guess(every) - pull) == 0


@pytest.mark.equation("eq-guided-leak")
def test_squares_do_not_add_up():
    a, b = sp.symbols("a b", real=True)  # one component of each slope
    left = w * a**2 - (w - 1) * b**2
    right = (w * a - (w - 1) * b) ** 2 - w * (w - 1) * (a - b) ** 2
    assert sp.expand(left - right) == 0


@pytest.mark.equation("eq-guided-leak", "eq-guided-density")
def test_the_product_obeys_a_heat_equation_with_a_leak():
    a, b = (sp.Function(name)(rho, x) for name in "ab")
    heat = {sp.diff(f, rho): rho * (sp.diff(f, x, 2) + sp.diff(f, x) ** 2) for f in (a, b)}
    product = sp.exp(w * a - (w - 1) * b)
    leak = w * (w - 1) * rho * sp.diff(a - b, x) ** 2 * product
    change = sp.diff(product, rho).subs(heat)
    assert sp.simplify((change - rho * sp.diff(product, x, 2) + leak) / product) == 0
    # Each q obeys it as it says: the heat equation of exp(a) is that of a.
    assert sp.simplify(sp.diff(sp.exp(a), rho).subs(heat) - rho * sp.diff(sp.exp(a), x, 2)) == 0


@pytest.mark.equation("eq-guided-density")
def test_the_leak_is_counted_in_the_snr():
    inline("control", r"\rho\, d\rho / \rho^4 = - \frac12\, d\operatorname{SNR}")
    assert sp.simplify(rho / rho**4 + sp.diff(1 / rho**2, rho) / 2) == 0


@pytest.mark.equation("eq-guided-variance")
@pytest.mark.parametrize("strength", [sp.Rational(1, 2), 1, sp.Rational(3, 2), 2, 3])
def test_the_variance_of_guided_normal_data(strength):
    one, other = sp.symbols("lambda_1 lambda_2", **POSITIVE)
    slope = lambda variance: rho / (variance + rho**2)  # noqa: E731
    log_root = lambda variance: sp.log(variance + rho**2) / 2  # noqa: E731
    assert sp.simplify(sp.diff(log_root(one), rho) - slope(one)) == 0
    grown = strength * log_root(one) - (strength - 1) * log_root(other)
    # From x_T of variance rho^2 at a large rho down to rho = 0.
    drawn = sp.exp(2 * (grown.subs(rho, 0) - grown)) * rho**2
    drawn = sp.limit(sp.powsimp(sp.expand_power_base(sp.simplify(drawn), force=True)), rho, sp.oo)
    (chain,) = [c for c in chains(display("control", "eq-guided-variance")) if len(c) > 1]
    assert_chain(Reader({"w": str(sp.nsimplify(strength))}), chain[1:])
    assert sp.simplify(drawn - one**strength / other ** (strength - 1)) == 0


@pytest.mark.equation("eq-replaced-normal")
def test_what_replacement_makes_of_normal_data():
    u, one, two = sp.symbols("u x_1 x_2", **POSITIVE)
    covariance = sp.Matrix([[1 + u, r], [r, 1 + u]])
    d = (1 + u) ** 2 - r**2
    slope = -(covariance.inv() * sp.Matrix([one, two]))[1]
    assert sp.simplify(slope + ((1 + u) * two - r * one) / d) == 0
    # The two quotients whose derivatives are known.
    root = sp.sqrt(d)
    mean, spread = sp.Function("M")(u), sp.Function("V")(u)
    paths = {
        sp.diff(mean, u): ((1 + u) * mean - r * y) / d,
        sp.diff(spread, u): 2 * (1 + u) / d * spread - 1,
    }
    assert sp.simplify(sp.diff(mean / root, u).subs(paths) + r * y / root**3) == 0
    assert sp.simplify(sp.diff(spread / d, u).subs(paths) + 1 / d) == 0
    # And their integrals, from u = 0, which is v = 1, on.
    quotient = -v / (r**2 * sp.sqrt(v**2 - r**2))
    assert sp.simplify(sp.diff(quotient, v) - (v**2 - r**2) ** sp.Rational(-3, 2)) == 0
    logarithm = sp.log((v - r) / (v + r)) / (2 * r)
    assert sp.simplify(sp.diff(logarithm, v) - 1 / (v**2 - r**2)) == 0
    total = sp.limit(quotient, v, sp.oo) - quotient.subs(v, 1)
    rest = sp.limit(logarithm, v, sp.oo) - logarithm.subs(v, 1)
    numbers = {r: sp.Rational(7, 10), y: sp.Rational(13, 10)}
    found = r * y * sp.sqrt(1 - r**2) * total
    printed = (1 - sp.sqrt(1 - r**2)) / r * y
    assert sp.simplify(found - printed) == 0
    variance = (1 - r**2) * sp.atanh(r) / r
    assert abs(sp.N(((1 - r**2) * rest - variance).subs(numbers))) < 1e-12
    assert sp.series(printed, r, 0, 2).removeO() == r * y / 2  # half of the message


@pytest.mark.equation("eq-spread")
def test_the_spread_is_the_variance_of_normal_data():
    (chain,) = [c for c in chains(display("control", "eq-spread")) if len(c) > 1]
    precision = r"\frac{1}{v} + \frac{\bar\alpha_t}{1 - \bar\alpha_t}"
    assert_chain(Reader({}), [chain[1], rf"\frac{{1}}{{{precision}}}"])
    assert sp.simplify(rho**2 / (1 + rho**2) - 1 / (1 + 1 / rho**2)) == 0
    inline("control", r"r_t^2 = \rho_t^2 / (1 + \rho_t^2)")


@pytest.mark.equation("eq-dps")
def test_a_normalised_slope_of_the_square_is_twice_that_of_the_distance():
    distance, size = sp.Function("n")(x), sp.Symbol("size", **POSITIVE)
    inline("control", r"\zeta = 2 \zeta'")
    step = size / distance * sp.diff(distance**2, x)
    assert sp.simplify(step - 2 * size * sp.diff(distance, x)) == 0
