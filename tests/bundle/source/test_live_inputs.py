"""Inputs that arrive while the job runs: rule S-08."""

import pytest

from mnedge.bundle.source.live_inputs import problems_in_live_inputs

AGENTS = {
    "entrypoints": ["intake"],
    "auxiliary_entrypoints": ["server"],
    "edges": [
        {"from_node": "server", "to_node": "x", "message_type": "packet"},
        {"from_node": "intake", "to_node": "x", "message_type": "reading"},
    ],
}
GOOD = {"entrypoint": "server", "message_type": "packet", "schema": {"type": "object"}}


def told(declared, **more):
    found = list(problems_in_live_inputs(declared, ("contracts", "live_inputs"), AGENTS, **more))
    assert all((p.rule, p.severity) == ("S-08", "E") and p.hint for p in found)
    return [(".".join(map(str, p.at[2:])), p.message) for p in found]


def test_what_is_right_or_absent_has_no_problems():
    assert told(None) == []
    assert told({"feed": GOOD, "gauge_2": GOOD | {"entrypoint": "intake"}}) == [
        ("gauge_2.message_type", "no edge carries 'packet' from 'intake'")
    ]
    assert told({"feed": GOOD}) == []


@pytest.mark.parametrize(
    "declared, place, says",
    [
        ([], "", "must be a non-empty object"),
        ({}, "", "must be a non-empty object"),
        ({"Feed": GOOD}, "Feed", "lower_snake_case"),
        ({"f" * 65: GOOD}, "f" * 65, "lower_snake_case"),
        ({"feed": 3}, "feed", "must be an object"),
        ({"feed": GOOD | {"entrypoint": "x"}}, "feed.entrypoint", "which is no entrypoint"),
        ({"feed": GOOD | {"message_type": ""}}, "feed.message_type", "needs a message_type"),
        ({"feed": GOOD | {"message_type": "odd"}}, "feed.message_type", "no edge carries 'odd'"),
        ({"feed": GOOD | {"schema": {}}}, "feed.schema", "schema of type object"),
    ],
)
def test_each_thing_that_is_wrong_is_told_with_its_place(declared, place, says):
    first = told(declared)[0]
    assert first[0] == place
    assert says in first[1]


def test_edges_are_not_missed_where_they_cannot_be_known():
    declared = {"feed": GOOD | {"message_type": "odd"}}
    assert told(declared, edges_known=False) == []
