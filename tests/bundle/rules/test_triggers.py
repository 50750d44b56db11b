"""Steps that never start, or never can."""

import pytest

from mnedge.bundle.rules import triggers
from tests.bundle.making import (
    Case,
    Parts,
    assert_every_rule_has_a_case,
    check,
    good,
    rules_of,
)

C, B = "as_workflow", "as_steps"


def step(name, **changes):
    return lambda p: p.step(name).update(changes)


def control(name, **changes):
    return lambda p: p.control(name).update(changes)


def retry(name, **changes):
    return lambda p: p.control(name)["retry"].update(changes)


def a_third(p: Parts, **changes):
    """Add a step between the two, beside the edge that joins them."""
    p.workflow["steps"].insert(1, {**p.step("read"), "id": "third", **changes})
    p.step_edges.append({"id": "a", "from": "read", "to": "third"})
    p.step_edges.append({"id": "b", "from": "third", "to": "check"})
    p.manifest["runtime"]["bindings"]["third"] = {}


def a_branch(p: Parts):
    a_third(p)
    p.step("read")["kind"] = "branch"


def failures_accepted(p: Parts):
    p.step_edges[0]["accepts"] = ["done", "failed"]


def problems(edit, form=C):
    parts = good(form)
    edit(parts)
    return rules_of(parts.opened("strict").problems)


CASES = [
    Case(
        "W-16",
        step("read", trigger_rule="sometimes"),
        "workflow.steps[0].trigger_rule",
        "invalid trigger rule 'sometimes'",
        form=C,
    ),
    Case(
        "W-16",
        step("check", trigger_rule={"rule": 3}),
        "flow.steps[1].trigger_rule",
        "invalid trigger rule 3",
        form=B,
    ),
    Case(
        "W-16",
        control("check", trigger_rule="x"),
        "workflow.steps[1].control.trigger_rule",
        "invalid",
        form=C,
    ),
    Case(
        "W-16",
        step("check", trigger_rule="quorum"),
        "workflow.steps[1].trigger_rule",
        "needs a positive quorum",
        form=C,
    ),
    Case(
        "W-16",
        step("check", trigger_rule={"rule": "quorum_success", "quorum": 0}),
        "workflow.steps[1].trigger_rule",
        "needs a positive quorum",
        form=C,
    ),
    Case(
        "W-16",
        lambda p: p.workflow.update(graph={"join_default": "x"}),
        "workflow.graph.join_default",
        "invalid trigger rule",
        form=C,
    ),
    Case(
        "W-17",
        step("check", trigger_rule={"rule": "quorum_success", "quorum": 2}),
        "workflow.steps[1].trigger_rule",
        "quorum 2 of step check exceeds its 1 upstream",
        1,
        form=C,
    ),
    Case(
        "W-17",
        step("read", trigger_rule="one_failed"),
        "flow.steps[0].trigger_rule",
        "nothing leads to it",
        form=B,
    ),
    Case(
        "W-17",
        step("read", trigger_rule="none_failed_min_one_success"),
        "workflow.steps[0].trigger_rule",
        "nothing leads to it",
        form=C,
    ),
    Case("W-18", step("check", join="all"), "workflow.steps[1].join", "must be an object", form=C),
    Case(
        "W-18",
        step("check", join={"mode": "most"}),
        "workflow.steps[1].join.mode",
        "no trigger rule",
        form=C,
        also=("W-16",),
    ),
    Case(
        "W-18",
        step("check", join={"mode": "all_required", "min_success": 0}),
        "workflow.steps[1].join.min_success",
        "at least 1",
        form=C,
    ),
    Case(
        "W-26",
        failures_accepted,
        "workflow.edges[0].accepts",
        "accepts lists failed",
        weight="W",
        form=C,
    ),
    Case(
        "W-27",
        step("check", trigger_rule="one_failed"),
        "workflow.steps[1]",
        "failure of read ends the job",
        weight="W",
        form=C,
    ),
    Case(
        "W-27",
        step("check", trigger_rule="all_done"),
        "flow.steps[1]",
        "failure of read ends the job",
        weight="W",
        form=B,
    ),
    Case("W-28", a_branch, "workflow.edges[2]", "waits for success of third", weight="W", form=C),
    Case(
        "W-30",
        step("check", join={"mode": "min_success", "min_success": 1}),
        "workflow.steps[1].join.mode",
        "min_success",
        "quorum_success",
        weight="W",
        form=C,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(triggers, CASES)


def test_a_handler_behind_a_handled_failure_is_right():
    def edit(p):
        p.control("read")["failure_policy"] = "continue"
        p.step("check")["trigger_rule"] = "any_failed"

    assert problems(edit) == []


def test_the_exit_of_a_region_may_get_more_parents():
    rule = {"rule": "quorum", "count": 3}
    assert problems(lambda p: p.step("check").update(trigger_rule=rule), "as_dynamic") == []
    assert problems(lambda p: p.step("check").update(trigger_rule=rule)) == ["W-17"]


def test_a_join_that_takes_skipped_ways_is_right():
    def edit(p):
        a_branch(p)
        p.step("check")["trigger_rule"] = "none_failed_min_one_success"

    assert problems(edit) == []
