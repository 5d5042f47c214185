"""The tests check every call of the package against its signature, shapes and types."""

import functools
import inspect

import jaxtyping
import pytest

CHECK = jaxtyping.jaxtyped


def checked(*, typechecker):
    """Leave a generator a generator: decorators such as `torch.no_grad` ask what they are given."""

    def decorate(thing):
        typed = CHECK(thing, typechecker=typechecker)
        if not inspect.isgeneratorfunction(thing):
            return typed

        @functools.wraps(thing)
        def generate(*arguments, **named):
            return (yield from typed(*arguments, **named))

        return generate

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
