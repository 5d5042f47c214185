"""Every equation that the code cites stands in a chapter."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CITED = {
    label: path.name
    for path in sorted((ROOT / "code/onebound").rglob("*.py"))
    for label in re.findall(r"\[(eq-[\w-]+)\]", path.read_text(encoding="utf-8"))
}
PAGES = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "book").rglob("*.md"))]


@pytest.mark.parametrize("label", sorted(CITED))
def test_a_cited_equation_is_labelled_once(label):
    found = sum(len(re.findall(rf"^\$\$ \({label}\)$", page, re.MULTILINE)) for page in PAGES)
    assert found == 1, f"{CITED[label]} cites {label}; the book labels it {found} times"


def test_the_code_cites_equations():
    assert {"eq-kl-standard", "eq-reparameterisation", "eq-bernoulli"} <= CITED.keys()
