"""The agent graph that a source expands to."""

from mnedge.bundle.source.agents import is_terminal
from tests.bundle.source.making import edges, expanded, node, source, steps, with_definition

A = {"id": "a", "needs": [], "run": {"handler": "steps.a"}}
B = {"id": "b", "needs": ["a"], "run": {"handler": "steps.b"}}


def ids(found):
    return [one["node_id"] for one in found.manifest["agents"]["nodes"]]


def test_workers_come_first_and_extra_agents_last():
    found = expanded(source())
    assert ids(found) == ["read_gauge", "judge", "siren"]
    assert found.manifest["agents"]["schema"] == "mn.agents.communication_graph/v1"


def test_what_the_source_says_about_agents_besides_is_kept():
    made = source()
    made["agents"] |= {"auxiliary_entrypoints": ["siren"], "registry": {"x": {"handler": "m"}}}
    agents = expanded(made).manifest["agents"]
    assert agents["auxiliary_entrypoints"] == ["siren"]
    assert agents["registry"] == {"x": {"handler": "m"}}
    assert "extra_nodes" not in agents


def test_entrypoints_are_where_steps_without_needs_start():
    made = steps(A, A | {"id": "c"}, B)
    assert expanded(made).manifest["agents"]["entrypoints"] == ["a", "c"]
    made["agents"]["entrypoints"] = ["siren"]
    assert expanded(made).manifest["agents"]["entrypoints"] == ["siren"]


def test_an_agent_edge_carries_the_type_of_its_step_edge():
    made = steps(A | {"emits": ["a_out", "other"]}, B, B | {"id": "c", "needs": []})
    assert edges(expanded(made)) == [("a", "b", "a_out")]
    made["workflow"]["edges"] = [
        {"id": "one", "from": "a", "to": "b", "event": "an_event"},
        {"id": "two", "from": "b", "to": "c"},
    ]
    assert edges(expanded(made)) == [("a", "b", "an_event"), ("b", "c", "b_completed")]


def test_extra_edges_are_added_as_they_are_and_none_is_doubled():
    made = source()
    extra = [
        {
            "edge_id": "mine",
            "from_node": "judge",
            "to_node": "siren",
            "message_type": "judge_completed",
        },
        {"edge_id": "back", "from_node": "siren", "to_node": "judge", "message_type": "again"},
    ]
    made["agents"]["extra_edges"] = extra
    found = expanded(made).manifest["agents"]["edges"]
    assert [edge["edge_id"] for edge in found] == ["read_gauge_to_judge", "mine", "back"]
    assert found[1:] == extra


def test_edges_that_a_patch_may_take_are_left_to_the_ledger():
    made = steps(A, B)
    made["workflow"]["dynamic"] = {
        "regions": [{"strategy": "replace_path", "mutable_edges": ["a_to_b"]}]
    }
    assert edges(expanded(made)) == []
    made["workflow"]["dynamic"]["regions"][0]["strategy"] = "checkpoint_fanout"
    assert edges(expanded(made)) == [("a", "b", "a_completed")]


def test_a_step_may_have_no_agent_at_all():
    made = steps(A, B | {"worker": {"enabled": False}})
    found = expanded(made)
    assert "b" not in ids(found)
    assert edges(found) == []


def test_templates_of_agents_are_filled_in_where_they_are_known():
    made = source()
    made["agents"]["extra_templates"] = [
        {
            "node_id": "done",
            "uses": "mn-agents.control.terminal_sink@1",
            "with": {"stereotype": "terminal_report_sink"},
        },
        {"node_id": "odd", "uses": "mn-agents.nobody@1", "with": {}},
    ]
    found = expanded(made)
    assert node(found, "done")["agent_type"] == "aggregator"
    assert is_terminal(node(found, "done"))
    assert "agent_type" not in node(found, "odd")


def test_a_step_with_a_definition_brings_an_end_of_the_run():
    made, files = with_definition()
    made["workflow"]["steps"] += [
        {"id": "b", "needs": ["look"], "run": {"handler": "steps.b"}, "emits": "b_out"},
        {"id": "c", "needs": ["look"], "run": {"handler": "steps.c"}},
    ]
    found = expanded(made, files)
    terminal = node(found, "workflow__terminal")
    assert (terminal["agent_type"], terminal["type"]) == ("aggregator", "reduce")
    assert terminal["config"] == {"complete_after": 2, "complete_run": True, "terminal_sink": True}
    assert edges(found)[-2:] == [
        ("b", "workflow__terminal", "b_out"),
        ("c", "workflow__terminal", "c_completed"),
    ]
    assert ("look__end", "b", "look_completed") in edges(found)


def test_no_end_is_added_where_there_is_one():
    made, files = with_definition()
    made["agents"]["extra_nodes"] = [{"node_id": "end", "config": {"terminal_sink": True}}]
    assert "workflow__terminal" not in ids(expanded(made, files))
    assert not is_terminal({"config": {"terminal_sink": "yes"}})


def test_an_agent_that_is_given_again_takes_the_place_of_the_worker():
    made = source()
    own = {"node_id": "judge", "agent_type": "router", "type": "map", "config": {}}
    made["agents"]["extra_nodes"].append(own)
    found = expanded(made)
    assert ids(found) == ["read_gauge", "judge", "siren"]
    assert node(found, "judge") == own
