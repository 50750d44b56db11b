"""Whether a step's graph makes sense: rule S-09."""

import copy

import pytest

from mnedge.bundle.source.flows import (
    agents_when_unrolled,
    alias_of,
    calls_in,
    parts_of,
    problems_in_step,
)
from tests.bundle.source.making import STEP

REGISTRY = {"looker": {"handler": "agents.looker"}, "odd": {"handler": "agents/odd.py"}}
REGISTRY |= {"with_list": {"handler": "agents.x", "with": []}}
CALL = {"type": "agent", "agent_id": "looker"}
UNTIL = {"path": "payload.done", "value": True}


def call(alias):
    return CALL | {"alias": alias}


def step(**parts):
    return copy.deepcopy(STEP) | parts


def flow(**members):
    return step(flow=members)


def loop(**members):
    given = {"flow": CALL, "until": UNTIL, "max_rounds": 2, **members}
    return flow(type="bounded_loop", **given)


CASES = [
    (step(input=None), "input must be an object"),
    (step(output={"fields": []}), "output.fields must be an object"),
    (step(input={"fields": {}, "hook": "a.b"}), "input.hook must name a function"),
    (step(output={"fields": {}, "schema": []}), "output.schema must be an object"),
    (step(output={"fields": {}, "schema": {"type": "array"}}), "output.schema.type must be object"),
    (
        step(output={"fields": {}, "schema": {"required": [3]}}),
        "output.schema.required must be a list of names",
    ),
    (
        step(input={"fields": {"x": {"$ref": "flow_output"}}}),
        "input.fields.x refers to 'flow_output'; input may refer to run_input and upstream",
    ),
    (
        step(output={"fields": {"x": [{"y": {"$ref": "run_input"}}]}}),
        "output.fields.x[0].y refers to 'run_input'; output may refer to flow_output",
    ),
    (
        step(input={"fields": {"x": {"$ref": "upstream", "step_id": "late"}}}),
        "input.fields.x refers to step 'late', which this step does not need",
    ),
    (
        step(input={"fields": {"x": {"$ref": "run_input", "path": "a.b"}}}),
        "input.fields.x.path must be a list of names",
    ),
    (step(flow=None), "flow must be a flow"),
    (flow(type="race"), "flow.type must be one of agent, sequence"),
    (flow(type="agent"), "flow.agent_id must name an agent"),
    (flow(type="agent", agent_id="looker", alias=""), "flow.alias must be a non-empty string"),
    (flow(type="sequence", items=[]), "flow.items must hold at least one flow"),
    (flow(type="parallel"), "flow.items must hold at least one flow"),
    (flow(type="sequence", items=[CALL, 3]), "flow.items[1] must be a flow"),
    (
        flow(type="choice", predicate=UNTIL, cases={}, default=CALL),
        "flow.cases must hold at least one case",
    ),
    (
        flow(type="choice", predicate={"any": []}, cases={"1": CALL}, default=call("x")),
        "flow.predicate.path must name what the cases are compared with",
    ),
    (flow(type="choice", predicate=UNTIL, cases={"1": CALL}), "flow.default must be a flow"),
    (flow(type="fallback", primary=CALL), "flow.recovery must be a flow"),
    (loop(until={}), "flow.until must be a condition"),
    (loop(until={"path": "x", "op": "~", "value": 1}), "flow.until.op unknown operator"),
    (loop(max_rounds=0), "flow.max_rounds must be a whole number from 1 to 100"),
    (loop(max_rounds=101), "flow.max_rounds must be a whole number from 1 to 100"),
    (loop(max_rounds=True), "flow.max_rounds must be a whole number"),
    (loop(on_exhausted=3), "flow.on_exhausted must be a flow"),
    (flow(type="agent", agent_id="who"), "flow calls agent 'who', which agents.registry lacks"),
    (flow(type="agent", agent_id="odd"), "flow calls agent 'odd', whose handler 'agents/odd.py'"),
    (flow(type="agent", agent_id="with_list"), "flow calls agent 'with_list', whose `with` is no"),
    (flow(type="sequence", items=[CALL, CALL]), "flow calls two agents 'looker'; give one"),
    (
        flow(type="sequence", items=[call("x"), {"type": "parallel", "items": [call("x")]}]),
        "flow calls two agents 'x'",
    ),
]


@pytest.mark.parametrize("made, says", CASES, ids=[case[1][:60] for case in CASES])
def test_each_thing_that_is_wrong_is_told_with_its_place(made, says):
    (problem,) = problems_in_step(made, ["early"], REGISTRY)
    assert problem.startswith(says)


def test_every_kind_of_flow_can_be_right():
    inputs = {"x": {"$ref": "upstream", "step_id": "early", "path": ["a", 0]}, "y": ["plain"]}
    everything = {
        "type": "sequence",
        "items": [
            {"type": "parallel", "items": [call("a"), call("b")]},
            {"type": "choice", "predicate": UNTIL, "cases": {"1": call("c")}, "default": call("d")},
            {"type": "fallback", "primary": call("e"), "recovery": call("f")},
            {"type": "bounded_loop", "flow": call("g"), "until": UNTIL, "max_rounds": 100},
        ],
    }
    made = step(input={"fields": inputs, "hook": "adapt"}, flow=everything)
    assert problems_in_step(made, ["early"], REGISTRY) == []
    assert [alias_of(one) for one in calls_in(everything)] == list("abcdefg")
    assert len(parts_of(everything)) == 4


def test_an_alias_is_only_needed_where_an_agent_works_twice():
    assert alias_of(CALL) == "looker"


def test_loops_count_once_per_round_and_too_many_agents_are_refused():
    def nested(body, rounds):
        return {"type": "bounded_loop", "flow": body, "until": UNTIL, "max_rounds": rounds}

    exhausted = nested(nested(call("a"), 3), 2) | {"on_exhausted": call("b")}
    assert agents_when_unrolled(exhausted) == 7
    (problem,) = problems_in_step(step(flow=nested(nested(CALL, 100), 100)), [], REGISTRY)
    assert problem == "flow comes to 10000 agents; 2000 are the most"


def test_a_flow_without_end_is_refused():
    deep = CALL
    for _ in range(100):
        deep = {"type": "sequence", "items": [deep]}
    (problem,) = problems_in_step(step(flow=deep), [], REGISTRY)
    assert problem.endswith("is nested too deeply")
