"""Graphs that lead nowhere."""

import pytest

from mnedge.bundle.kinds import kind_of
from mnedge.bundle.rules import graph
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check, root


def edge(**changes):
    return lambda p: p.manifest["edges"][1].update(changes)


def edgeless(key):
    return lambda p: p.manifest["edges"][1].pop(key)


def twin_edges(p: Parts):
    p.manifest["edges"].append({**p.manifest["edges"][0], "message_type": "*", "edge_id": "e2"})


def rootless(p: Parts):
    del p.manifest["entrypoints"]
    p.agent("intake")["role"] = "intake"


def cut_off(p: Parts):
    p.manifest["edges"].pop(0)
    p.agent("reader")["agent_type"] = "aggregator"
    p.agent("reader")["type"] = "reduce"


CASES = [
    Case("E-01", rootless, "entrypoints", "at least one entrypoint"),
    Case("E-01", root(entrypoints={"a": 1}), "entrypoints", "must be a list", "a list of node ids"),
    Case(
        "E-02",
        root(entrypoints=["intake", "gone"]),
        "entrypoints[1]",
        "entrypoint gone",
        ["intake", "reader", "sink"],
    ),
    Case("E-02", root(entrypoints="gone"), "entrypoints", "entrypoint gone"),
    Case("E-02", root(entrypoints=[5]), "entrypoints[0]", "entrypoint 5"),
    Case(
        "E-03",
        edge(to_node="gone"),
        "edges[1].to_node",
        "edge e2 references missing to_node gone",
        ["intake", "reader", "sink"],
    ),
    Case("E-03", edgeless("from_node"), "edges[1].from_node", "missing from_node None"),
    Case("E-04", edge(message_type=""), "edges[1].message_type", "edge e2 must define"),
    Case("E-05", root(initial_inputs="go"), "initial_inputs", "object or list"),
    Case(
        "E-06",
        root(initial_inputs={"sink": [{}]}),
        "initial_inputs.sink",
        "no entrypoint",
        ["intake"],
        weight="W",
    ),
    Case(
        "E-07",
        edge(routing_mode="random"),
        "edges[1].routing_mode",
        "routing_mode random",
        ["broadcast", "first_match", "all_match"],
    ),
    Case(
        "E-08",
        edge(conditions={"all": [{"path": "payload.x", "op": "~", "value": 1}]}),
        "edges[1].conditions.all[0].op",
        'unknown operator "~"',
    ),
    Case("E-08", edge(conditions=[]), "edges[1].conditions", "must be an object"),
    Case("E-09", edgeless("edge_id"), "edges[1].edge_id", "edge_id is required", weight="E/s"),
    Case("E-09", twin_edges, "edges[2].edge_id", "duplicate edge_id e2", weight="E/s"),
    Case(
        "E-10",
        edge(message_type="other"),
        "nodes[1].config",
        "emits 'reading', but no edge",
        weight="W",
    ),
    Case(
        "E-10",
        lambda p: p.manifest["edges"][0].update(message_type="other"),
        "edges[0].message_type",
        "waits for 'other'",
        "reading_requested",
        weight="W",
    ),
    Case("E-11", cut_off, "nodes[1]", "agent 'reader' cannot be reached", weight="W"),
    Case("E-12", root(edges={}), "edges", "must be a list", "a list"),
    Case("E-12", lambda p: p.manifest["edges"].append("e3"), "edges[2]", "edge number 3 must be"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(graph, CASES)


def test_a_cyclic_agent_graph_is_right():
    parts = Parts()
    parts.manifest["edges"].append(
        {"edge_id": "e3", "from_node": "reader", "to_node": "intake", "message_type": "again"}
    )
    assert parts.opened("strict").problems == []


def test_a_root_role_is_an_entrypoint():
    parts = Parts()
    del parts.manifest["entrypoints"]
    assert parts.opened("strict").problems == []


def test_what_a_worker_may_address_is_not_called_unreachable():
    parts = Parts()
    parts.manifest["nodes"].append(
        {
            "node_id": "spare",
            "agent_type": "aggregator",
            "config": {"complete_after": 2, "output_message_type": "done", "target_node": "sink"},
        }
    )
    assert parts.opened("strict").problems == []


def test_agents_that_nothing_reaches_are_found_in_one_pass(monkeypatch):
    looks = 0

    def counted(rendered):
        nonlocal looks
        looks += 1
        return kind_of(rendered)

    monkeypatch.setattr(graph, "kind_of", counted)
    parts = Parts()
    parts.manifest["nodes"] = [{"node_id": str(n), "agent_type": "router"} for n in range(300)]
    found = [one for one in parts.opened("strict").problems if one.rule == "E-11"]
    assert len(found) == 300
    assert looks < 300 * 10
