"""Steps that never start, never end, or say what nobody understands."""

import pytest

from mnedge.bundle.rules import steps
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


def slow_beacons(p: Parts):
    p.settings("reader").update(beacon_interval_ms=6000)


def problems(edit, form=C):
    parts = good(form)
    edit(parts)
    return rules_of(parts.opened("strict").problems)


CASES = [
    Case(
        "W-13",
        control("read", failure_policy="explode"),
        "workflow.steps[0].control.failure_policy",
        "read as fail_workflow",
        weight="W",
        form=C,
    ),
    Case(
        "W-14",
        step("read", control=[]),
        "workflow.steps[0].control",
        "an object",
        form=C,
        also=("W-15",),
    ),
    Case(
        "W-14",
        control("read", retry=3),
        "workflow.steps[0].control.retry",
        "an object",
        form=C,
        also=("W-15",),
    ),
    Case(
        "W-14",
        retry("read", max_attempts=0),
        "workflow.steps[0].control.retry.max_attempts",
        "at least 1",
        form=C,
    ),
    Case(
        "W-14",
        retry("read", max_attempts=1.5),
        "flow.steps[0].control.retry.max_attempts",
        "at least 1",
        form=B,
    ),
    Case(
        "W-14",
        control("read", max_attempts="2"),
        "workflow.steps[0].control.max_attempts",
        "at least 1",
        form=C,
    ),
    Case(
        "W-14",
        retry("read", backoff_seconds=-1),
        "workflow.steps[0].control.retry.backoff_seconds",
        "at least 0",
        form=C,
    ),
    Case(
        "W-14",
        control("read", timeout_seconds=-2),
        "workflow.steps[0].control.timeout_seconds",
        "above 0",
        form=C,
        also=("W-15",),
    ),
    Case(
        "W-14",
        control("read", timeout_seconds="20"),
        "workflow.steps[0].control.timeout_seconds",
        "above 0",
        form=C,
    ),
    Case(
        "W-14",
        control("read", timeout_seconds=0),
        "workflow.steps[0].control.timeout_seconds",
        "above 0",
        weight="E/s",
        form=C,
        also=("W-15",),
    ),
    Case(
        "W-14",
        retry("read", backoff_multiplier=0),
        "workflow.steps[0].control.retry.backoff_multiplier",
        "above 0",
        form=C,
    ),
    Case(
        "W-14",
        control("read", required=1),
        "workflow.steps[0].control.required",
        "a boolean",
        form=C,
    ),
    Case(
        "W-14",
        control("read", uncertainty={"min_confidence": 7}),
        "workflow.steps[0].control.uncertainty.min_confidence",
        "from 0 to 1",
        form=C,
    ),
    Case(
        "W-14",
        lambda p: p.workflow["dynamic"]["templates"]["dig"]["control"].update(timeout_seconds=-1),
        "workflow.dynamic.templates.dig.control.timeout_seconds",
        "of step dig must be above 0",
        form="as_dynamic",
    ),
    Case(
        "W-15",
        lambda p: p.step("read").pop("control"),
        "workflow.steps[0].control",
        "does not say timeout_seconds, retry.max_attempts",
        weight="E/s",
        form=C,
    ),
    Case(
        "W-15",
        control("read", timeout_seconds=None),
        "flow.steps[0].control",
        "does not say timeout_seconds",
        ["timeout_seconds"],
        weight="E/s",
        form=B,
    ),
    Case(
        "W-29",
        step("read", emits="other"),
        "workflow.steps[0].emits",
        "emits 'other'",
        weight="W",
        form=C,
    ),
    Case(
        "W-32",
        slow_beacons,
        "agents.nodes[1].config.beacon_interval_ms",
        "every 6000 ms",
        weight="W",
        form=C,
    ),
    Case(
        "W-32",
        control("read", beacon_timeout_ms=30000),
        "workflow.steps[0].control.beacon_timeout_ms",
        "30000 ms for a beacon, but only 20 s",
        weight="W",
        form=C,
    ),
    Case(
        "W-34",
        control("read", timeout_seconds=90),
        "workflow.steps[0].control.timeout_seconds",
        "may take 90 s, the run 60 s",
        60,
        weight="W",
        form=C,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(steps, CASES)


def test_where_a_service_starts_may_take_for_ever():
    def edit(p):
        p.manifest["type"] = "service"
        p.control("read").pop("timeout_seconds")

    assert problems(edit) == []


def test_flat_numbers_of_a_control_count():
    def edit(p):
        del p.control("read")["retry"]
        p.control("read").update(max_attempts=2, retry_backoff_ms=0)

    assert problems(edit) == []


def test_the_jobs_liveness_counts_as_a_setting_of_its_executors():
    def edit(p):
        for name in ("agent_beacon_required", "beacon_enabled"):
            p.settings("reader").pop(name)
        p.manifest["runtime"]["workflow_control"]["liveness"] = {"required": False}

    assert problems(edit) == []
