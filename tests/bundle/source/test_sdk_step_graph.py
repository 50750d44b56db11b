"""The words of step definitions, and the serialized form they give."""

import pytest

from mnedge.bundle.source.flows import problems_in_step
from mnedge.bundle.source.sdk_step_graph import (
    Flow,
    InputSpec,
    OutputSpec,
    StepSpec,
    agent,
    bounded_loop,
    choice,
    fallback,
    flow_output,
    parallel,
    predicate,
    run_input,
    sequence,
    upstream,
)


def test_references():
    assert run_input("a", "b").to_dict() == {"$ref": "run_input", "path": ["a", "b"]}
    assert flow_output().to_dict() == {"$ref": "flow_output", "path": []}
    assert upstream("early", "x").to_dict() == {
        "$ref": "upstream",
        "path": ["x"],
        "step_id": "early",
    }


def test_a_whole_step_in_its_serialized_form():
    until = predicate("payload.done")
    step = StepSpec(
        input=InputSpec(
            fields={"a": run_input("a"), "b": [upstream("early")]},
            hook="prep",
            schema={"type": "object"},
        ),
        flow=sequence(
            parallel(agent("one"), agent("one", as_="two")),
            choice(predicate("payload.k", "==", 1), {"1": agent("one", as_="three")}, agent("x")),
            fallback(agent("one", as_="four"), agent("one", as_="five")),
            bounded_loop(agent("one", as_="six"), until=until, max_rounds=2),
            bounded_loop(
                agent("one", as_="seven"),
                until=until,
                max_rounds=2,
                on_exhausted=agent("one", as_="eight"),
            ),
        ),
        output=OutputSpec(fields={"c": flow_output("one", "c")}),
        metadata={"owner": ("me",)},
    ).to_dict()
    registry = {"one": {"handler": "m"}, "x": {"handler": "m"}}
    assert problems_in_step(step, ["early"], registry) == []
    assert step["input"]["fields"]["b"] == [{"$ref": "upstream", "path": [], "step_id": "early"}]
    assert step["output"] == {"fields": {"c": {"$ref": "flow_output", "path": ["one", "c"]}}}
    assert step["metadata"] == {"owner": ["me"]}
    kinds = [item["type"] for item in step["flow"]["items"]]
    assert kinds == ["parallel", "choice", "fallback", "bounded_loop", "bounded_loop"]
    assert step["flow"]["items"][0]["items"][1] == {
        "type": "agent",
        "agent_id": "one",
        "alias": "two",
    }
    assert step["flow"]["items"][4]["on_exhausted"]["alias"] == "eight"
    assert step["flow"]["items"][3] == {
        "type": "bounded_loop",
        "flow": {"type": "agent", "agent_id": "one", "alias": "six"},
        "until": {"path": "payload.done", "op": "==", "value": True},
        "max_rounds": 2,
    }


def test_a_flow_of_ones_own_has_to_say_what_it_is():
    with pytest.raises(NotImplementedError):
        Flow().to_dict()
