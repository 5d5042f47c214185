"""The book as one PDF, which `make pdf` has printed."""

import re
import unicodedata

import pytest
from bs4 import BeautifulSoup
from conftest import HTML, ROOT
from pypdf import PageObject, PdfReader
from pypdf.generic import Destination

from bookbuild.pdf import PDF
from bookbuild.source.chapters import page_names


@pytest.fixture(scope="module")
def pdf() -> PdfReader:
    return PdfReader(ROOT / PDF)


def titles(pdf: PdfReader) -> dict[str, int]:
    """Return the bookmarks of the first level, with the number of the page they lead to."""
    tops = [mark for mark in pdf.outline if isinstance(mark, Destination)]
    return {mark.title: pdf.get_destination_page_number(mark) for mark in tops}


def test_every_page_has_a_bookmark(pdf: PdfReader):
    expected = []
    for name in page_names(ROOT):
        html = (HTML / f"{name}.html").read_text(encoding="utf-8")
        heading = BeautifulSoup(html, "html.parser").find("article").h1
        expected.append(" ".join(heading.get_text().removesuffix("#").split()))
    found = titles(pdf)
    assert list(found) == expected
    assert list(found.values()) == sorted(set(found.values())), "each begins on a page of its own"


def test_its_text_is_the_book(pdf: PdfReader):
    texts = [text_of(page) for page in pdf.pages]
    for number, text in enumerate(texts, 1):
        assert text.strip().endswith(str(number)), "pages are numbered"
        assert not re.search(r"\\[(\[]|\\begin\{|Math input error|Hide code cell", text), text
    for title, page in titles(pdf).items():
        # What does not stand on its page by its first words, a browser has laid out wrongly.
        assert unicodedata.normalize("NFKC", title).split()[-1] in texts[page], title


def test_a_live_figure_is_its_still_and_its_caption(pdf: PdfReader):
    texts = ["".join(text_of(page).split()) for page in pdf.pages]
    figures = 0
    for name in page_names(ROOT):
        html = (HTML / f"{name}.html").read_text(encoding="utf-8")
        for figure in BeautifulSoup(html, "html.parser").select("figure.live"):
            figures += 1
            caption = figure.select_one(".caption-text").contents[0]  # up to the first formula
            first = "".join(str(caption).partition(".")[0].split())
            (number,) = (number for number, text in enumerate(texts) if first in text)
            assert any(part["/Subtype"] == "/Image" for part in drawn(pdf.pages[number])), first
            button = "".join(figure.button.get_text().split())
            assert button not in texts[number], "nothing starts on paper"
    sources = (ROOT / "book").glob("*.md")
    assert figures == sum(page.read_text(encoding="utf-8").count("```{live}") for page in sources)


def text_of(page: PageObject) -> str:
    """Return the text of a page, with letters in the place of a font's ligatures."""
    return unicodedata.normalize("NFKC", page.extract_text())


def drawn(page: PageObject) -> list:
    """Return the pictures and forms that a page refers to."""
    return [part.get_object() for part in page["/Resources"].get("/XObject", {}).values()]


def test_links_stay_inside_or_lead_to_the_web(pdf: PdfReader):
    kinds = set()
    for page in pdf.pages:
        for annotation in page.get("/Annots", []):
            annotation = annotation.get_object()
            address = annotation.get("/A", {}).get("/URI", "")
            kinds.add(address.partition(":")[0] if address else "inside")
    assert "inside" in kinds
    assert kinds <= {"inside", "https", "http"}
