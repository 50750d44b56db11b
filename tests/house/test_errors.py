"""Every error an operator can meet has its own code, an explanation and an allowed exit code."""

from collections import defaultdict
from importlib import import_module

import pytest

from mnedge import errors
from mnedge.errors import MnedgeError
from tests.house.tree import dotted, modules

EXIT_CODES = {1, 2, 13, 130}
FAMILIES = {c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, MnedgeError)}


@pytest.fixture(scope="module")
def all_errors() -> list[type[MnedgeError]]:
    for module in modules():
        if module.name != "__main__.py":
            import_module(dotted(module))
    found: set[type[MnedgeError]] = set()
    waiting: list[type[MnedgeError]] = [MnedgeError]
    while waiting:
        error = waiting.pop()
        found.add(error)
        waiting.extend(error.__subclasses__())
    ours = ("mnedge.", "mnedge_")
    return sorted((e for e in found if e.__module__.startswith(ours)), key=str)


def test_no_two_errors_share_a_code(all_errors):
    by_code = defaultdict(list)
    for error in all_errors:
        by_code[error.code].append(error)
    shared = {code: found for code, found in by_code.items() if len(found) > 1}
    assert not shared


def test_every_error_is_explained(all_errors):
    """The docstring is the entry in the manual."""
    assert not [error for error in all_errors if not vars(error).get("__doc__")]


def test_every_error_ends_with_an_allowed_exit_code_and_status(all_errors):
    assert not [error for error in all_errors if error.exit_code not in EXIT_CODES]
    assert not [error for error in all_errors if not 400 <= error.http_status <= 599]


def test_every_error_is_called_one(all_errors):
    assert not [error for error in all_errors if not error.__name__.endswith("Error")]


def test_every_concrete_error_belongs_to_a_family(all_errors):
    strays = [e for e in all_errors if not set(e.__mro__) & (FAMILIES - {MnedgeError})]
    assert set(strays) == {MnedgeError}


def test_a_concrete_code_says_what_and_how(all_errors):
    assert not [error for error in set(all_errors) - FAMILIES if "." not in error.code]
