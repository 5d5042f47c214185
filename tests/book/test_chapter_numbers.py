"""A chapter is referred to by its label, so that its number follows the table of contents.

``{ref}`` with the label alone says number and title (`bookbuild.extensions.chapter_names`). A
number that is typed all the same stands in the text of a reference, and is looked up here. Several
chapters at once ("chapters 4 to 9"), captions of cells and alternative texts are not looked at.
"""

import re

import pytest
from test_numbers import PAGES, ROOT, page, prose

from bookbuild.notebooks.targets import chapter_numbers, find_targets

NUMBERS = chapter_numbers(ROOT)
TARGETS = find_targets(ROOT, [page(name) for name in PAGES])
REFERENCE = re.compile(r"\{ref\}`([^`<>]+?)\s*<([^`<>]+)>`")
IN_ITS_TEXT = re.compile(r"(?:^|\bchapters? )(\d+)\b", re.IGNORECASE)
TYPED = re.compile(r"\bchapter \d+|\bch\. \d+", re.IGNORECASE)


def stale(text: str) -> list[str]:
    """Return the references that name another chapter than the one they lead to."""
    found = []
    for words, label in REFERENCE.findall(text):
        there = TARGETS[label].page.removeprefix("solutions/") if label in TARGETS else ""
        if (typed := IN_ITS_TEXT.search(words)) and typed[1] != NUMBERS.get(there):
            found.append(f"{words} <{label}>")
    return found


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_names_the_chapter_that_it_leads_to(name):
    assert stale(page(name).path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", PAGES)
def test_no_number_of_a_chapter_is_typed(name):
    assert TYPED.findall(prose(name)) == [], "write {ref}`ch-...`, and {eq} without a chapter"


def test_a_wrong_number_is_found():
    elbo = NUMBERS["elbo"]
    text = "{ref}`chapter %s <ch-elbo>`, {ref}`%s <sec-gaussian-kl>`, {ref}`the 5 <ch-elbo>`"
    assert stale(text % (elbo, elbo)) == []
    assert stale(text % (0, 0)) == ["chapter 0 <ch-elbo>", "0 <sec-gaussian-kl>"]
    assert TYPED.findall("In chapter 3, and chapters 4 to 9.") == ["chapter 3"]
