"""The algebra of the chapters on solvers and flows, proved by SymPy."""

import pytest
import sympy as sp
from printed_math import Reader, assert_chain, chains, display, inline

POSITIVE = {"positive": True}
NOISY = r"\sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \epsilon"
h, r, lam = sp.symbols("h r lambda", **POSITIVE)
rho_t, rho_s = sp.symbols("rho_t rho_s", **POSITIVE)


def claims(page, key):
    """The chains of a display that claim something."""
    return [chain for chain in chains(display(page, key)) if len(chain) > 1]


@pytest.mark.equation("eq-exponential-form")
def test_the_weights_of_the_past_add_up_to_one():
    assert sp.simplify(sp.exp(-h) + sp.integrate(sp.exp(-(h - r)), (r, 0, h)) - 1) == 0


@pytest.mark.equation("eq-exponential-form")
def test_the_exponential_form_solves_the_equation():
    guess = sp.Function("D")
    start = sp.Symbol("x")
    path = sp.exp(-h) * start + sp.Integral(sp.exp(-(h - r)) * guess(r), (r, 0, h))
    assert sp.simplify(sp.diff(path, h).doit() - (guess(h) - path)) == 0


@pytest.mark.equation("eq-even-change", "eq-multistep")
def test_an_even_change_is_a_guess_at_the_middle_up_to_third_order():
    inline("solvers", r"h = \ell_s - \ell_t = \log (\rho_t / \rho_s)")
    exact = sp.integrate(sp.exp(-(h - r)) * r, (r, 0, h))
    assert sp.simplify(exact - (h - 1 + sp.exp(-h))) == 0
    middle = (1 - sp.exp(-h)) * h / 2
    assert sp.series(exact - middle, h, 0, 3).removeO() == 0
    assert sp.series(exact - middle, h, 0, 4).removeO() != 0


@pytest.mark.equation("eq-multistep")
def test_a_multistep_step_errs_by_the_third_power_only():
    # Any smooth guess, the step before of another length, in proportion to this one.
    a, b, c, share = sp.symbols("a b c share", **POSITIVE)
    guess = lambda r: a + b * r + c * r**2  # noqa: E731
    exact = sp.integrate(sp.exp(-(h - r)) * guess(r), (r, 0, h))
    before = share * h
    middle = guess(0) + h / (2 * before) * (guess(0) - guess(-before))
    assert sp.series(exact - (1 - sp.exp(-h)) * middle, h, 0, 3).removeO() == 0


@pytest.mark.equation("eq-heun", "eq-path-expansion")
def test_heuns_step_errs_by_the_third_power_only():
    d, rho = sp.symbols("delta rho")
    slope = sp.Function("f")
    x = sp.Symbol("x")
    # The path of x' = f(rho, x), by its Taylor polynomial.
    first = slope(rho, x)
    second = sp.diff(first, rho) + sp.diff(first, x) * first
    path = x + d * first + d**2 * second / 2
    there = x + d * first
    end = slope(rho, x) + d * (sp.diff(first, rho) + sp.diff(first, x) * (there - x) / d)
    heun = x + d * (first + end) / 2
    assert sp.simplify(sp.expand(path - heun)) == 0


@pytest.mark.equation("eq-churn")
def test_the_coming_and_going_is_the_family_of_samplers():
    a_t, a_s, eta = sp.symbols("abar_t abar_s eta", **POSITIVE)
    beta_tilde = (1 - a_s) / (1 - a_t) * (1 - a_t / a_s)
    ratio = {rho_t: sp.sqrt((1 - a_t) / a_t), rho_s: sp.sqrt((1 - a_s) / a_s)}
    fresh = rho_s**2 * (1 - rho_s**2 / rho_t**2)
    assert sp.simplify(fresh.subs(ratio) - beta_tilde / a_s) == 0
    down = rho_s**2 * (1 - eta**2 * (1 - rho_s**2 / rho_t**2))
    kept = (1 - a_s - eta**2 * beta_tilde) / a_s
    assert sp.simplify(down.subs(ratio) - kept) == 0
    assert sp.simplify(sp.sqrt(down.subs(eta, 1)) - rho_s**2 / rho_t) == 0
    assert sp.simplify(rho_s**2 - down - eta**2 * fresh) == 0
    inline("solvers", r"\rho_\downarrow = \rho_s^2 / \rho_t")


@pytest.mark.equation("eq-karras-grid")
def test_a_large_power_is_even_in_the_logarithm():
    low, high, share, p = sp.symbols("low high share p", **POSITIVE)
    grid = (low ** (1 / p) + share * (high ** (1 / p) - low ** (1 / p))) ** p
    numbers = {low: sp.Rational(1, 20), high: 20, share: sp.Rational(1, 3)}
    limit = sp.limit(sp.log(grid.subs(numbers)), p, sp.oo)
    even = (1 - share) * sp.log(low) + share * sp.log(high)
    assert abs(sp.N(limit - even.subs(numbers))) < 1e-9


@pytest.mark.equation("eq-velocity-maps")
def test_the_velocity_and_back():
    velocity, image = claims("flows", "eq-velocity-maps")
    truth = {"x_t": NOISY, r"\hat x_0": "x_0", r"\hat\epsilon": r"\epsilon", "u": velocity[-1]}
    assert_chain(Reader(truth), image)


@pytest.mark.equation("eq-flow-euler")
def test_eulers_step_along_the_straight_path_is_ddim():
    (chain,) = claims("flows", "eq-flow-euler")
    start = inline("flows", r"x_{\tau_t} = (1 - \tau_t)\, \hat x_0 + \tau_t\, \hat\epsilon")
    velocity = claims("flows", "eq-velocity-maps")[0][1]
    place, value = start.split(" = ", 1)
    assert place in chain[1]
    step = chain[1].replace(place, value)
    assert_chain(Reader({"u": velocity}), [step, chain[2]])


@pytest.mark.equation("eq-flow-weight")
def test_the_weight_of_flow_matching():
    s = sp.Symbol("s", **POSITIVE)  # the root of the SNR
    a = s**2 / (1 + s**2)
    tau = sp.sqrt(1 - a) / (sp.sqrt(a) + sp.sqrt(1 - a))
    assert sp.simplify(1 / tau**2 - (1 + s) ** 2) == 0
    # Between the weight of v and twice that: 2 (1 + s^2) - (1 + s)^2 = (1 - s)^2.
    assert sp.expand(2 * (1 + s**2) - (1 + s) ** 2 - (1 - s) ** 2) == 0


def test_normal_data_flow_along_their_standard_deviation():
    tau = sp.Symbol("tau", **POSITIVE)
    s = sp.sqrt((1 - tau) ** 2 * lam + tau**2)
    velocity = (tau - (1 - tau) * lam) / s**2
    assert sp.simplify(sp.diff(s, tau) - velocity * s) == 0


def test_an_exchange_of_partners_of_crossing_lines():
    tau = sp.Symbol("tau", **POSITIVE)
    e, other, x = sp.symbols("e other x", real=True)
    partner = x + tau / (1 - tau) * (e - other)
    change = (x - other) ** 2 + (partner - e) ** 2 - (x - e) ** 2 - (partner - other) ** 2
    meet = (1 - tau) * x + tau * e - (1 - tau) * partner - tau * other
    assert sp.simplify(meet) == 0
    assert sp.simplify(change + 2 * tau / (1 - tau) * (e - other) ** 2) == 0
