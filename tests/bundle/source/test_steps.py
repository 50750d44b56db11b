"""Records of steps, and the edges between them."""

import pytest

from mnedge.bundle.source.graphs import StepGraph
from mnedge.bundle.source.steps import (
    mutable_edges,
    place_of,
    step_edges,
    step_record,
    with_graph,
    with_routes,
)
from tests.bundle.source.making import source


def records(made):
    return [step_record(made, raw, n) for n, raw in enumerate(made["workflow"]["steps"])]


def test_the_profile_fills_in_a_step_by_its_position():
    first, middle, last = records(source())
    assert [step["kind"] for step in (first, middle, last)] == ["source", "stage", "sink"]
    assert [step["control"]["timeout_seconds"] for step in (first, middle, last)] == [900, 300, 300]
    assert middle == {
        "id": "judge",
        "kind": "stage",
        "label": "Judge",
        "goal": "Run Judge.",
        "action": "judge",
        "emits": "judge_completed",
        "trigger_rule": "all_success",
        "needs": ["read_gauge"],
        "run": "judge",
        "agent_id": "judge",
        "implementation": {"handler": "steps.judge", "with": {"limit": 3}},
        "control": {
            "required": True,
            "failure_policy": "fail_workflow",
            "timeout_seconds": 300,
            "retry": {
                "max_attempts": 2,
                "backoff_seconds": 1,
                "backoff_multiplier": 2,
                "jitter": 0,
            },
            "uncertainty": {"min_confidence": 0.7, "on_low_confidence": "human_review"},
        },
    }
    calm = {"min_confidence": 0, "on_low_confidence": "continue_with_warning"}
    assert first["control"]["uncertainty"] == last["control"]["uncertainty"] == calm


def test_defaults_lie_over_the_profile_and_the_step_over_both():
    made = source(defaults={"step": {"control": {"timeout_seconds": 7}, "goal": "All {{id}}"}})
    made["workflow"]["steps"][1]["control"] = {"timeout_seconds": 8}
    made["workflow"]["steps"][1]["worker"] = {"uses": "x@1"}
    first, middle, _ = records(made)
    assert first["control"]["timeout_seconds"] == 7
    assert middle["control"]["timeout_seconds"] == 8
    assert middle["goal"] == "All judge"
    assert "worker" not in middle


@pytest.mark.parametrize(
    "run, expected",
    [
        ({"agent": "x"}, {"run": "s", "agent_id": "x"}),
        ({"handler": "m"}, {"run": "s", "agent_id": "s", "implementation": {"handler": "m"}}),
        (
            {"handler": "m", "agent": "x", "binding": "key"},
            {"run": "key", "agent_id": "x", "implementation": {"handler": "m"}},
        ),
        ({"definition": "m"}, {"run": "s"}),
    ],
)
def test_what_a_step_runs_becomes_a_key_and_an_agent(run, expected):
    record = step_record(source(), {"id": "s", "needs": [], "run": run})
    assert {
        name: record[name] for name in ("run", "agent_id", "implementation") if name in record
    } == expected


def test_a_graph_names_the_agents_of_its_step():
    graph = StepGraph(start="s__start", end="s__end")
    step = with_graph({"id": "s"}, "steps.s", {"flow": {}}, graph)
    assert step["agent_ids"] == ["s__start", "s__end"]
    assert (step["agent_id"], step["start_agent_id"], step["end_agent_id"]) == (
        "s__start",
        "s__start",
        "s__end",
    )
    assert step["implementation"] == {"definition": "steps.s", "step_graph": {"flow": {}}}
    assert with_graph({"id": "s"}, "m", None, graph)["implementation"] == {"definition": "m"}


def test_needs_become_edges_unless_edges_are_listed():
    steps = [{"id": "a", "needs": [], "emits": "out"}, {"id": "b", "needs": ["a", "a", "x"]}]
    assert step_edges({}, steps) == [
        {
            "id": "a_to_b",
            "from": "a",
            "to": "b",
            "event": "out",
            "message_type": "out",
            "required": True,
            "accepts": ["done"],
        }
    ]
    assert step_edges({"edges": []}, steps) == []
    assert step_edges({"edges": [{"id": "mine"}]}, steps) == [{"id": "mine"}]


def test_steps_say_where_their_work_leads():
    steps = [{"id": "a", "emits": "out"}, {"id": "b"}, {"id": "c", "on": {"x": "y"}}]
    found = with_routes(steps, [{"from": "a", "to": "b"}, {"from": "a", "to": "c"}])
    assert [step["on"] for step in found] == [
        {"out": "b"},
        {"b_completed": "completed"},
        {"x": "y"},
    ]


def test_edges_that_may_be_taken_away():
    regions = [
        {"strategy": "replace_path", "mutable_edges": ["a", 3]},
        {"strategy": "checkpoint_fanout", "mutable_edges": ["b"]},
        "odd",
    ]
    assert mutable_edges({"dynamic": {"regions": regions}}) == {"a"}
    assert mutable_edges({}) == set()


def test_a_step_has_a_place():
    assert place_of(3) == ("workflow", "steps", 3)
