"""The small questions that rules ask of untrusted values."""

import pytest

from mnedge.bundle.json_text import JsonInvalidError
from mnedge.bundle.subject import (
    AgentEntry,
    Document,
    as_number,
    is_count,
    is_number,
    is_text,
    listing,
    mapping,
    objects,
)


def test_only_objects_are_objects_and_only_lists_are_lists():
    assert mapping({"a": 1}) == {"a": 1}
    assert mapping([1]) == mapping(None) == mapping("x") == {}
    assert listing([1]) == [1]
    assert listing({"a": 1}) == listing("abc") == []
    assert list(objects([1, {"a": 1}, None, {}])) == [(1, {"a": 1}), (3, {})]
    assert list(objects({"a": {}})) == []


def test_booleans_are_no_numbers():
    assert is_number(0)
    assert is_number(1.5)
    assert not is_number(True)
    assert not is_number("1")
    assert is_count(3, 3)
    assert not is_count(2, 3)
    assert not is_count(True)
    assert not is_count(1.0)
    assert is_text("a")
    assert not is_text("")
    assert not is_text(3)


@pytest.mark.parametrize(
    "value, number",
    [
        (3, 3.0),
        ("2.5", 2.5),
        ("-1", -1.0),
        ("", None),
        ("x", None),
        ("nan", None),
        ("inf", None),
        ("1" * 50, None),
        (True, None),
        (None, None),
        ([], None),
    ],
)
def test_a_number_may_be_written_as_text(value, number):
    assert as_number(value) == number


def test_a_document_that_is_no_object_has_no_members():
    assert Document(name="x", present=True, value=[1]).members == {}
    assert Document(name="x", present=True, error=JsonInvalidError("bad")).members == {}
    assert Document(name="x", present=True, value={"a": 1}).members == {"a": 1}


def test_an_agent_is_called_by_its_id_or_its_number():
    def entry(raw):
        return AgentEntry(index=1, at=("nodes", 1), raw=raw, rendered=raw)

    assert entry({"node_id": "a"}).label == "agent 'a'"
    assert entry({"node_id": 5}).label == "agent number 2"
    assert entry({"config": []}).config == {}
