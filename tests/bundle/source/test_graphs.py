"""The compile table: what each kind of flow comes to."""

from mnedge.bundle.source.graphs import compiled, completed
from tests.bundle.source.making import STEP

UNTIL = {"path": "payload.done", "op": "==", "value": True}
REGISTRY = {
    name: {"handler": f"agents.{name}", "name": f"The {name}", "with": {"n": name}}
    for name in "abcd"
}


def call(name, alias=None):
    made = {"type": "agent", "agent_id": name}
    return made if alias is None else made | {"alias": alias}


def graph(flow, **parts):
    definition = {**STEP, "flow": flow, **parts}
    return compiled(
        "s", definition, module="steps.s", needs=["x"], emits="s_done", registry=REGISTRY
    )


def edges(made):
    """Return the edges as `sender -type-> target`, the step's name left out."""
    found = []
    for edge in made.edges:
        sender, target = (edge[key].removeprefix("s__") for key in ("from_node", "to_node"))
        word = edge["message_type"].removeprefix(f"s__{sender}_")
        found.append(f"{sender} -{word}-> {target}")
    return found


def control(made):
    return {node["node_id"].removeprefix("s__"): node for node in made.control}


def conditions(made):
    return {
        (edge["from_node"].removeprefix("s__"), edge["to_node"].removeprefix("s__")): edge[
            "conditions"
        ]
        for edge in made.edges
        if "conditions" in edge
    }


def test_a_step_has_a_start_and_an_end():
    made = graph(call("a"))
    start, end = made.boundary
    assert start == {
        "node_id": "s__start",
        "agent_type": "step_source",
        "type": "generic",
        "role": "step_start",
        "config": {
            "step_id": "s",
            "required_upstreams": ["x"],
            "fields": STEP["input"]["fields"],
            "schema": {},
            "output_message_type": "s__start_completed",
        },
    }
    assert (end["agent_type"], end["type"], end["role"]) == ("step_sink", "reduce", "step_end")
    assert end["config"] == {
        "step_id": "s",
        "fields": STEP["output"]["fields"],
        "schema": {},
        "output_message_type": "s_done",
    }
    assert edges(made) == ["start -completed-> a", "a -completed-> end"]
    assert made.agent_ids == ["s__start", "s__a", "s__end"]


def test_an_agent_becomes_a_call_of_its_handler():
    (made,) = graph(call("a", "first")).calls
    assert (made.node_id, made.agent_id, made.handler) == ("s__first", "a", "agents.a")
    assert (made.role, made.parameters, made.output_type) == (
        "The a",
        {"n": "a"},
        "s__first_completed",
    )
    assert made.failure_message_type is None


def test_a_sequence_hands_on():
    made = graph({"type": "sequence", "items": [call("a"), call("b"), call("c")]})
    assert made.control == []
    assert edges(made) == [
        "a -completed-> b",
        "b -completed-> c",
        "start -completed-> a",
        "c -completed-> end",
    ]


def test_a_parallel_forks_and_joins():
    made = graph({"type": "parallel", "items": [call("a"), call("b", "b2")]})
    assert list(control(made)) == ["fork_1", "join_2"]
    fork, join = control(made).values()
    assert (fork["agent_type"], fork["type"]) == ("router", "map")
    assert fork["config"] == {"emit_type": "s__fork_1_completed"}
    assert (join["agent_type"], join["type"]) == ("step_join", "reduce")
    assert join["config"] == {
        "expected_sources": ["s__a", "s__b2"],
        "output_keys": {"s__a": "a", "s__b2": "b2"},
        "output_message_type": "s__join_2_completed",
    }
    assert edges(made) == [
        "fork_1 -completed-> a",
        "a -completed-> join_2",
        "fork_1 -completed-> b2",
        "b2 -completed-> join_2",
        "start -completed-> fork_1",
        "join_2 -completed-> end",
    ]
    assert made.agent_ids == [
        "s__start",
        "s__a",
        "s__b2",
        "s__fork_1",
        "s__join_2",
        "s__end",
    ]


def test_a_choice_takes_the_way_of_its_value_else_the_default():
    made = graph(
        {
            "type": "choice",
            "predicate": {"path": "payload.kind", "op": "=="},
            "cases": {"1": call("a"), "red": call("b")},
            "default": call("c"),
        }
    )
    assert [node["agent_type"] for node in made.control] == ["router", "router"]
    first = {"path": "payload.kind", "op": "==", "value": 1}
    second = {"path": "payload.kind", "op": "==", "value": "red"}
    assert conditions(made) == {
        ("choice_1", "a"): first,
        ("choice_1", "b"): second,
        ("choice_1", "c"): {"not": {"any": [first, second]}},
    }
    assert {edge.get("routing_mode") for edge in made.edges if "conditions" in edge} == {
        "first_match"
    }
    assert edges(made)[1::2] == [
        "a -completed-> merge_2",
        "b -completed-> merge_2",
        "c -completed-> merge_2",
        "merge_2 -completed-> end",
    ]


def test_the_first_failure_inside_a_primary_starts_the_recovery():
    primary = {"type": "parallel", "items": [call("a"), call("b")]}
    made = graph({"type": "fallback", "primary": primary, "recovery": call("c")})
    failing = {one.node_id: one.failure_message_type for one in made.calls}
    assert failing == {"s__a": "s__a_failed", "s__b": "s__b_failed", "s__c": None}
    assert control(made)["fallback_trigger_3"]["config"] == {
        "completion_mode": "first",
        "passthrough": True,
        "output_message_type": "s__fallback_trigger_3_completed",
    }
    assert control(made)["fallback_merge_4"]["agent_type"] == "router"
    assert edges(made)[4:] == [
        "a -failed-> fallback_trigger_3",
        "b -failed-> fallback_trigger_3",
        "fallback_trigger_3 -completed-> c",
        "join_2 -completed-> fallback_merge_4",
        "c -completed-> fallback_merge_4",
        "start -completed-> fork_1",
        "fallback_merge_4 -completed-> end",
    ]


def test_a_failure_goes_to_the_nearest_fallback_only():
    inner = {"type": "fallback", "primary": call("a"), "recovery": call("b")}
    made = graph({"type": "fallback", "primary": inner, "recovery": call("c")})
    failed = [edge for edge in edges(made) if "-failed->" in edge]
    assert failed == ["a -failed-> fallback_trigger_1", "b -failed-> fallback_trigger_3"]


def test_a_loop_is_unrolled_and_fails_when_it_is_exhausted():
    made = graph({"type": "bounded_loop", "flow": call("a"), "until": UNTIL, "max_rounds": 2})
    assert [one.node_id for one in made.calls] == ["s__a__r1", "s__a__r2"]
    assert control(made)["loop_exhausted_4"]["config"] == {
        "fail_on_message": True,
        "failure_reason": "bounded loop exhausted",
    }
    assert edges(made) == [
        "a__r1 -completed-> loop_gate_1_2",
        "loop_gate_1_2 -completed-> loop_merge_1",
        "loop_gate_1_2 -completed-> a__r2",
        "a__r2 -completed-> loop_gate_2_3",
        "loop_gate_2_3 -completed-> loop_merge_1",
        "loop_gate_2_3 -completed-> loop_exhausted_4",
        "start -completed-> a__r1",
        "loop_merge_1 -completed-> end",
    ]
    assert conditions(made) == {
        ("loop_gate_1_2", "loop_merge_1"): UNTIL,
        ("loop_gate_1_2", "a__r2"): {"not": UNTIL},
        ("loop_gate_2_3", "loop_merge_1"): UNTIL,
        ("loop_gate_2_3", "loop_exhausted_4"): {"not": UNTIL},
    }


def test_a_loop_may_go_another_way_when_it_is_exhausted():
    loop = {"type": "bounded_loop", "flow": call("a"), "until": UNTIL, "max_rounds": 1}
    made = graph(loop | {"on_exhausted": call("b")})
    assert not any("exhausted" in name for name in control(made))
    assert edges(made)[2:4] == ["loop_gate_1_2 -completed-> b", "b -completed-> loop_merge_1"]


def test_rounds_within_rounds_have_names_of_their_own():
    inner = {"type": "bounded_loop", "flow": call("a"), "until": UNTIL, "max_rounds": 2}
    made = graph({"type": "bounded_loop", "flow": inner, "until": UNTIL, "max_rounds": 2})
    assert [one.node_id for one in made.calls] == [
        f"s__a__r{outer}r{round_}" for outer in (1, 2) for round_ in (1, 2)
    ]
    assert "loop_gate_1_2__r1" in control(made)
    ids = made.agent_ids + [edge["edge_id"] for edge in made.edges]
    assert len(ids) == len(set(ids))


def test_hooks_stand_behind_the_start_and_before_the_end():
    made = graph(
        call("a"), input={"fields": {}, "hook": "prep"}, output={"fields": {}, "hook": "fin"}
    )
    assert [(one.node_id, one.handler, one.role) for one in made.hooks] == [
        ("s__input_adapter", "steps.s:prep", "step_input_adapter"),
        ("s__output_adapter", "steps.s:fin", "step_output_adapter"),
    ]
    assert edges(made) == [
        "start -completed-> input_adapter",
        "input_adapter -completed-> a",
        "a -completed-> output_adapter",
        "output_adapter -completed-> end",
    ]


def test_without_a_definition_start_leads_to_end():
    made = compiled("s", None, module="steps.s", needs=[], emits="s_done", registry={})
    assert edges(made) == ["start -completed-> end"]
    assert made.boundary[0]["config"]["fields"] == {}
    assert made.agent_ids == ["s__start", "s__end"]


def test_a_type_says_what_is_done():
    assert completed("s__a") == "s__a_completed"
