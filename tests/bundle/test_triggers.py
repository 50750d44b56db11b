"""When a step starts, in the words of every age."""

import pytest

from mnedge.bundle.triggers import (
    POLICY_NAMES,
    RULE_NAMES,
    policy_named,
    rule_named,
    trigger_of,
)
from mnedge.model.states import FailurePolicy, TriggerRule


@pytest.mark.parametrize(
    "name, rule",
    [
        ("all_success", TriggerRule.ALL_SUCCESS),
        ("all_required", TriggerRule.ALL_SUCCESS),
        ("all_done", TriggerRule.ALL_DONE),
        ("any_success", TriggerRule.ONE_SUCCESS),
        ("any_done", TriggerRule.ONE_DONE),
        ("any_failed", TriggerRule.ONE_FAILED),
        ("partial_success", TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS),
        ("quorum", TriggerRule.QUORUM_SUCCESS),
        ("min_success", TriggerRule.QUORUM_SUCCESS),
        ("ALL_SUCCESS", None),
        ("", None),
        (None, None),
        (3, None),
        ([], None),
    ],
)
def test_a_rule_has_one_meaning_under_each_of_its_names(name, rule):
    assert rule_named(name) is rule


def test_every_name_of_a_rule_is_known():
    assert {rule_named(name) for name in RULE_NAMES} == set(TriggerRule)
    assert {policy_named(name) for name in POLICY_NAMES} == set(FailurePolicy)


@pytest.mark.parametrize(
    "name, policy",
    [
        ("fail_workflow", FailurePolicy.FAIL_WORKFLOW),
        ("fail_closed", FailurePolicy.FAIL_WORKFLOW),
        ("fail_run", FailurePolicy.FAIL_WORKFLOW),
        ("fail", FailurePolicy.FAIL_WORKFLOW),
        ("partial", FailurePolicy.CONTINUE_PARTIAL),
        ("continue", FailurePolicy.CONTINUE_PARTIAL),
        ("skip", FailurePolicy.SKIP),
        ("skipped", None),
        (None, None),
        ({}, None),
    ],
)
def test_a_failure_policy_has_one_meaning_under_each_of_its_names(name, policy):
    assert policy_named(name) is policy


@pytest.mark.parametrize(
    "step, rule, key",
    [
        (
            {"trigger_rule": "all_done", "control": {"trigger_rule": "x"}},
            "all_done",
            "trigger_rule",
        ),
        ({"control": {"trigger_rule": "one_done"}, "join": {"mode": "x"}}, "one_done", "control"),
        ({"join": {"trigger_rule": "one_done", "rule": "x", "mode": "y"}}, "one_done", "join"),
        ({"join": {"rule": "any_done", "mode": "y"}}, "one_done", "join"),
        ({"join": {"mode": "all_required"}}, "all_success", "join"),
        ({"trigger_rule": None, "join": []}, "one_success", None),
    ],
)
def test_the_first_place_that_names_a_rule_counts(step, rule, key):
    found = trigger_of(step, "any_success")
    assert found.rule == rule
    assert found.key[:1] == ((key,) if key else ())


def test_where_nothing_names_a_rule_all_parents_must_succeed():
    assert trigger_of({}).rule is TriggerRule.ALL_SUCCESS
    assert trigger_of({"trigger_rule": "sometimes"}).rule is None


@pytest.mark.parametrize(
    "step, quorum",
    [
        ({"trigger_rule": {"rule": "quorum_success", "quorum": 2}, "quorum": 3}, 2),
        ({"trigger_rule": {"type": "quorum", "count": "4"}}, 4),
        ({"trigger_rule": {"mode": "quorum", "minimum": 5}}, 5),
        ({"trigger_rule": "quorum", "quorum": 3, "control": {"quorum": 4}}, 3),
        ({"trigger_rule": "quorum", "control": {"quorum": 4}, "join": {"quorum": 5}}, 4),
        ({"trigger_rule": "quorum", "join": {"quorum": 5}}, 5),
        ({"join": {"mode": "min_success", "min_success": 6}}, 6),
        ({"trigger_rule": "quorum", "quorum": 0}, None),
        ({"trigger_rule": "quorum", "quorum": "-1"}, None),
        ({"trigger_rule": "quorum", "quorum": True}, None),
        ({"trigger_rule": "quorum", "quorum": "9" * 20}, None),
        ({"trigger_rule": "all_done", "quorum": 3}, None),
    ],
)
def test_the_first_usable_quorum_counts(step, quorum):
    assert trigger_of(step).quorum == quorum
