"""Every labelled equation has its code and its test, or a mark that says why it needs none."""

from pathlib import Path

from bookbuild.source.equations import KINDS, faults, index

ROOT = Path(__file__).parents[2]


def test_the_equations_are_in_order():
    assert list(faults(ROOT)) == []


def test_the_index_finds_what_it_should():
    equations = {equation.label: equation for equation in index(ROOT)}
    kl = equations["eq-kl-standard"]
    assert kl.page == "elbo"
    assert "kl_normal_standard" in [place.name for place in kl.code]
    assert "test_kl_agrees_with_torch" in [place.name for place in kl.tests]
    assert {equation.kind for equation in equations.values()} == {None, *KINDS}
