"""Two works never look alike in a citation: a letter in the year of the bibliography sees to it."""

from collections import defaultdict
from pathlib import Path

import pytest
from pybtex.database import BibliographyData, parse_file, parse_string
from pybtex.style.formatting.plain import Style

from bookbuild.notebooks.plain import author_and_year

ROOT = Path(__file__).parents[2]
LETTERS = "abcdefgh"


def wrong(works: BibliographyData) -> list[str]:
    """Return what works of one author and year have in the place of a, b and so on, as listed."""
    years = defaultdict(list)
    for work in Style().format_bibliography(works):
        author, year = author_and_year(works.entries[work.key], work.key)
        years[author, year.rstrip(LETTERS)].append(year.lstrip("0123456789"))
    return [
        f"{author}, {year}: {letters}"
        for (author, year), letters in years.items()
        if letters != ([""] if len(letters) == 1 else list(LETTERS[: len(letters)]))
    ]


def test_every_citation_names_one_work():
    assert wrong(parse_file(ROOT / "book/references.bib")) == []


@pytest.mark.parametrize(
    ("years", "found"),
    [
        (("2001a", "2001b"), []),
        (("2001", "2002"), []),
        (("2001", "2001"), ["A *et al.*, 2001: ['', '']"]),
        (("2001b", "2001a"), []),  # the list is ordered by them
        (("2001a", "2002"), ["A *et al.*, 2001: ['a']"]),
    ],
)
def test_what_is_missing_is_found(years, found):
    same = "author={A, B. and C, D. and E, F.}, title={T}, publisher={P}"
    works = "".join(f"@book{{w{i}, {same}, year={{{year}}}}}" for i, year in enumerate(years))
    assert wrong(parse_string(works, "bibtex")) == found
