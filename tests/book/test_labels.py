"""Every labelled equation has its code and its test, or a mark that says why it needs none.

And a link to a chapter says the chapter's number.
"""

import re
from pathlib import Path

from bookbuild.notebooks.targets import chapter_numbers
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


def test_a_link_to_a_chapter_says_its_number():
    texts = {page: page.read_text(encoding="utf-8") for page in (ROOT / "book").rglob("*.md")}
    numbers = {
        re.search(r"^\((ch-[\w-]+)\)=$", texts[ROOT / f"book/{name}.md"], re.MULTILINE)[1]: number
        for name, number in chapter_numbers(ROOT).items()
    }
    links = [
        (page.name, *link)
        for page, text in texts.items()
        for link in re.findall(r"[Cc]hapter\s+(\d+)\s+<(ch-[\w-]+)>", text)
    ]
    assert len(links) > 50
    assert [link for link in links if numbers.get(link[2]) != link[1]] == []
