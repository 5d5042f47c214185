import pytest
from conftest import MARKS, TESTS, Book

from bookbuild.source.chapters import BookError
from bookbuild.source.equations import Equation, Place, check, faults, index


def test_code_and_tests_are_found_where_they_stand(with_equations: Book):
    check(with_equations.root)
    assert index(with_equations.root) == [
        Equation(
            "eq-one",
            "one",
            (Place("code/tiny/sums.py", 5, "Sum.value"),),
            (Place("tests/test_sums.py", 4, "test_it_adds_up"),),
            None,
        ),
        Equation("eq-two", "one", (), (), "definition"),
    ]


def test_a_name_of_a_test_is_a_sentence():
    assert Place("tests/test_sums.py", 4, "TestSums.test_it_adds_up").sentence == "it adds up"
    assert Place("code/tiny/sums.py", 1, "").called == "code/tiny/sums.py"


def test_a_book_without_equations_is_in_order(with_equations: Book):
    with_equations.page("one", "(place)=\n## Place\n")
    with_equations.write("code/tiny/sums.py", "")
    with_equations.write("tests/test_sums.py", "")
    (with_equations.root / "book/equations.toml").unlink()
    assert list(faults(with_equations.root)) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            "book/one.md",
            "(eq-two)",
            "(eq-one)",
            ["one: eq-one is the label of 2", "one: eq-one is"],
        ),
        ("book/one.md", "(eq-two)", "", []),
        (
            "code/tiny/sums.py",
            "eq-one",
            "eq-won",
            ["code/tiny/sums.py:5: eq-won is the label of no"],
        ),
        ("code/tiny/sums.py", "[eq-one]", "eq-one", []),
        (
            "tests/test_sums.py",
            "eq-one",
            "eq-won",
            ["tests/test_sums.py:4: eq-won is the label of"],
        ),
        ("book/equations.toml", "definition", "derivation", None),
        (
            "book/equations.toml",
            "[one]",
            "[index]",
            ["book/equations.toml: eq-two is the label of"],
        ),
        ("book/equations.toml", '"eq-two"', "", []),
        ("book/equations.toml", '"eq-two"', '"eq-two", "eq-one"', []),
    ],
)
def test_each_fault_is_found(
    with_equations: Book, file: str, old: str, new: str, said: list[str] | None
):
    with_equations.edit(file, old, new)
    found = list(faults(with_equations.root))
    assert bool(found) == (said is not None)
    for start in said or []:
        assert any(line.startswith(start) for line in found), found


def test_a_page_may_be_left_out_of_the_book(with_equations: Book):
    with_equations.write("book/equations.toml", MARKS + '[three]\ncell = ["eq-three"]\n')
    assert list(faults(with_equations.root)) == []


def test_what_is_missing_is_said(with_equations: Book):
    with_equations.edit("book/equations.toml", '"eq-two"', "")
    with_equations.edit("tests/test_sums.py", '("eq-one")', '("eq-two")')
    with pytest.raises(BookError) as caught:
        check(with_equations.root)
    assert str(caught.value).splitlines()[1:] == [
        "one: eq-one is computed by Sum.value, and no test is marked with it",
        "one: eq-two is cited by no function: cite it, or give it a kind in book/equations.toml",
    ]
    with_equations.edit("book/equations.toml", "definition = []", 'cell = ["eq-one", "eq-two"]')
    assert "one: eq-one is a cell in book/equations.toml, and cited by Sum.value" in list(
        faults(with_equations.root)
    )


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("book/equations.toml", "[one", "book/equations.toml: "),
        ("book/equations.toml", "[one]\nlemma = []", "'lemma' in one is none of definition, deriv"),
        ("book/equations.toml", MARKS + 'cell = ["eq-two"]', "eq-two stands in one twice"),
        (
            "tests/test_sums.py",
            TESTS.replace('"eq-one"', "LABEL"),
            "test_sums.py:4: mark.equation ",
        ),
        (
            "tests/test_sums.py",
            TESTS.replace('"eq-one"', ""),
            "test_sums.py:4: mark.equation takes",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(
    with_equations: Book, file: str, text: str, message: str
):
    with_equations.write(file, text)
    with pytest.raises(BookError) as caught:
        index(with_equations.root)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
