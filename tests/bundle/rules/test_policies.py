"""Policies that cannot be kept."""

import pytest

from mnedge.bundle.rules import policies
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check


def policy(**changes):
    return lambda p: p.manifest["policies"].update(changes)


def restart(**changes):
    return policy(restart=changes)


AT = "policies.restart"

CASES = [
    Case(
        "R-04",
        policy(recovery_mode="hope"),
        "policies.recovery_mode",
        "recovery_mode 'hope'",
        ["auto", "local_restart", "cluster_recover", "manual_recover"],
    ),
    Case("R-04", policy(recovery_mode=[]), "policies.recovery_mode", "unsupported recovery_mode"),
    Case("R-05", policy(job_type="daemon"), "policies.job_type", "unsupported job_type"),
    Case(
        "R-05",
        policy(scheduler={"job_type": 3}),
        "policies.scheduler.job_type",
        "unsupported job_type",
        ["batch", "service", "system", "sysbatch"],
    ),
    Case("R-05", policy(scheduler="spread"), "policies.scheduler", "must be an object"),
    Case("R-06", policy(restart=3), AT, "must be an object"),
    Case("R-06", restart(attempts=-1), f"{AT}.attempts", "at least 0"),
    Case("R-06", restart(interval_ms=0), f"{AT}.interval_ms", "above 0"),
    Case("R-06", restart(delay_ms="1s"), f"{AT}.delay_ms", "at least 0"),
    Case(
        "R-06",
        restart(delay_function="cubic"),
        f"{AT}.delay_function",
        "delay function",
        ["constant", "exponential", "fibonacci"],
    ),
    Case("R-06", restart(mode="retry"), f"{AT}.mode", "fail or delay"),
    Case(
        "R-06",
        policy(reschedule={"unlimited": "yes"}),
        "policies.reschedule.unlimited",
        "must be a boolean",
    ),
    Case(
        "R-06",
        policy(max_agent_restart_attempts=-1),
        "policies.max_agent_restart_attempts",
        "at least 0",
    ),
    Case(
        "R-06",
        lambda p: p.agent("sink").update(policies={"restart": {"attempts": "x"}}),
        "nodes[2].policies.restart.attempts",
        "at least 0",
    ),
    Case(
        "R-07",
        policy(update={"strategy": "yolo"}),
        "policies.update.strategy",
        "a strategy",
        ["rolling", "canary", "blue-green"],
    ),
    Case("R-07", policy(update={"max_parallel": 0}), "policies.update.max_parallel", "at least 1"),
    Case("R-07", policy(update={"health_check": "x"}), "policies.update.health_check", "checks or"),
    Case("R-07", policy(update={"auto_revert": 1}), "policies.update.auto_revert", "boolean"),
    Case("R-07", policy(update=[]), "policies.update", "must be an object"),
    Case("R-07", lambda p: p.manifest.update(deployment="api"), "deployment", "must be an object"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(policies, CASES)


def test_the_policies_of_the_manual_are_right():
    parts = Parts()
    parts.manifest["policies"] = {
        "recovery_mode": "local_restart",
        "scheduler": {"job_type": "batch", "strategy": "spread"},
        "restart": {
            "attempts": 3,
            "interval_ms": 600000,
            "delay_ms": 1000,
            "delay_function": "exponential",
            "max_delay_ms": 30000,
            "mode": "fail",
        },
        "reschedule": {"unlimited": True, "delay_ms": 5000},
        "update": {"strategy": "canary", "canary": 1, "max_parallel": 1, "auto_revert": True},
    }
    assert parts.opened("strict").problems == []
