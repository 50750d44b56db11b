"""Route conditions that can be read, and those that cannot."""

import pytest

from mnedge.bundle.conditions import problem_in


@pytest.mark.parametrize(
    "condition",
    [
        None,
        {},
        {"path": "payload.level", "value": 3},
        {"path": "payload.level", "op": ">=", "value": 3},
        {"path": "payload.level", "op": "exists"},
        {"path": "payload.kind", "op": "in", "value": ["a"]},
        {"all": []},
        {"any": [{"path": "a", "value": None}, {"not": {"path": "b", "op": "exists"}}]},
        {"expr": "${payload.level} > 3"},
        {"expr": '${message.type} == "alarm"'},
        {"expr": "${payload.x} exists"},
    ],
)
def test_conditions_of_the_grammar_can_be_read(condition):
    assert problem_in(condition) is None


@pytest.mark.parametrize(
    "condition, at, reason",
    [
        ([], (), "must be an object"),
        ("x", (), "must be an object"),
        ({"op": "=="}, (), "needs one of"),
        ({"path": ""}, (), "needs one of"),
        ({"path": "a", "op": "=~", "value": 1}, ("op",), 'unknown operator "=~"'),
        ({"path": "a", "op": []}, ("op",), "unknown operator"),
        ({"path": "a"}, (), "== needs a value"),
        ({"path": "a", "op": "in", "value": "abc"}, ("value",), "must be a list"),
        ({"all": {}}, ("all",), "must be a list"),
        ({"any": [{}, 3]}, ("any", 1), "must be an object"),
        ({"not": None}, ("not",), "must be an object"),
        ({"not": {"all": [{"path": 3}]}}, ("not", "all", 0), "needs one of"),
        ({"expr": 3}, ("expr",), "must read"),
        ({"expr": "payload.x > 3"}, ("expr",), "must read"),
        ({"expr": "${payload x} > 3"}, ("expr",), "must read"),
        ({"expr": "${payload.x} >"}, ("expr",), "must read"),
    ],
)
def test_the_innermost_wrong_place_is_told(condition, at, reason):
    found = problem_in(condition)
    assert found is not None
    assert found[0] == at
    assert reason in found[1]


def test_conditions_nested_without_end_are_refused():
    condition: dict = {"path": "a", "value": 1}
    for _ in range(100):
        condition = {"not": condition}
    found = problem_in(condition)
    assert found is not None
    assert found[1] == "is nested too deeply"
