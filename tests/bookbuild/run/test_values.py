import json

import pytest
from conftest import Book

from bookbuild.run.values import RECORD, glued, record
from bookbuild.source.chapters import BookError


def test_a_value_is_recorded_under_its_page_and_name(settled: Book):
    record(settled.root)
    assert glued(settled.root) == {"one": {"value": "forty-two"}}
    assert json.loads((settled.root / RECORD).read_text()) == glued(settled.root)


def test_a_page_that_has_not_run_has_no_values(settled: Book):
    settled.edit("book/one.md", "forty-two", "forty-three")
    with pytest.raises(BookError, match="the cells of one have not run as they stand"):
        glued(settled.root)
