"""Agents that cannot be."""

import pytest

from mnedge.bundle.rules import agents
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check


def agent(name, **changes):
    return lambda p: p.agent(name).update(changes)


def module(p: Parts):
    p.agent("reader").update(agent_type="module", config={"output_message_type": "reading"})


CASES = [
    Case(
        "N-01",
        lambda p: p.manifest.update(nodes=[]),
        "nodes",
        "must not be empty",
        also=("E-02", "E-03"),
    ),
    Case(
        "N-02",
        lambda p: p.manifest["nodes"].append({"agent_type": "router"}),
        "nodes[3].node_id",
        "number 4 has none",
    ),
    Case("N-02", lambda p: p.manifest["nodes"].append("reader"), "nodes[3]", "must be an object"),
    Case(
        "N-02",
        lambda p: p.manifest["nodes"].append({"node_id": "a\0b", "agent_type": "sensor"}),
        "nodes[3].node_id",
        "is no name",
        "at most 200 printable characters",
    ),
    Case(
        "N-02",
        lambda p: p.manifest["nodes"].append({"node_id": "a" * 201, "agent_type": "sensor"}),
        "nodes[3].node_id",
        "is no name",
    ),
    Case(
        "N-03",
        lambda p: p.manifest["nodes"].append(dict(p.agent("sink"))),
        "nodes[3].node_id",
        "duplicate node_id sink (first at nodes[2])",
    ),
    Case(
        "N-04",
        agent("reader", agent_type="wizard"),
        "nodes[1].agent_type",
        'unsupported agent_type "wizard" for node reader',
    ),
    Case(
        "N-04",
        agent("reader", agent_type=None),
        "nodes[1].agent_type",
        'unsupported agent_type "None"',
    ),
    Case(
        "N-05",
        agent("reader", type="magic"),
        "nodes[1].type",
        'unsupported template type "magic" for node reader',
        ["generic", "map", "reduce", "stream", "batch"],
    ),
    Case("N-05", agent("reader", type=["map"]), "nodes[1].type", "unsupported template type"),
    Case(
        "N-06",
        agent("sink", config="x"),
        "nodes[2].config",
        "config for node sink must be an",
        "an object",
    ),
    Case("N-06", agent("sink", policies=[]), "nodes[2].policies", "must be an object"),
    Case("N-06", agent("sink", constraints=5), "nodes[2].constraints", "an object or a list"),
    Case(
        "N-13",
        agent("intake", type="reduce"),
        "nodes[0].type",
        'template type "reduce" is not supported for agent_type "router" on node intake',
        ["generic", "map"],
    ),
    Case(
        "N-15",
        lambda p: p.manifest["nodes"].append({"node_id": "worker", "agent_type": "sensor"}),
        "nodes[3].alias",
        "no alias",
        weight="W",
    ),
    Case(
        "N-40",
        module,
        "nodes[1].config.module",
        "requires config.module",
        "python:package.module:Class",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(agents, CASES)


@pytest.mark.parametrize("alias", ["relay", "sandbox_worker", "collector"])
def test_old_names_of_agent_types_are_read(alias):
    parts = Parts()
    kind = {"relay": "intake", "sandbox_worker": "reader", "collector": "sink"}[alias]
    parts.agent(kind)["agent_type"] = alias
    assert parts.opened("strict").problems == []


def test_an_empty_type_is_generic():
    parts = Parts()
    parts.agent("reader")["type"] = ""
    assert parts.opened("strict").problems == []


def test_an_agent_without_an_id_is_called_by_its_number():
    parts = Parts()
    parts.manifest["nodes"].append({"agent_type": "wizard"})
    messages = [p.message for p in parts.opened().errors]
    assert 'unsupported agent_type "wizard" for node number 4' in messages
