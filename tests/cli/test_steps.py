"""Steps follow from the events of the ledger, or from the ledger itself."""

import pytest

from mnedge.cli.steps import (
    StepProgress,
    from_ledger,
    seconds_of,
    stop,
    take_scatter,
    take_step,
    why,
    with_instances,
)
from mnedge.model.message import iso_ms


class Ledger:
    """Steps that events are told of."""

    def __init__(self):
        self.steps = {"s": StepProgress(step_id="s", max_attempts=3)}

    def tell(self, event_type, step_id="s", at=10.0, **payload):
        take_step(self.steps, step_id, f"workflow_step_{event_type}", payload, at)
        return self.steps[step_id]


def test_a_step_goes_from_blocked_to_completed():
    ledger = Ledger()
    waits = [{"from": "a", "status": "running"}, {"from": "b", "status": "pending"}]
    step = ledger.tell("blocked", reason="waiting for workflow dependencies", blocked_on=waits)
    assert (step.status, step.blocked_on) == ("blocked", ["a", "b"])
    step = ledger.tell("attempt_started", attempt=1, status="running")
    assert (step.status, step.attempts, step.started_at, step.blocked_on) == (
        "running",
        1,
        10.0,
        (),
    )
    step = ledger.tell("beacon", at=12.0, status="working")
    assert (step.status, step.beacon_at) == ("running", 12.0)
    step = ledger.tell("completed", outcome="success")
    assert (step.status, step.outcome, step.beacon_at, step.over) == (
        "completed",
        "success",
        None,
        True,
    )


def test_a_retry_has_its_moment_and_its_reason():
    ledger = Ledger()
    ledger.tell("attempt_started", attempt=1)
    ledger.tell("attempt_timed_out", reason="deadline exceeded")
    step = ledger.tell(
        "attempt_retry_scheduled", attempt=1, retry_at=iso_ms(42.5), reason="deadline exceeded"
    )
    assert (step.status, step.retry_at, step.reason) == ("retry_wait", 42.5, "deadline exceeded")
    step = ledger.tell("attempt_started", attempt=2)
    assert (step.retry_at, step.reason, step.attempts) == (None, "", 2)


@pytest.mark.parametrize("late", ["beacon", "attempt_completed", "stale_output_ignored"])
def test_late_words_change_nothing_about_what_is_over(late):
    ledger = Ledger()
    ledger.tell("failed", reason="broken")
    assert ledger.tell(late, status="running").status == "failed"


def test_a_failure_that_is_handled_ends_as_it_was_resolved():
    ledger = Ledger()
    ledger.tell("failed", reason="broken", handled=True)
    assert ledger.tell("partial", reason="broken").status == "partial"


def test_a_pause_holds_a_step_up_for_its_reason():
    assert Ledger().tell("blocked", reason="job paused").blocked_on == ["job paused"]


def test_instances_take_the_place_of_their_target():
    steps = {name: StepProgress(step_id=name) for name in ("split", "work", "join")}
    ids = ["work[0]", "work[1]"]
    take_scatter(steps, {"targets": ["work"], "instance_ids": ids, "count": 2}, "split")
    assert (steps["work"].status, steps["work"].outcome) == ("skipped", "mapped")
    assert list(steps)[-2:] == ids
    assert steps["work[1]"].blocked_on == ("split",)
    take_scatter(steps, {"targets": ["join"], "instance_ids": [], "count": 0}, "split")
    assert steps["join"].status == "pending"


def test_a_ledger_is_read_as_it_is_shown():
    record = {
        "id": "s",
        "status": "running",
        "terminal_outcome": None,
        "attempt_count": 2,
        "max_attempts": 3,
        "current_attempt": "s:attempt:2",
        "attempts": [
            {"started_at": iso_ms(5.0)},
            {"started_at": iso_ms(9.0), "last_beacon_at": iso_ms(11.0)},
        ],
        "retry_at": None,
        "terminal_reason": None,
    }
    waits = {
        "id": "t",
        "status": "retry_wait",
        "attempts": [{"error": {"desc": "x", "details": {"message": "exit code 3"}}}],
        "attempt_count": 1,
        "retry_at": iso_ms(20.0),
        "blocked_on": [{"from": "s", "status": "running"}],
    }
    workflow = {"step_order": ["t", "s"], "steps": {"s": record, "t": waits}}
    second, first = from_ledger(workflow).values()
    assert first == StepProgress(
        step_id="s",
        status="running",
        attempts=2,
        max_attempts=3,
        started_at=9.0,
        beacon_at=11.0,
        blocked_on=[],
    )
    assert (second.retry_at, second.reason, second.blocked_on) == (20.0, "exit code 3", ["s"])
    assert from_ledger({"schema_version": 3, "enabled": False}) == {}


def test_a_reason_is_a_text_or_the_message_of_an_error():
    assert why({"reason": "r", "error": {"desc": "d"}}) == "r"
    assert why({"error": {"desc": "d", "details": {"message": ""}}}) == "d"
    assert why({"error": 7}) == ""


def test_a_moment_that_is_none_is_none():
    assert seconds_of("soon") is None
    assert seconds_of(None) is None


def test_steps_of_a_job_that_is_over_have_stopped():
    ledger = {
        "status": "failed",
        "step_order": ["a", "b", "c"],
        "steps": {
            "a": {"id": "a", "status": "failed"},
            "b": {"id": "b", "status": "running"},
            "c": {"id": "c", "status": "pending"},
        },
    }
    assert [step.stopped for step in from_ledger(ledger).values()] == [False, True, False]
    assert not any(step.stopped for step in from_ledger(ledger | {"status": "paused"}).values())


def test_instances_stand_behind_the_step_that_they_came_from():
    order = ["a", "work", "end", "work[0]", "work[1]", "work[0][0]", "other[0]"]
    assert with_instances(order) == [
        "a", "work", "work[0]", "work[0][0]", "work[1]", "end", "other[0]",
    ]  # fmt: skip


def test_what_was_under_way_stops_with_its_job():
    steps = [
        StepProgress(step_id=status, status=status)
        for status in ("running", "pending", "completed")
    ]
    stop(steps)
    assert [step.stopped for step in steps] == [True, False, False]
