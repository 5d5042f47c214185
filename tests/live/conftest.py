"""V8 without a browser, as the build has it."""

import pytest
from py_mini_racer import MiniRacer

from live.engine import Engine


@pytest.fixture(scope="session")
def engine() -> Engine:
    v8 = MiniRacer()
    return Engine(v8.eval, v8.eval)
