"""The figures of Part IV compute what `onebound` does."""

import pytest

from live.engine import Engine
from live.family import CHECKS


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_is_the_package_s(engine: Engine, check):
    check(engine)
