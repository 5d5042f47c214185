"""The glossary defines what chapters link to; the notation says where each symbol comes from."""

import re
from pathlib import Path

import pytest

BOOK = Path(__file__).parents[2] / "book"
NOTATION = (BOOK / "notation.md").read_text(encoding="utf-8")
GLOSSARY = NOTATION.partition(":::{glossary}\n")[2].partition("\n:::")[0]
ENTRIES = {
    entry.partition("\n")[0]: entry.partition("\n")[2] for entry in GLOSSARY.split("\n\n") if entry
}
LINKED = {
    page.name: re.findall(r"\{term\}`(?:[^`<]*<)?([^`<>]+)>?`", page.read_text(encoding="utf-8"))
    for page in sorted(BOOK.glob("*.md"))
    if page.name != "notation.md"
}


@pytest.mark.parametrize("page", [name for name, terms in LINKED.items() if terms])
def test_a_page_links_to_terms_that_exist_once_each(page):
    assert set(LINKED[page]) <= ENTRIES.keys()
    assert len(LINKED[page]) == len(set(LINKED[page]))


def test_terms_are_in_order_and_link_to_their_place():
    assert list(ENTRIES) == sorted(ENTRIES, key=str.lower)
    assert [term for term, text in ENTRIES.items() if not re.search(r"\{(eq|ref)\}`", text)] == []


def test_every_symbol_names_its_place():
    symbols = NOTATION.partition("## Symbols")[2].partition("(glossary)=")[0]
    rows = [row for row in symbols.splitlines() if row.startswith("| $")]
    assert len(rows) > 60
    assert [row for row in rows if not re.search(r"\{(eq|ref)\}`[^|]*\|?$", row)] == []
