"""What counts as a word, a number, a line and a fold in the shape of a chapter."""

from pathlib import Path

import pytest
from conftest import HEADER, cell
from myst_parser.config.main import MdParserConfig

from bookbuild.source import shape
from bookbuild.source.chapters import read_page

MARKDOWN = MdParserConfig(enable_extensions={"colon_fence", "dollarmath", "attrs_inline"})
PICTURE = cell("draw()", "---", "mystnb: {image: {alt: A dot}}", "tags: [hide-input]", "---")
FOLD = ":::{admonition} Proof\n:class: dropdown\n:name: the-fold\n\n"


@pytest.fixture
def shape_of(tmp_path: Path):
    def read(*parts: str) -> shape.Shape:
        (tmp_path / "book").mkdir(exist_ok=True)
        text = HEADER + "# Title\n\n" + "".join(f"{part}\n\n" for part in parts)
        (tmp_path / "book/page.md").write_text(text, encoding="utf-8")
        return shape.shape_of(read_page(tmp_path, "page", MARKDOWN), MARKDOWN)

    return read


@pytest.mark.parametrize(
    ("sentence", "numbers"),
    [
        ("It takes 3 steps of 0.5 seconds and 1,000 images.", 3),
        ("A loss of 1e-3, at −2.", 2),
        ("Now ⟨value⟩ and then ⟨value⟩.", 2),
        ("They differ by ⟨value⟩ ± ⟨value⟩.", 1),  # a value and its standard error
        ("An image has 28 × 28 pixels.", 1),
        ("An 8-bit image.", 1),
        ("Kingma and Welling (2014), and in 1996 others.", 0),
        ("See chapter 3, figure 2 and exercises 4, 5 and 6.", 0),
        ("It needs 2000.5 of them, or 2,000.", 2),  # no years
        ("The variables x_0 and x2, on AVX2.", 0),
        ("Two models in three ways.", 0),  # in letters they read as words
    ],
)
def test_numbers_of_a_sentence(sentence: str, numbers: int):
    assert shape.numbers_in(sentence) == numbers


@pytest.mark.parametrize(
    ("tex", "value"),
    [
        (r"\sigma = 0.4", "0.4"),
        ("10^{-3}", "10"),
        (r"T = 1{,}000", "1,000"),
        (r"d \approx 12.5 \pm 0.1", "12.5 × 0.1"),
        ("x_0", ""),
        (r"\frac{1}{2} x^2", ""),
        ("[0, 1]", ""),
        ("v = 1", ""),  # algebra
        ("t = 12", "12"),
    ],
)
def test_the_value_that_a_formula_gives(tex: str, value: str):
    assert shape.value_of(tex) == value


def test_words_of_the_main_line(shape_of):
    assert shape_of("One two $x^2 + y$ four.").words == 5  # with the title
    assert shape_of("One `code_of(1)` {cite:t}`kingma2014` {eq}`eq-one`.").words == 4
    assert shape_of("| a | b |\n| - | - |\n| 1 | 2 |").words == 1
    assert shape_of("$$\na = b\n$$ (eq-one)", "After it.").words == 3


@pytest.mark.parametrize(
    "aside",
    [
        "## Exercises\n\nMany more words.\n\n### And more\n\nWords.",
        "## History and further reading\n\nMany more words.",
        "## References\n\nMany words.",
        f"{FOLD}Many words.\n:::",
        ":::{dropdown} Hint\nMany words.\n:::",
        "<details>\n<summary>Hint</summary>\n\nMany words.\n\n</details>",
        "::::{exercise}\n:label: ex-one\n\nMany words.\n\n:::{dropdown} Hint\nWords.\n:::\n::::",
    ],
)
def test_what_is_no_main_line(shape_of, aside: str):
    assert shape_of(aside).words == 1


def test_the_main_line_goes_on_after_an_aside(shape_of):
    assert shape_of("## Exercises\n\nNo words.", "## On\n\nFour.").words == 3


def test_a_theorem_and_a_caption_are_main_line(shape_of):
    assert shape_of(":::{prf:theorem} Name\n:label: theorem\n\nThree little words.\n:::").words == 4
    assert (
        shape_of("```{figure} a.svg\n:name: fig\n:alt: No words\n\nThree words here.\n```").words
        == 4
    )


def test_sentences_end_where_the_next_begins(shape_of):
    assert not shape_of("First 1 and 2. Then 3 and 4! {glue:text}`a` is 5.").crowded(2)
    (one,) = shape_of("Of 1.5, e.g. 2 or 3.").crowded(2)
    assert one == "Of 1.5, e.g. 2 or 3."
    assert not shape_of("- First 1 and 2\n- then 3 and 4").crowded(2)
    assert shape_of("First {glue:text}`a`, $k = 5$ and\n3 more.").crowded(2)


def test_open_lines_of_code(shape_of):
    hidden = [cell("a = 1\nb = 2", f":tags: [{tag}]") for tag in sorted(shape.FOLDED_CELL)]
    assert shape_of(*hidden).lines == 0
    assert shape_of(cell("a = 1\n\nb = 2")).lines == 2
    assert shape_of("```python\na = 1\n```").lines == 1
    assert shape_of(f"{FOLD}```python\na = 1\n```\n:::").lines == 0
    assert shape_of("## Exercises", cell("a = 1")).lines == 0


def test_the_first_picture_comes_before_the_first_section(shape_of):
    assert shape_of("Two words.", PICTURE).before_picture == 3
    assert shape_of("Two words.", cell("a = 1\nb = 2"), PICTURE).before_picture == 23
    assert shape_of("![A dot](dot.svg)").before_picture == 1
    assert shape_of("```{figure} dot.svg\n:alt: A dot\n```").before_picture == 1
    assert shape_of("## Section", PICTURE).before_picture is None
    assert shape_of(f"{FOLD}![A dot](dot.svg)\n:::").before_picture is None
    assert shape_of(PICTURE.replace("hide-input", "hide-cell")).before_picture is None


@pytest.mark.parametrize(
    "fold",
    [
        ":::{dropdown} Hint\n:open:\nWords.\n:::",
        ":::{admonition} Hint\n:class: dropdown toggle-shown\nWords.\n:::",
        "<details open>\n<summary>Hint</summary>\n</details>",
    ],
)
def test_folds_that_are_open(shape_of, fold: str):
    assert len(shape_of(fold).open_folds) == 1
    closed = fold.replace(":open:\n", "").replace(" toggle-shown", "").replace(" open", "")
    assert shape_of(closed).open_folds == []


def test_references_from_the_main_line_into_a_fold(shape_of):
    inside = "(inner)=\n**Words**\n\n$$\na = b\n$$ (eq-inner)\n\n:::"
    found = shape_of(
        f"{FOLD}{inside}", "See {eq}`eq-inner`, {ref}`here <inner>` and {ref}`fold <the-fold>`."
    )
    assert found.pointed & found.folded == {"eq-inner", "inner"}
    assert shape_of("See [it](#inner).").pointed == {"inner"}
    within = shape_of(f"{FOLD}By {{eq}}`eq-inner`.\n\n{inside}")
    assert within.pointed == set()


def test_lines_of_displayed_mathematics(shape_of):
    assert shape_of("$$\na = b\n$$").formulas == 1
    assert (
        shape_of("$$\n\\begin{aligned}\na &= b \\\\\n&= c\n\\end{aligned}\n$$ (eq-one)").formulas
        == 2
    )
    assert shape_of(f"{FOLD}$$\na = b\n$$\n:::").formulas == 0
