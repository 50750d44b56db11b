"""Completion that only works by chance."""

import pytest

from mnedge.bundle.rules import completion
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check


def sink(**config):
    return lambda p: p.agent("sink").update(config=config)


CASES = [
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
