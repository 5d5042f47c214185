import pytest
from pybtex.database import parse_string

from bookbuild.notebooks.plain import Context, expand, plain
from bookbuild.notebooks.targets import Target

MACROS = {
    "E": r"\operatorname{\mathbb{E}}",
    "L": r"\mathcal{L}",
    "KL": [r"\operatorname{KL}\left(#1\,\middle\|\,#2\right)", 2],
}
TARGETS = {
    "eq-here": Target("here", "equation-eq-here", number="3"),
    "eq-there": Target("there", "equation-eq-there", number="4"),
    "ch-there": Target("there", "ch-there", title="That $x$"),
    "ch-four": Target("four", "ch-four", number="4", title="A run"),
    "fig-there": Target("there", "fig-there", "Fig.", "2.1"),
    "ex-here": Target("here", "ex-here", "Exercise", "1.1", "Two *causes*"),
}
WORKS = """
@article{one, author = {Ng, A.}, title = {T}, journal = {J}, year = {2001}}
@article{two, author = {van den Berg, B. and Poe, C.}, title = {T}, journal = {J}, year = {2002}}
@article{three, author = {A, B. and C, D. and E, F.}, title = {T}, journal = {J}, year = {2003}}
"""


def context(site: str | None = "https://book.example/") -> Context:
    values = {"here": {"a": "0.5 ± 0.1"}, "there": {"b": "7"}}
    return Context("here", TARGETS, values, parse_string(WORKS, "bibtex"), MACROS, site)


@pytest.mark.parametrize(
    ("myst", "markdown"),
    [
        ("By {eq}`eq-here`.", "By (3)."),
        ("By {eq}`eq-there`.", "By [(4)](https://book.example/there.html#equation-eq-there)."),
        ("In {ref}`ch-there`.", "In [That $x$](https://book.example/there.html#ch-there)."),
        ("{ref}`the\nother <ch-there>`", "[the\nother](https://book.example/there.html#ch-there)"),
        ("{numref}`fig-there`", "[Fig. 2.1](https://book.example/there.html#fig-there)"),
        ("{numref}`Picture %s <fig-there>`", "[Picture 2.1](https://book.example/there.html"
         "#fig-there)"),
        ("{ref}`ex-here`", "Exercise 1.1"),
        ("See {cite:p}`one,two`.", "See (Ng, 2001; van den Berg and Poe, 2002)."),
        ("{cite:t}`three` say", "A *et al.* (2003) say"),
        ("It is {glue:text}`a` nats.", "It is 0.5 ± 0.1 nats."),
        ("{glue:text}`there.md::b`", "7"),
        ("{glue:text}`c`", "`c`"),
        ("{unknown}`text <target>`", "text"),
        ("[](#eq-here) or [that](#ch-there)", " or [that](https://book.example/there.html#ch-there)"),
        ("[all](there.md)", "[all](https://book.example/there.html)"),
        ("[out](https://example.org/a_b)", "[out](https://example.org/a_b)"),
        ("![A dot](images/dot.svg)", "![A dot](https://book.example/_images/dot.svg)"),
    ],
)  # fmt: skip
def test_in_a_line(myst: str, markdown: str):
    assert plain(myst, context()) == markdown


def test_a_chapter_is_named_once_and_then_by_its_number():
    text = (
        "# A {ref}`ch-four`\n\nAs {ref}`ch-four` says, *so.* {ref}`ch-four` ({ref}`ch-four`).\n\n"
        "- {ref}`ch-four`\n- ({ref}`ch-four`), {ref}`its <ch-four>` $(x$ {ref}`ch-four`\n"
    )
    assert plain(text, context(site=None)) == (
        "# A chapter 4 (A run)\n\nAs chapter 4 says, *so.* Chapter 4 (chapter 4).\n\n"
        "- Chapter 4\n- (chapter 4), its $(x$ chapter 4"
    )


def test_a_chapter_has_no_title_where_that_reads_badly():
    text = "By ({ref}`ch-four`, see it), {ref}`ch-four`'s, {ref}`ch-four` (it), "
    text += "(so $|x|$ {ref}`ch-four`) and {ref}`ch-four`"
    assert plain(text, context(site=None)) == (
        "By (chapter 4, see it), chapter 4's, chapter 4 (it), (so $|x|$ chapter 4) "
        "and chapter 4 (A run)"
    )


def test_without_a_site_there_are_names_and_no_links():
    text = "{eq}`eq-there`, {ref}`ch-there`, [all](there.md), ![A dot](dot.svg)"
    assert plain(text, context(site=None)) == "(4), That $x$, all, A dot"
    figure = ":::{figure} images/dot.svg\n:alt: A dot\n\nSmall.\n:::"
    address = "https://book.example/_images/dot.svg"
    assert plain(figure, context()) == f"![A dot]({address})\n\n**Figure** Small."
    assert plain(figure, context(site=None)) == "A dot\n\n**Figure** Small."
    live = "```{live} dot\n:name: fig-there\n:start: Go\n:alt: A dot\n\nSmall.\n```"
    address = "https://book.example/_images/live-dot.png"
    assert plain(live, context()) == f"![A dot]({address})\n\n**Fig. 2.1** Small."


@pytest.mark.parametrize(
    "text",
    [
        "`{eq}` and ``{eq}`eq-here` ``",
        "```python\nx = '{eq}`eq-here`'\n(label)=\n$$\n```",
        "costs $5 and $6",
        "a \\$ sign, `$\\E$`",
    ],
)
def test_code_and_prices_stay_as_they_are(text: str):
    assert plain(text, context()) == text


def test_displayed_equations():
    assert plain("Then\n$$\n\\E[x]\n$$ (eq-here)\nholds.", context()) == (
        "Then\n\n$$\n\\operatorname{\\mathbb{E}}[x] \\tag{3}\n$$\n\nholds."
    )
    assert plain("$$ x $$", context()) == "$$\nx\n$$"
    assert plain("$$x$$ (eq-here)", context()) == "$$\nx \\tag{3}\n$$"


def test_labels_go():
    assert plain("(ch-x)=\n# Title\n\nText", context()) == "# Title\n\nText"


def test_directives():
    exercise = ":::{exercise} Two *causes*\n:label: ex-here\n\nShow {eq}`eq-here`.\n:::"
    assert plain(exercise, context()) == "**Exercise 1.1 (Two *causes*).** Show (3)."
    solution = "```{solution-start} ex-here\n:label: sol-here\n```\n\nSo.\n\n```{solution-end}\n```"
    assert plain(solution, context()) == (
        "**Solution to Exercise 1.1.** Two *causes*\n\nSo.\n\n---"
    )
    nested = "::::{note}\nOuter\n\n:::{tip} Inner\n$\\L$\n:::\n::::"
    assert plain(nested, context()) == "**Note.** Outer\n\n**Inner.** $\\mathcal{L}$"
    folded = ":::{dropdown} Hint\n$\\L$\n:::"
    assert plain(folded, context()) == (
        "<details>\n<summary>Hint</summary>\n\n$\\mathcal{L}$\n\n</details>"
    )
    assert plain(":::{prf:proof}\nDone.\n:::", context()) == "*Proof.* Done. $\\square$"
    options = ":::{unknown}\n---\nclass: wide\n---\nText\n:::"
    assert plain(options, context()) == "Text"


@pytest.mark.parametrize(
    ("tex", "written"),
    [
        (r"\E[x]", r"\operatorname{\mathbb{E}}[x]"),
        (r"\Ex \Lambda \LaTeX", r"\Ex \Lambda \LaTeX"),
        (r"\hat\L(x)", r"\hat{\mathcal{L}}(x)"),
        (r"x_\L", r"x_{\mathcal{L}}"),
        (r"\KL{q}{p}", r"\operatorname{KL}\left(q\,\middle\|\,p\right)"),
        (r"\KL{q_{a}}{\E p}", r"\operatorname{KL}\left(q_{a}\,\middle\|\,"
         r"\operatorname{\mathbb{E}} p\right)"),
        (r"\KL {a\}} b", r"\operatorname{KL}\left(a\}\,\middle\|\,b\right)"),
    ],
)  # fmt: skip
def test_the_books_commands_are_written_out(tex: str, written: str):
    assert expand(tex, MACROS) == written
