"""The tests check the calls of the package against its signatures, shapes and types.

Of each function the first calls in each test: a loop makes thousands that are alike, and the check
of one takes longer than the call.
"""

import functools
import inspect
from collections import Counter

import jaxtyping
import pytest

CHECK = jaxtyping.jaxtyped
CALLS = 10
calls = Counter()


def pytest_runtest_setup():
    calls.clear()


def checked(*, typechecker):
    """Leave a generator a generator: decorators such as `torch.no_grad` ask what they are given."""

    def decorate(thing):
        typed = CHECK(thing, typechecker=typechecker)
        if inspect.isclass(thing):
            return typed

        def chosen():
            calls[thing] += 1
            return typed if calls[thing] <= CALLS else thing

        @functools.wraps(thing)
        def call(*arguments, **named):
            return chosen()(*arguments, **named)

        @functools.wraps(thing)
        def generate(*arguments, **named):
            return (yield from chosen()(*arguments, **named))

        return generate if inspect.isgeneratorfunction(thing) else call

    return decorate


jaxtyping.jaxtyped = checked
jaxtyping.install_import_hook(  # a whole number is as good as a float, as in Python
    "onebound", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
)


class Refused(pytest.RaisesExc):
    """What a test expects to be refused, the package itself has to refuse."""

    def __enter__(self):
        jaxtyping.config.update("jaxtyping_disable", True)
        return super().__enter__()

    def __exit__(self, *raised):
        jaxtyping.config.update("jaxtyping_disable", False)
        return super().__exit__(*raised)


pytest.raises = Refused
