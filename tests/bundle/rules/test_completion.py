"""Completion that only works by chance, or not at all."""

import pytest

from mnedge.bundle.rules import completion
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check, good, rules_of


def sink(**config):
    return lambda p: p.agent("sink").update(config=config)


def reader(**config):
    return lambda p: p.settings("reader").update(config)


def second_way_out(p: Parts):
    p.manifest["agents"]["edges"].append(
        {"edge_id": "e4", "from_node": "sink", "to_node": "intake", "message_type": "again"}
    )


AT = "agents.nodes[1].config"

CASES = [
    Case(
        "K-01",
        reader(complete_job=True),
        f"{AT}.complete_job",
        "'reader' uses complete_job",
        form="as_workflow",
    ),
    Case("K-01", reader(**{"complete_job?": 1}), f"{AT}.complete_job?", "uses", form="as_dynamic"),
    Case(
        "K-02",
        sink(complete_on_message=True, terminal_sink=True),
        "agents.nodes[3].config.complete_on_message",
        "requires output_message_type",
        form="as_workflow",
        also=("K-06",),
    ),
    Case(
        "K-03",
        sink(complete_after="3", complete_run=True),
        "flow.nodes[3].config.complete_after",
        "requires output_message_type",
        form="as_steps",
        also=("K-06",),
    ),
    Case(
        "K-04",
        reader(complete_run=True),
        f"{AT}.complete_run",
        "does a step's work",
        form="as_workflow",
    ),
    Case(
        "K-05",
        second_way_out,
        "agents.edges[3].from_node",
        "terminal sink sink must not",
        form="as_workflow",
    ),
    Case(
        "K-06",
        sink(complete_on_message=True, output_message_type="done"),
        "agents.nodes",
        "a terminal sink",
        form="as_workflow",
    ),
    Case(
        "K-20",
        sink(complete_on_message=True),
        "nodes[2].config",
        "without terminal_sink",
        weight="W",
    ),
    Case(
        "K-20",
        sink(complete_after="3", terminal_sink=True),
        "nodes[2].config",
        "without terminal_sink",
        weight="W",
    ),
    Case(
        "K-21",
        lambda p: p.settings("reader").update(complete_job=True),
        "nodes[1].config.complete_job",
        "read as complete_run",
        "complete_run",
        weight="W",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(completion, CASES)


def test_an_aggregator_that_emits_completes_nothing():
    parts = Parts()
    parts.settings("intake").pop("emit_type")
    parts.agent("intake").update(
        agent_type="aggregator",
        type="reduce",
        config={"complete_after": 3, "output_message_type": "reading_requested"},
    )
    assert parts.opened("strict").problems == []


def test_a_service_needs_no_sink():
    parts = good("as_workflow")
    parts.manifest["type"] = "service"
    parts.agent("sink")["config"] = {"complete_on_message": True, "output_message_type": "done"}
    assert "K-06" not in rules_of(parts.opened("strict").problems)


def test_a_graph_without_steps_needs_no_sink():
    parts = good("as_steps")
    del parts.manifest["flow"]["steps"], parts.manifest["flow"]["graph"]
    del parts.manifest["flow"]["entrypoint"]
    parts.settings("sink").pop("complete_run")
    parts.settings("sink")["output_message_type"] = "done"
    assert "K-06" not in rules_of(parts.opened("strict").problems)


def test_a_sink_may_be_called_like_a_step_that_another_agent_does():
    parts = good("as_workflow")
    parts.step("check")["id"] = "sink"
    parts.step_edges[0]["to"] = parts.workflow["sink"] = "sink"
    parts.manifest["runtime"]["bindings"]["sink"] = parts.manifest["runtime"]["bindings"].pop(
        "check"
    )
    assert rules_of(parts.opened("strict").problems) == []
