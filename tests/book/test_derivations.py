r"""The algebra of the central derivations, proved by SymPy line by line as it is printed.

Each test reads the displays of a chapter (`printed_math`) and proves that neighbours in each chain
of equals are equal. A display is found by its label or by how it begins. What a test adds is what
the prose around a display says: what a symbol stands for, and by which rule a mean is taken.
"""

import pytest
import sympy as sp
from printed_math import Reader, assert_chain, chains, definitions, display, inline, vanishes

REVERSE = "reverse-process"
ONE_STEP = "vae-without-encoder"
MANY = "one-step-to-many"


def claims(page, key):
    """The chains of a display that claim something."""
    return [chain for chain in chains(display(page, key)) if len(chain) > 1]


# ---- the reader of equations itself


@pytest.mark.parametrize(
    ("tex", "value"),
    [
        (r"\frac12 - \frac{3}{4}", "-1/4"),
        (r"-2 \cdot 3^2 + (1 + 1) 5", "-8"),
        (r"\log 2\pi - \log \pi", "log(2)"),
        (r"\log (1 + 1) 3", "3*log(2)"),
        (r"\sum_{j=1}^{3} j^2 + 1", "15"),
        (r"\sum_{t=2}^{1} t + 1", "1"),
        (r"\sum_{t=1}^{3} (t - s)", "3"),
        (r"\sqrt{4} / 4", "1/2"),
    ],
)
def test_the_reader_reads(tex, value):
    assert sp.simplify(Reader()(tex) - sp.sympify(value)) == 0


@pytest.mark.parametrize("tex", [r"a \le b", r"a \approx b", r"a^\top b", r"f(x, y)", "(a", "a)"])
def test_the_reader_refuses_what_it_does_not_understand(tex):
    with pytest.raises(ValueError, match=r"expected|cannot read|what is|stays open"):
        Reader()(tex)


def test_a_wrong_line_is_found():
    assert_chain(Reader(), ["(a + b)^2", "a^2 + 2 a b + b^2"])
    with pytest.raises(AssertionError, match="is not"):
        assert_chain(Reader(), ["(a + b)^2", "a^2 - 2 a b + b^2"])
    with pytest.raises(AssertionError, match="has 0 displays"):
        display("elbo", "eq-nowhere")


# ---- chapter 2: the divergence between normal densities


def normal_log_density(z, mu, variance):
    return -((z - mu) ** 2) / (2 * variance) - sp.log(2 * sp.pi * variance) / 2


def normal_mean(z_of, moments=(1, 0, 1, 0, 3)):
    """The mean over z = mu + sigma eps, given how z is written; moments of eps up to the fourth."""

    def mean(inside):
        noise = {z: sp.Symbol(f"eps_{i}") for i, z in enumerate(z_of)}
        value = sp.expand(inside.subs({z: m + s * noise[z] for z, (m, s) in z_of.items()}))
        for eps in noise.values():
            value = sum(moments[k] * value.coeff(eps, k) for k in range(len(moments)))
        return sp.expand(value)

    return mean


D = 3
READ = Reader(indices={"d": D})
Z = [READ(f"z_{j}") for j in range(1, D + 1)]


def parameters(q=""):
    """Means and standard deviations, written as in the chapter with the name of the density."""
    index = (lambda j: f"_{{{q},{j}}}") if q else (lambda j: f"_{j}")
    return [(READ(rf"\mu{index(j)}"), READ(rf"\sigma{index(j)}")) for j in range(1, D + 1)]


def log_normal(pairs):
    return sum(normal_log_density(z, m, s**2) for z, (m, s) in zip(Z, pairs, strict=True))


STANDARD = [(sp.Integer(0), sp.Integer(1))] * D


def test_the_normal_density():
    (left, right), *_ = claims("elbo", "eq-normal-density")
    reader = Reader({left: log_normal(parameters())}, {"d": D})
    assert_chain(reader, [left, right])


def test_the_divergence_from_the_standard_normal_density():
    mean = normal_mean(dict(zip(Z, parameters(), strict=True)))
    kl = mean(log_normal(parameters()) - log_normal(STANDARD))
    meanings = {r"\KL{q}{\N(0, I)}": kl}
    for key in (r"\KL{q}{\N(0, I)} = \E_q", "eq-kl-standard"):
        for chain in claims("elbo", key):
            assert_chain(Reader(meanings, {"d": D}, mean=mean), chain)


def test_the_log_ratio_before_its_mean_is_taken():
    (chain,) = claims("elbo", r"\KL{q}{\N(0, I)} = \E_q")
    inside = Reader(indices={"d": D})(chain[1])
    assert vanishes(inside - log_normal(parameters()) + log_normal(STANDARD))


def test_the_mean_of_a_square():
    for j in range(1, D + 1):
        mean = normal_mean({Z[j - 1]: parameters()[j - 1]})
        for chain in claims("elbo", r"\E_q[z_j^2]"):
            assert_chain(Reader(indices={"j": j}, mean=mean), chain)


def test_the_divergence_of_two_normal_densities():
    q, p = parameters("q"), parameters("p")
    ratio = log_normal(q) - log_normal(p)
    (chain,) = claims("elbo", r"\log \frac{q(z)}{p(z)}")
    assert_chain(Reader({chain[0]: ratio}, {"d": D}), chain)
    kl = normal_mean(dict(zip(Z, q, strict=True)))(ratio)
    (chain,) = claims("elbo", "eq-kl-normal")
    assert_chain(Reader({r"\KL{q}{p}": kl}, {"d": D}), chain)
    standard = {symbol: value for pair, at in zip(p, STANDARD, strict=True)
                for symbol, value in zip(pair, at, strict=True)}  # fmt: skip
    renamed = {old: new for pair, plain in zip(q, parameters(), strict=True)
               for old, new in zip(pair, plain, strict=True)}  # fmt: skip
    (kl_standard,) = claims("elbo", "eq-kl-standard")
    special = Reader(indices={"d": D})(chain[1]).subs(standard | renamed)
    assert vanishes(special - Reader(indices={"d": D})(kl_standard[1]))


def test_the_gap_of_the_bound():
    joint = r"p_\theta(z \mid x) p_\theta(x)"
    meanings = {r"p_\theta(x, z)": joint}
    meanings[r"\L(x)"] = chains(display("elbo", "eq-elbo"))[0][1].split(r"\;\le\;")[0]
    (chain,) = claims("elbo", "eq-elbo-gap")
    assert len(chain) == 5
    assert_chain(Reader(meanings), chain)


def test_the_bound_in_two_terms():
    bound = chains(display("elbo", "eq-elbo"))[0][1].split(r"\;\le\;")[0]
    meanings = {r"\L(x)": bound, r"p_\theta(x, z)": r"p_\theta(x \mid z) p(z)"}
    (chain,) = claims("elbo", "eq-elbo-two-terms")
    assert_chain(Reader(meanings), chain)


def test_the_bound_of_the_parabola():
    z, m, s = READ("z"), READ("m"), READ("s")
    sigma = READ(r"\sigma")
    mean = normal_mean({z: (m, s)})
    log_p = sum(normal_log_density(READ(f"x_{i}"), z**i, sigma**2) for i in (1, 2))
    (chain,) = claims("elbo", "eq-parabola-elbo")
    assert_chain(Reader({r"\log p(x \mid z)": log_p, chain[0]: mean(log_p)}, mean=mean), chain)


# ---- chapter 11: the posterior, by completing the square

SCHEDULE = {
    r"\alpha_t": r"\frac{\bar\alpha_t}{\bar\alpha_s}",
    r"\beta_t": r"1 - \frac{\bar\alpha_t}{\bar\alpha_s}",
}
"""alpha and beta in terms of the two alpha_bar, from which the rest follows."""

LOG_POSTERIOR = r"\log q(x_s \mid x_t, x_0) = -\frac12"
X_S = Reader()("x_s")


def squares():
    """The bracket of the log of the posterior, as printed, without the constant."""
    (chain,) = claims(REVERSE, LOG_POSTERIOR)
    return chain[1].replace(r"+ \text{const}", "")


def test_the_log_of_the_posterior_is_the_sum_of_two_logs():
    """By Bayes' rule, up to what does not contain x_s."""
    read = Reader(SCHEDULE)
    x_t, x_0, x_s = read("x_t"), read("x_0"), X_S
    kernel = normal_log_density(x_t, sp.sqrt(read(r"\alpha_t")) * x_s, read(r"\beta_t"))
    a_s = read(r"\bar\alpha_s")
    marginal = normal_log_density(x_s, sp.sqrt(a_s) * x_0, 1 - a_s)
    assert vanishes(sp.diff(kernel + marginal - read(squares()), x_s))


def sorted_by_powers():
    """The display that sorts the bracket by powers of x_s, and its A and B."""
    bracket = squares().split(r"\left[", 1)[1].rsplit(r"\right]", 1)[0]
    (chain,) = claims(REVERSE, r"\begin{aligned} \Big[ \cdot \Big]")
    reader = Reader(SCHEDULE | {r"\Big[ \cdot \Big]": bracket})
    return reader, chain


def test_the_bracket_sorted_by_powers():
    reader, chain = sorted_by_powers()
    assert_chain(reader, chain, free_of=X_S)
    square = inline(
        REVERSE,
        r"A x_s^2 - 2 B x_s = A \left( x_s - \frac{B}{A} \right)^2 - \frac{B^2}{A}",
    )
    assert_chain(Reader(), square.split("="))


def test_the_variance_and_the_mean_of_the_posterior():
    reader, chain = sorted_by_powers()
    reader(chain[-1])
    assert reader.braced.keys() == {"A", "B"}
    known = Reader(SCHEDULE | reader.braced)
    (chain,) = claims(REVERSE, r"A = \frac{\alpha_t (1 - \bar\alpha_s)")
    assert_chain(known, chain)
    (chain,) = claims(REVERSE, "eq-posterior-variance")
    assert_chain(known, chain[1:])
    (chain,) = claims(REVERSE, "eq-posterior-mean")
    assert_chain(known, chain[1:])


def test_the_posterior_at_the_first_step():
    first = {r"\bar\alpha_s": 1}
    (variance,) = claims(REVERSE, "eq-posterior-variance")
    assert Reader(SCHEDULE | first)(variance[-1]) == 0
    (mean,) = claims(REVERSE, "eq-posterior-mean")
    read = Reader(SCHEDULE | first)
    assert vanishes(read(mean[-1]) - read("x_0"))


# ---- chapter 11: the bound, regrouped


def chain_of(T):
    """Meanings of the joint densities and of the kernels for T steps.

    The kernel of step t >= 2 is what Bayes' rule makes of it, the one of t = 1 is a marginal.
    """
    read = Reader()
    model, forward, kernels = read("p(x_T)".replace("T", str(T))), sp.Integer(1), {}
    for t in range(1, T + 1):
        s = t - 1
        model *= read(rf"p_\theta(x_{s} \mid x_{t})")
        kernel = read(rf"q(x_{t} \mid x_{s})")
        if t >= 2:
            turned = read(rf"q(x_{s} \mid x_{t}, x_0)")
            kernel = turned * read(rf"q(x_{t} \mid x_0)") / read(rf"q(x_{s} \mid x_0)")
            kernels[rf"q(x_{t} \mid x_{s})"] = kernel
        forward *= kernel
    joint = {r"p_\theta(x_0, \dots, x_T)": model, r"q(x_1, \dots, x_T \mid x_0)": forward}
    return kernels | {key.replace("x_T", f"x_{T}"): value for key, value in joint.items()}


BOUND = r"\L(x_0) = \E_q\left[ "
STEPS = pytest.mark.parametrize("T", [1, 2, 3, 4, 7])


@STEPS
def test_the_bound_by_steps(T):
    (chain,) = claims(REVERSE, "eq-bound-by-steps")
    assert_chain(Reader(chain_of(T), {"T": T}), chain[1:])


@STEPS
def test_the_regrouping_of_the_bound(T):
    """Five displays, from the bound by steps to the three groups, for T steps."""
    meanings = chain_of(T)
    (start,) = claims(REVERSE, "eq-bound-by-steps")
    regrouped = [start[-1]]
    for key in (
        BOUND + r"\log p(x_T) + \log \frac{p_\theta(x_0 \mid x_1)}",
        BOUND + r"\log p_\theta(x_0 \mid x_1) + \sum",
        "eq-diffusion-bound",
    ):
        (chain,) = claims(REVERSE, key)
        regrouped += chain[1:]
    assert len(regrouped) == 4
    assert_chain(Reader(meanings, {"T": T}), regrouped)


@STEPS
def test_the_steps_of_the_regrouping(T):
    for key in (
        r"\sum_{t=2}^{T} \log \frac{p_\theta(x_s \mid x_t)}{q(x_t \mid x_s)}",
        r"\sum_{t=2}^{T} \log \frac{q(x_s \mid x_0)}{q(x_t \mid x_0)}",
    ):
        (chain,) = claims(REVERSE, key)
        assert_chain(Reader(chain_of(T), {"T": T}), chain)


def test_bayes_rule_for_a_step():
    """What `chain_of` takes for the kernel is the rule that the chapter prints."""
    (chain,) = claims(REVERSE, "eq-bayes-step")
    markov = {r"q(x_t \mid x_s, x_0)": r"q(x_t \mid x_s)"}
    assert_chain(Reader(markov), chain[1:])
    kernel = inline(
        REVERSE,
        r"q(x_t \mid x_s) = q(x_s \mid x_t, x_0)\, \dfrac{q(x_t \mid x_0)}{q(x_s \mid x_0)}",
    )
    left, right = kernel.replace(r"\dfrac", r"\frac").split("=")
    assert_chain(Reader({r"q(x_s \mid x_t, x_0)": chain[-1]}), [left, right])
    assert chain_of(3)[r"q(x_3 \mid x_2)"] == Reader(indices={"t": 3, "s": 2})(right)


# ---- chapter 11: what a term is worth

GUESS = {
    **SCHEDULE,
    **definitions(REVERSE, "eq-posterior-variance"),
    r"\operatorname{SNR}_t": r"\frac{\bar\alpha_t}{1 - \bar\alpha_t}",
    r"\operatorname{SNR}_s": r"\frac{\bar\alpha_s}{1 - \bar\alpha_s}",
}
VECTORS = ("x_0", "x_t", r"\hat x_0", r"\epsilon", r"\hat\epsilon", "v", r"\hat v")


def test_the_meaning_of_snr_is_that_of_chapter_8():
    snr = definitions("forward-process", "eq-snr")
    assert vanishes(Reader()(snr["SNR_t"]) - Reader()(GUESS[r"\operatorname{SNR}_t"]))


def means_and_kl(variance):
    """The two means, and the divergence by the formula of chapter 2, in D dimensions."""
    (posterior,) = claims(REVERSE, "eq-posterior-mean")
    mean, c_t = claims(REVERSE, "eq-reverse-mean")
    meanings = GUESS | {
        r"\tilde\mu_t": posterior[-1],
        r"\mu_\theta": mean[-1],
        "c_t": c_t[-1],
        r"\sigma_t": sp.sqrt(Reader(GUESS)(variance)) if variance else READ(r"\sigma_t"),
    }
    read = Reader(meanings, {"D": 2}, (*VECTORS, r"\tilde\mu_t", r"\mu_\theta"))
    (kl,) = claims("elbo", "eq-kl-normal")
    names = {}
    for j in (1, 2):
        read.component = j
        names[rf"\mu_{{q,{j}}}"] = read(r"\tilde\mu_t")
        names[rf"\mu_{{p,{j}}}"] = read(r"\mu_\theta")
        names[rf"\sigma_{{q,{j}}}"] = sp.sqrt(read(r"\tilde\beta_t"))
        names[rf"\sigma_{{p,{j}}}"] = read(r"\sigma_t")
    read.component = None
    value = Reader(names, {"d": 2})(kl[1])
    for left in (r"\KL{q(x_s \mid x_t, x_0)}{p_\theta(x_s \mid x_t)}", r"\KL{q}{p_\theta}"):
        meanings[left] = value
    return Reader(meanings, {"D": 2}, read.vectors)


def test_the_mean_of_the_model():
    (posterior,) = claims(REVERSE, "eq-posterior-mean")
    guessed = posterior[-1].replace("x_0", r"\hat x_0")
    mean, c_t = claims(REVERSE, "eq-reverse-mean")
    meanings = GUESS | {mean[1]: guessed, mean[0]: guessed, "c_t": c_t[-1]}
    assert_chain(Reader(meanings), mean)


@pytest.mark.parametrize("key", ["eq-step-kl", "eq-step-kl-x0"])
def test_the_divergence_of_a_step(key):
    reader = means_and_kl(variance=None)
    (chain,) = claims(REVERSE, key)
    assert_chain(reader, chain)


def test_the_means_differ_in_what_they_have_for_x_0():
    reader = means_and_kl(variance=None)
    difference = inline(REVERSE, r"\tilde\mu_t - \mu_\theta = c_t\, (x_0 - \hat x_0)")
    assert_chain(reader, difference.split("="))


def test_the_weight_of_a_step():
    reader = means_and_kl(variance=r"\tilde\beta_t")
    for key in (r"\frac{c_t^2}{2 \tilde\beta_t} = \frac12 \cdot", "eq-kl-weight"):
        (chain,) = claims(REVERSE, key)
        assert_chain(reader, chain)
    for tex in (
        r"\bar\alpha_s \beta_t = \bar\alpha_s - \bar\alpha_s \alpha_t = "
        r"\bar\alpha_s - \bar\alpha_t",
        r"\bar\alpha_s - \bar\alpha_t = "
        r"\bar\alpha_s (1 - \bar\alpha_t) - \bar\alpha_t (1 - \bar\alpha_s)",
    ):
        assert_chain(reader, inline(REVERSE, tex).split("="))


def test_a_step_costs_half_of_the_snr_that_it_destroys():
    reader = means_and_kl(variance=r"\tilde\beta_t")
    chain, *_ = claims(REVERSE, "eq-step-snr")
    assert_chain(reader, chain)


def test_the_best_variance():
    g, slope = claims(REVERSE, r"\begin{aligned} g(\sigma_t^2)")
    sigma = READ(r"\sigma_t")
    value = Reader()(g[1])
    derivative = sp.diff(value, sigma) / (2 * sigma)  # with respect to the square
    assert_chain(Reader({slope[0]: derivative}), slope)
    best, at_best = claims(REVERSE, "eq-optimal-variance")
    root = Reader({r"\sigma_t": sp.sqrt(Reader()(best[1]))})
    assert vanishes(root(slope[-1]))
    star = Reader({r"\sigma_{t, \star}": sp.sqrt(Reader()(best[1]))})
    assert vanishes(root(g[1]) - star(at_best[1]))


def test_the_best_variance_of_standard_normal_data():
    (chain,) = claims(REVERSE, r"\sigma_{t, \star}^2 = \frac{1 - \bar\alpha_s}")
    best, _ = claims(REVERSE, "eq-optimal-variance")
    _, c_t = claims(REVERSE, "eq-reverse-mean")
    error = {r"E_t": r"D (1 - \bar\alpha_t)", "c_t": c_t[-1]}
    variance = Reader(GUESS | error)(best[1])
    assert_chain(Reader(GUESS | {r"\sigma_{t, \star}": sp.sqrt(variance)}), chain)


# ---- chapter 11: three names for one guess

NOISY = r"\sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \epsilon"


def test_the_guess_of_the_image_and_of_the_noise():
    """Each of the two inverts x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps."""
    inline(REVERSE, rf"x_t = {NOISY}")
    image, noise = claims(REVERSE, "eq-x0-eps")
    assert_chain(Reader({"x_t": NOISY, r"\hat\epsilon": r"\epsilon", image[0]: "x_0"}), image)
    assert_chain(Reader({"x_t": NOISY, r"\hat x_0": "x_0", noise[0]: r"\epsilon"}), noise)


def test_the_velocity():
    (chain,) = claims(REVERSE, "eq-v")
    position = inline(REVERSE, r"x_t = \cos\varphi_t\, x_0 + \sin\varphi_t\, \epsilon").split("=")[
        1
    ]
    velocity = sp.diff(Reader()(position), READ(r"\varphi_t"))
    turned = Reader({chain[0]: velocity, chain[1]: velocity})
    assert_chain(turned, chain[:3])
    # The last line has roots of cos^2 and sin^2; the angle is between 0 and pi / 2.
    angle = {r"\sqrt{\bar\alpha_t}": r"\cos\varphi_t", r"\sqrt{1 - \bar\alpha_t}": r"\sin\varphi_t"}
    last = chain[3]
    for root, value in angle.items():
        assert root in last
        last = last.replace(root, value)
    assert_chain(Reader(), [chain[2], last])


def test_the_guess_from_the_velocity():
    (v,) = claims(REVERSE, "eq-v")
    image, velocity = claims(REVERSE, "eq-x0-v")
    truth = {"x_t": NOISY, r"\hat v": v[-1], r"\hat x_0": "x_0"}
    for chain in (image, velocity):
        assert_chain(Reader(truth), chain)


def rotation(tex):
    """The three matrices of `a = M b`, read entry by entry."""
    found = tex.split(r"\begin{pmatrix}")[1:]
    rows = [part.split(r"\end{pmatrix}")[0].split(r"\\") for part in found]
    return [sp.Matrix([[Reader()(x) for x in row.split("&")] for row in matrix]) for matrix in rows]


def test_position_and_velocity_are_a_rotation():
    pairs = rotation(display(REVERSE, "eq-rotation"))
    assert len(pairs) == 6
    moved, turn, start, start_again, back, moved_again = pairs
    (v,) = claims(REVERSE, "eq-v")
    circle = inline(REVERSE, r"x_t = \cos\varphi_t\, x_0 + \sin\varphi_t\, \epsilon").split("=")[1]
    assert moved == moved_again == sp.Matrix([Reader()("x_t"), Reader()("v")])
    assert start == start_again
    assert turn * start == sp.Matrix([Reader()(circle), Reader()(v[2])])
    assert sp.simplify(back * turn) == sp.eye(2)
    assert back == turn.T


def errors():
    """x_0_hat as a function of v_hat, and eps_hat as a function of x_0_hat."""
    _, noise = claims(REVERSE, "eq-x0-eps")
    image, _ = claims(REVERSE, "eq-x0-v")
    (v,) = claims(REVERSE, "eq-v")
    return {"x_t": NOISY, "v": v[-1], r"\hat\epsilon": noise[-1], r"\hat x_0": image[-1]}


def test_three_errors_are_one_error():
    (chain,) = claims(REVERSE, "eq-errors")
    assert_chain(Reader(GUESS | errors(), {"D": 2}, VECTORS), chain)
    (plus_one,) = chains(inline(REVERSE, r"\operatorname{SNR}_t + 1 = \frac{1}{1 - \bar\alpha_t}"))
    assert_chain(Reader(GUESS), plus_one)


def test_a_term_of_the_bound_in_three_forms():
    (chain,) = claims(REVERSE, "eq-step-three")
    step, *_ = claims(REVERSE, "eq-step-snr")
    meanings = GUESS | errors() | {chain[0]: step[-1]}
    assert_chain(Reader(meanings, {"D": 2}, VECTORS), chain)


def named(tex):
    """The slope of the log-density as G, and the best guesses of image and noise by their hats."""
    return (
        tex.replace(r"\nabla \log q(x_t)", "G")
        .replace(r"\E[x_0 \mid x_t]", r"\hat x_0")
        .replace(r"\E[\epsilon \mid x_t]", r"\hat\epsilon")
    )


def test_the_score_is_the_best_guess_of_the_noise_and_of_the_image():
    (score,) = claims(REVERSE, "eq-score")
    (tweedie,) = claims(REVERSE, "eq-tweedie")
    _, noise = claims(REVERSE, "eq-x0-eps")
    _, _, by_image, by_noise = map(named, score)
    assert_chain(Reader({r"\hat\epsilon": noise[-1]}), [by_image, by_noise])
    assert_chain(Reader({"G": by_image}), list(map(named, tweedie)))


def test_the_slope_inside_the_score():
    """What the exponent of q(x_t|x_0) brings down."""
    (score,) = claims(REVERSE, "eq-score")
    inside = score[1].split(r"\cdot", 1)[1].split(r"\, dx_0")[0]
    x_t, a = READ("x_t"), READ(r"\bar\alpha_t")
    log_q = normal_log_density(x_t, sp.sqrt(a) * READ("x_0"), 1 - a)
    assert vanishes(sp.diff(log_q, x_t) - READ(inside))


def test_ddpm_takes_our_step():
    """Collected before x_t and before the noise, it is the mean of the step back."""
    (posterior,) = claims(REVERSE, "eq-posterior-mean")
    image, _ = claims(REVERSE, "eq-x0-eps")
    mean = Reader(GUESS | {"x_0": image[-1]})(posterior[-1])
    (collected,) = claims(REVERSE, r"\begin{aligned} \tilde\mu_t &= \frac{\sqrt{\alpha_t}")
    meanings = GUESS | {r"\tilde\mu_t": mean}
    assert_chain(Reader(meanings), collected)
    (step,) = claims(REVERSE, "eq-ddpm-step")
    printed, fresh = step[1].split(r"+ \sigma_t")
    assert fresh.strip() == r"\, z_t"
    assert_chain(Reader(meanings), [r"\tilde\mu_t", printed.replace("(x_t, t)", "")])


def test_the_simplified_loss_is_the_bound_with_another_weight():
    """The squared error of eps_hat is SNR times that of x_0_hat; the bound has half the drop."""
    chain = claims(REVERSE, "eq-step-three")[0]
    read = Reader(GUESS, {"D": 1}, VECTORS)
    on_eps, on_x_0 = (read(line.split(r"\lVert")[0]) for line in (chain[2], chain[1]))
    assert vanishes(on_eps * read(r"\operatorname{SNR}_t") - on_x_0)


# ---- the loss: the weight that the simplified one drops


def test_the_weight_that_the_simplified_loss_drops():
    (dropped,) = claims("loss", "eq-dropped-weight")
    step = claims(REVERSE, "eq-step-three")[0]
    on_eps = step[2].split(r"\lVert")[0]
    assert_chain(Reader(GUESS | {dropped[0]: on_eps}), dropped)


def test_the_weights_of_the_losses_are_those_of_the_three_errors():
    """The table's weights on the error of x_0: the bound's is T times that of chapter 11."""
    inline("loss", r"\operatorname{SNR}_t + 1")
    (errors_of,) = claims(REVERSE, "eq-errors")
    of_x_0, of_eps, of_v = (Reader(GUESS, {"D": 1}, VECTORS)(x) for x in errors_of)
    read = Reader(GUESS, {"D": 1}, VECTORS)
    for weight, value, squared in (
        (r"\operatorname{SNR}_t", of_eps, r"\lVert \epsilon - \hat\epsilon \rVert^2"),
        (r"\operatorname{SNR}_t + 1", of_v, r"\lVert v - \hat v \rVert^2"),
    ):
        assert vanishes(read(weight) * value - read(squared))
    weight = inline("loss", r"\frac T2 \left( \operatorname{SNR}_s - \operatorname{SNR}_t \right)")
    chain, *_ = claims(REVERSE, "eq-step-snr")
    assert vanishes(read(weight) * of_x_0 - read("T") * read(chain[1]))


# ---- chapter 8: without an encoder


@pytest.mark.parametrize(
    ("page", "key", "kept"),
    [
        (ONE_STEP, "eq-one-step-kl", r"\alpha"),
        ("forward-process", "eq-prior-term", r"\bar\alpha_T"),
    ],
)
def test_the_divergence_without_an_encoder(page, key, kept):
    """One step and T steps: the formula of chapter 2 with the mean and variance of the noise."""
    (kl,) = claims("elbo", "eq-kl-standard")
    (chain,) = claims(page, key)
    read, filled = Reader(), {}
    for i in range(1, 4):
        filled[rf"\mu_{i}"] = read(rf"\sqrt{{{kept}}} x_{{0, {i}}}")
        filled[rf"\sigma_{i}"] = read(rf"\sqrt{{1 - {kept}}}")
    value = Reader(filled, {"d": 3})(kl[1])
    assert_chain(Reader({chain[0]: value}, {"D": 3}, ("x_0",)), chain)


def test_the_normal_decoder():
    (chain,) = claims(ONE_STEP, "eq-one-step-normal")
    read = Reader({}, {"D": 3}, ("x_0", r"\hat x_0"))
    log_p = 0
    for i in range(1, 4):
        read.component = i
        log_p += normal_log_density(read("x_0"), read(r"\hat x_0"), read(r"\sigma") ** 2)
    read.component = None
    logarithm = chain[0].removeprefix("-").strip()
    value = Reader({logarithm: log_p, chain[0]: -log_p}, {"D": 3}, ("x_0", r"\hat x_0"))
    assert_chain(value, chain)


ONE_NOISY = r"\sqrt{\alpha}\, x_0 + \sqrt{1 - \alpha}\, \epsilon"
ONE_V = r"\sqrt\alpha\, \epsilon - \sqrt{1 - \alpha}\, x_0"


def test_the_three_guesses_without_an_encoder():
    assert display(ONE_STEP, "eq-one-step-encoder").count(f"x_1 = {ONE_NOISY}") == 1
    inline(ONE_STEP, f"v = {ONE_V}")
    _, from_eps, from_v = claims(ONE_STEP, "eq-one-step-targets")
    truth = {"x_1": ONE_NOISY, r"\hat\epsilon": r"\epsilon", r"\hat v": ONE_V, r"\hat x_0": "x_0"}
    for chain in (from_eps, from_v):
        assert_chain(Reader(truth), chain)
    for tex in (
        r"\sqrt{\alpha (1 - \alpha)}\, \epsilon - \sqrt{(1 - \alpha) \alpha}\, \epsilon = 0",
        r"\alpha x_0 + (1 - \alpha) x_0 = x_0",
    ):
        assert_chain(Reader(), inline(ONE_STEP, tex).split("="))


def test_the_three_errors_without_an_encoder():
    _, from_eps, from_v = claims(ONE_STEP, "eq-one-step-targets")
    (chain,) = claims(ONE_STEP, "eq-one-step-errors")
    vectors = ("x_0", "x_1", r"\hat x_0", r"\epsilon", r"\hat\epsilon", "v", r"\hat v")
    truth = {"x_1": ONE_NOISY, "v": ONE_V}
    by_eps = Reader(truth | {r"\hat x_0": from_eps[-1]}, {"D": 2}, vectors)
    assert_chain(by_eps, [chain[0], chain[1]])
    by_v = Reader(truth | {r"\hat x_0": from_v[-1]}, {"D": 2}, vectors)
    assert_chain(by_v, [chain[0], chain[2]])


def test_where_the_nats_go_without_an_encoder():
    (chain,) = claims(ONE_STEP, "eq-one-step-gap")
    both = r"q(x_1) q(x_0 \mid x_1)"
    meanings = {
        chain[0]: chain[1],
        r"q(x_1 \mid x_0)": rf"\frac{{{both}}}{{q(x_0)}}",
        "H": r"- \log q(x_0)",
    }
    assert_chain(Reader(meanings), chain)


def test_the_rate_of_a_fitted_normal_density():
    (chain,) = claims(ONE_STEP, "eq-gaussian-rate")
    inline(ONE_STEP, r"s_i^2 = \alpha v_i + 1 - \alpha")
    width = {f"s_{i}": sp.sqrt(Reader()(rf"\alpha v_{i} + 1 - \alpha")) for i in range(1, 4)}
    assert_chain(Reader(width, {"D": 3}), chain[1:])


# ---- chapter 9: many steps


@STEPS
def test_the_gap_of_many_steps_telescopes(T):
    turned = {
        rf"q(x_{t} \mid x_{t - 1})": rf"\frac{{q(x_{t - 1} \mid x_{t}) q(x_{t})}}{{q(x_{t - 1})}}"
        for t in range(1, T + 1)
    }
    (rule,) = claims(MANY, "eq-reversal")
    assert Reader(turned)(r"q(x_1 \mid x_0)") == Reader(indices={"t": 1, "s": 0})(rule[1])
    (sums,) = claims(MANY, r"\sum_{t=1}^{T} \log \frac{p_\theta(x_s \mid x_t)}{q(x_t \mid x_s)}")
    ends = {"T": T}
    assert_chain(Reader(turned, ends), sums)
    (terms,) = claims(MANY, "eq-hierarchy-terms")
    (gap,) = claims(MANY, "eq-hierarchy-gap")
    meanings = turned | {gap[0]: terms[1], "H": r"- \log q(x_0)"}
    assert_chain(Reader(meanings, ends), gap)


def test_the_variance_of_the_way_back():
    m_s, m_t = (rf"\bar\alpha_{i} \lambda + 1 - \bar\alpha_{i}" for i in "st")
    assert definitions(MANY, r"m_t = \bar\alpha_t \lambda")["m_t"] == m_t
    (chain,) = claims(MANY, "eq-gaussian-reverse")
    meanings = SCHEDULE | {"m_s": m_s, "m_t": m_t}
    assert_chain(Reader(meanings), chain[1:])
    closing = (
        r"\alpha_t m_s + \beta_t"
        r" = \bar\alpha_t \lambda + \alpha_t - \bar\alpha_t + 1 - \alpha_t = m_t"
    )
    assert_chain(Reader(meanings), inline(MANY, closing).split("="))


def test_the_best_guess_for_normal_data():
    """The factor k makes the error uncorrelated with what is seen, and so its square follows."""
    (zero,) = claims(REVERSE, r"0 = \sqrt{\bar\alpha_t}\, \lambda - k")
    factor, _ = claims(REVERSE, "eq-gaussian-denoiser")
    factor = [side.replace("_{t, j}", "").replace("_j", "") for side in factor]
    k = READ("k")
    assert vanishes(Reader({"k": factor[1]})(zero[1]))
    y, eps = READ("y"), READ("e")
    seen = Reader()(r"\sqrt{\bar\alpha_t} y + \sqrt{1 - \bar\alpha_t} e")
    variance = Reader()(r"\lambda")
    product = sp.expand((y - k * seen) * seen)
    mean = product.coeff(y, 2).subs(eps, 0) * variance + product.coeff(eps, 2).subs(y, 0)
    assert vanishes(mean - Reader()(zero[1]))
