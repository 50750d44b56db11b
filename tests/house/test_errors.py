"""Every error an operator can meet has its own code, an explanation and an allowed exit code."""

from collections import Counter
from importlib import import_module

import pytest

from mnedge import errors
from mnedge.errors import MnedgeError
from tests.house.tree import dotted, modules

EXIT_CODES = {1, 2, 13, 130}
FAMILIES = {c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, MnedgeError)}


def all_errors() -> list[type[MnedgeError]]:
    for module in modules():
        if module.name != "__main__.py":
            import_module(dotted(module))
    found: list[type[MnedgeError]] = []
    waiting = [MnedgeError]
    while waiting:
        error = waiting.pop()
        found.append(error)
        waiting.extend(error.__subclasses__())
    ours = ("mnedge.", "mnedge_")
    return sorted((e for e in found if e.__module__.startswith(ours)), key=lambda e: e.__name__)


ERRORS = all_errors()


def test_no_two_errors_share_a_code():
    shared = {code: n for code, n in Counter(error.code for error in ERRORS).items() if n > 1}
    assert not shared, [
        f"{e.__module__}.{e.__name__}: {e.code}" for e in ERRORS if e.code in shared
    ]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_an_error_says_what_it_is(error):
    assert "code" in vars(error), "it needs a code of its own"
    assert error.__name__.endswith("Error")
    assert vars(error).get("__doc__"), "its docstring is its entry in the manual"
    assert error.exit_code in EXIT_CODES
    assert 400 <= error.http_status <= 599


@pytest.mark.parametrize("error", sorted(set(ERRORS) - FAMILIES, key=str), ids=lambda e: e.__name__)
def test_a_concrete_error_belongs_to_a_family(error):
    assert any(family in error.__mro__ for family in FAMILIES - {MnedgeError})
    assert "." in error.code, "a concrete code is `what.is_wrong`"
