"""Config values are read the same way everywhere, whatever an author wrote."""

import math

import pytest

from mnedge.engine.settings import mapping, named, truthy, whole


@pytest.mark.parametrize("value", [True, "true", "True", "1", "yes"])
def test_these_say_yes(value):
    assert truthy(value)


@pytest.mark.parametrize("value", [False, None, 0, 1, 1.0, "", "no", "false", [], {}, [True]])
def test_these_do_not(value):
    assert not truthy(value)


@pytest.mark.parametrize(
    "value,found", [("x", "x"), ("", None), (None, None), (5, None), (["x"], None)]
)
def test_a_name_is_a_string_with_something_in_it(value, found):
    assert named(value) == found


@pytest.mark.parametrize(
    "value,found",
    [
        (3, 3),
        (3.0, 3),
        (0, None),
        (-1, None),
        (2.5, None),
        (True, None),
        ("3", None),
        (None, None),
        (math.inf, None),
        (math.nan, None),
        (10**30, 10**30),
    ],
)
def test_a_whole_number_has_its_least_size(value, found):
    assert whole(value, at_least=1) == found


def test_a_mapping_is_an_object_or_nothing():
    assert mapping({"a": 1}) == {"a": 1}
    assert mapping([1]) == {}
