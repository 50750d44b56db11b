"""Attempts that fail, are tried again, come too late; and what a step comes to."""

import pytest

from mnedge.model.commands import StopAttempt
from mnedge.model.facts import (
    AttemptEnded,
    Completion,
    NamedEvent,
    Note,
    Noted,
    OperatorAsked,
    Outcome,
    Structured,
    TimerFired,
)
from mnedge.model.ids import derived_id
from mnedge.model.states import OutcomeStatus, Verb
from tests.engine.jobs import JOB_ID, agent, failed, succeeded
from tests.engine.ledger.flows import Run, after, flow, said, step


def lone(**more) -> Run:
    return Run(flow([step("a", **more)], []))


def test_an_attempt_says_what_it_is():
    run = lone(timeout_s=20, beacon_timeout_ms=5000)
    (started,) = run.told("workflow_step_attempt_started")
    message_id = run.out[0].message.message_id
    assert started == {
        "step": "a",
        "step_id": "a",
        "status": "running",
        "agent_id": "a",
        "attempt_id": "a:attempt:1",
        "attempt": 1,
        "deadline_at": "1970-01-01T00:02:00.000Z",
        "heartbeat_deadline_at": "1970-01-01T00:01:45.000Z",
        "idempotency_key": f"{JOB_ID}:a:1:{message_id}",
        "message_id": message_id,
    }
    assert run.out[0].idempotency_key == started["idempotency_key"]
    assert run.out[0].workflow["deadline_at"] == 120.0
    assert run.timers == {"step:a:deadline": 120.0, "step:a:heartbeat": 105.0}


def test_backoff_grows_and_the_saved_message_comes_again_under_a_new_id():
    run = lone(max_attempts=4, retry_backoff_ms=1000, retry_backoff_multiplier=2)
    first = run.out[0].message
    delays = []
    for number in range(2, 5):
        run.fail("a")
        delays.append(run.step("a").retry_at - run.at)
        assert run.statuses()["a"] == "retry_wait"
        run.fired("step:a:retry")
        wanted = f"workflow_attempt:{JOB_ID}:a:{first.message_id}:{number}"
        assert run.out[0].message.message_id == derived_id(wanted)
        assert run.out[0].message.body == first.body
        assert run.out[0].workflow["attempt"] == number
        first = run.out[0].message
    assert delays == [1, 2, 4]
    run.fail("a")
    assert run.state.status == "failed"
    assert run.step("a").attempt_count == 4


def test_a_scheduled_retry_is_told_with_its_error():
    run = lone(max_attempts=2)
    run.fail("a")
    (told,) = run.told("workflow_step_attempt_retry_scheduled")
    assert told["reason"] == "no luck"
    assert told["next_attempt"] == 2
    assert told["max_attempts"] == 2
    assert told["retry_at"] == "1970-01-01T00:01:41.000Z"
    assert told["error"]["schema_version"] == "mn.error.v1"


def test_no_backoff_tries_again_at_once():
    run = lone(max_attempts=2, retry_backoff_ms=0)
    run.fail("a")
    assert run.out[0].workflow["attempt_id"] == "a:attempt:2"


def test_a_required_step_without_attempts_left_fails_the_job():
    run = Run(flow([step("a"), step("b")], [after("a", "b")]))
    run.fail("a")
    assert run.state.status == "failed"
    assert run.statuses() == {"a": "failed", "b": "pending"}
    (told,) = run.told("job_failed")
    assert told["step_id"] == told["agent_id"] == "a"
    assert told["reason"] == "no luck"
    assert run.state.error["details"]["step_id"] == "a"
    assert run.finished.result == {"agent_id": "a", "error": "no luck", "step_id": "a"}


def test_exhausted_retries_have_their_code():
    run = lone(max_attempts=2, retry_backoff_ms=0)
    run.fail("a")
    run.fail("a")
    assert run.state.error["code"] == "workflow.step.retry_exhausted"


@pytest.mark.parametrize(
    "policy, required, status",
    [
        ("continue_partial", True, "partial"),
        ("skip", True, "skipped"),
        ("fail_workflow", False, "partial"),
    ],
)
def test_an_optional_step_is_handled_and_the_job_goes_on(policy, required, status):
    run = Run(
        flow(
            [step("a", policy=policy, required=required), step("b", "all_done")],
            [after("a", "b")],
        )
    )
    run.fail("a")
    assert (run.statuses()["a"], run.step("a").outcome) == (status, "failed")
    assert [event.type for event in run.events if event.step_id == "a"][-2:] == [
        "workflow_step_failed",
        f"workflow_step_{status}",
    ]
    assert run.told("workflow_step_failed")[0]["handled"] is True
    run.finish("b")
    assert run.state.status == "completed"


def test_a_deadline_stops_the_attempt_and_its_late_answer_is_stale():
    run = lone(max_attempts=2, timeout_s=20)
    late = run.out[0]
    run.fired("step:a:deadline")
    (told,) = run.told("workflow_step_attempt_timed_out")
    assert told["reason"] == "deadline exceeded"
    assert told["error"]["code"] == "workflow.step.timeout"
    assert [one.attempt_id for one in run.commanded(StopAttempt)] == [late.attempt_id]
    assert run.statuses()["a"] == "retry_wait"
    run.ended(late, succeeded("too late"))
    (stale,) = run.told("workflow_step_stale_output_ignored")
    assert (stale["attempt_id"], stale["attempt"]) == ("a:attempt:1", 1)
    assert run.statuses()["a"] == "retry_wait"
    run.fired("step:a:retry")
    run.finish("a")
    assert run.state.status == "completed"


def test_beacons_move_the_heartbeat_deadline():
    run = lone(timeout_s=100, beacon_timeout_ms=10_000)
    launch = run.out[0]

    def beat(at: float) -> None:
        note = Note(at=at, type="agent_beacon", agent_id="a", work_id=launch.attempt_id, launch=1)
        run.at = at
        run.give(Noted(at=at, notes=[note]))

    beat(108.0)
    assert run.step("a").current.heartbeat_deadline_at == 118.0
    run.fired("step:a:heartbeat")
    assert run.statuses()["a"] == "running"
    assert run.timers["step:a:heartbeat"] == 118.0
    assert len(run.told("workflow_step_beacon")) == 1
    run.fired("step:a:heartbeat")
    assert run.state.status == "failed"
    assert run.state.error["code"] == "workflow.step.heartbeat_timeout"


def test_a_beacon_of_an_earlier_launch_moves_nothing():
    run = lone(timeout_s=100, beacon_timeout_ms=10_000)
    note = Note(at=105.0, type="agent_beacon", work_id=run.out[0].attempt_id, launch=7)
    run.give(Noted(at=105.0, notes=[note]))
    assert run.step("a").current.heartbeat_deadline_at == 110.0


def test_a_launch_lost_in_a_crash_is_the_same_attempt_with_all_its_time():
    run = lone(timeout_s=20)
    first = run.out[0]
    run.at = 119.0
    run.crashed()
    again = run.out[0]
    assert (again.attempt_id, again.launch) == (first.attempt_id, 2)
    assert again.idempotency_key == first.idempotency_key
    assert again.workflow["attempt_id"] == "a:attempt:1"
    assert again.workflow["deadline_at"] == 139.0
    run.ended(first)
    assert run.statuses()["a"] == "running"
    run.finish("a")
    assert run.state.status == "completed"


def test_an_attempt_that_was_stopped_from_outside_has_failed():
    run = lone(max_attempts=2, retry_backoff_ms=0)
    run.finish("a", Outcome(status=OutcomeStatus.STOPPED))
    assert run.out[0].workflow["attempt"] == 2
    assert run.told("agent_restart_scheduled") == []


def test_a_worker_may_fail_its_own_attempt_and_then_sends_no_default_output():
    run = Run(
        flow([step("a", policy="continue_partial"), step("b", "all_done")], [after("a", "b")])
    )
    run.finish("a", said(("workflow_step_failed", {"reason": "bad reading"})))
    assert run.statuses()["a"] == "partial"
    assert run.step("a").reason == "bad reading"
    assert [one["trigger_rule"] for one in run.received("b")] == ["all_done"]


def test_a_fallback_message_completes_the_step():
    agents = [
        agent("a", "executor", output_message_type="a_done", failure_message_type="a_done"),
        agent("b", "executor", output_message_type="b_done"),
    ]
    run = Run(flow([step("a"), step("b")], [after("a", "b")], agents=agents))
    run.fail("a")
    assert run.statuses()["a"] == "completed"
    assert run.received("b")[0]["outputs"]["fallback_used"] is True


def test_low_confidence_is_told_and_changes_nothing():
    run = lone(min_confidence=0.7, on_low_confidence="human_review")
    run.finish("a", said(complete={"confidence": 0.4}))
    (told,) = run.told("workflow_step_low_confidence")
    assert (told["confidence"], told["min_confidence"], told["action"]) == (
        0.4,
        0.7,
        "human_review",
    )
    assert run.state.status == "completed"


def test_the_state_weighs_outputs_and_forgets_nothing_of_them():
    run = lone()
    before = run.state.kept_bytes
    run.finish("a", said(complete={"text": "x" * 1000}))
    assert run.state.kept_bytes > before + 1000
    assert run.step("a").output == {"text": "x" * 1000}


def test_a_pause_stops_work_and_every_clock():
    run = lone(timeout_s=20, max_attempts=2)
    first = run.out[0]
    run.at = 105.0
    run.asked(Verb.PAUSE)
    assert run.types[-3:] == ["job_pausing", "workflow_step_blocked", "job_paused"]
    assert run.told("workflow_step_blocked")[-1]["reason"] == "job paused"
    assert run.timers == {}
    assert run.view["paused_at"] == "1970-01-01T00:01:45.000Z"
    run.at = 205.0
    run.ended(first)
    assert run.statuses()["a"] == "running"
    run.asked(Verb.RESUME)
    again = run.out[0]
    assert (again.attempt_id, again.launch) == (first.attempt_id, 2)
    assert run.step("a").current.deadline_at == 220.0
    assert run.timers["step:a:deadline"] == 220.0


def test_a_pause_shifts_a_retry():
    run = lone(max_attempts=2, retry_backoff_ms=10_000)
    run.fail("a")
    run.asked(Verb.PAUSE)
    run.at = 150.0
    run.crashed()
    run.asked(Verb.RESUME)
    assert run.timers["step:a:retry"] == 160.0
    run.fired("step:a:retry")
    run.finish("a")
    assert run.state.status == "completed"


def test_work_with_an_unsafe_side_effect_is_not_cut_by_a_pause():
    agents = [agent("a", "executor", output_message_type="a_done", side_effect="external_write")]
    run = Run(flow([step("a")], [], agents=agents))
    launch = run.out[0]
    run.asked(Verb.PAUSE)
    assert [one.attempt_id for one in run.out] == [launch.attempt_id]
    run.finish("a")
    assert run.statuses()["a"] == "completed"
    run.asked(Verb.RESUME)
    assert run.state.status == "completed"


def test_a_cancel_stops_everything():
    run = Run(flow([step("a"), step("b")], [after("a", "b")]))
    run.asked(Verb.CANCEL)
    assert run.state.status == "cancelled"
    assert run.view["status"] == "cancelled"
    assert run.statuses() == {"a": "running", "b": "pending"}
    run.give(TimerFired(at=run.at, timer_id="step:a:deadline"))
    run.give(OperatorAsked(at=run.at, request_id="late", verb=Verb.RESUME))
    assert run.state.status == "cancelled"


def test_an_answer_counts_once():
    run = Run(flow([step("a", max_attempts=2, retry_backoff_ms=0), step("b")], [after("a", "b")]))
    launch = run.out[0]
    run.fail("a")
    before = len(run.events)
    run.give(AttemptEnded(at=run.at, attempt_id=launch.attempt_id, launch=1, outcome=failed()))
    assert len(run.events) == before
    assert run.step("a").attempt_count == 2


def test_a_repeated_pause_changes_nothing():
    run = lone()
    run.asked(Verb.PAUSE, "r1")
    run.asked(Verb.RESUME, "r2")
    before = len(run.events)
    run.asked(Verb.PAUSE, "r1")
    assert len(run.events) == before
    assert len(run.out) == 1


def test_a_failure_in_a_pause_waits_for_its_retry_until_the_job_goes_on():
    agents = [agent("a", "executor", output_message_type="a_done", side_effect="external_write")]
    run = Run(flow([step("a", max_attempts=2, retry_backoff_ms=0)], [], agents=agents))
    run.asked(Verb.PAUSE)
    run.fail("a")
    assert run.statuses()["a"] == "retry_wait"
    assert run.timers == {}
    run.asked(Verb.RESUME)
    run.fired("step:a:retry")
    assert run.out[0].workflow["attempt"] == 2


def test_a_completed_run_does_not_follow_from_an_attempt_that_failed_itself():
    run = lone(max_attempts=2)
    said_both = Structured(
        events=[NamedEvent(type="workflow_step_failed", payload={})],
        completions=[Completion(scope="run", value={})],
    )
    run.finish("a", succeeded(structured=said_both))
    assert run.statuses()["a"] == "retry_wait"
    assert run.state.status == "running"
    assert run.told("workflow_step_stale_output_ignored")


def test_what_a_step_brings_forth_does_not_hold_what_came_in():
    run = Run(flow([step("a"), step("b")], [after("a", "b")], messages=[], sink=None))
    run.finish("a")
    run.finish("b")
    assert "input" not in run.step("b").output
    assert run.step("b").output["sandbox"]["exit_code"] == 0


def test_attempts_are_counted_beyond_those_that_are_kept():
    run = lone(max_attempts=60, retry_backoff_ms=0)
    for _ in range(59):
        run.fail("a")
    assert run.step("a").status == "running"
    run.fail("a")
    assert run.step("a").status == "failed"
    assert run.step("a").attempt_count == 60
    assert run.finished is not None


def test_however_steep_the_backoff_it_ends_at_a_month():
    run = lone(max_attempts=30, retry_backoff_ms=1, retry_backoff_multiplier=1e30)
    for _ in range(20):
        run.fail("a")
        run.fired("step:a:retry")
    delays = [one["delay_ms"] for one in run.told("workflow_step_attempt_retry_scheduled")]
    assert delays == [1] + [30 * 86_400_000] * 19


@pytest.mark.parametrize("timeout_ms", ["wide", 1e308, float("inf"), float("nan"), -1, [1]])
def test_a_beacon_may_say_anything(timeout_ms):
    run = lone(beacon_timeout_ms=1000)
    launch = run.out[0]
    given = 10**400 if timeout_ms == "wide" else timeout_ms
    payload = {"timeout_ms": given, "status": {"odd": [None]}, "message": [1]}
    about = {"work_id": launch.attempt_id, "launch": launch.launch}
    note = Note(at=run.at, type="agent_beacon", agent_id="a", payload=payload, **about)
    run.give(Noted(at=run.at, notes=[note]))
    due_at = run.step("a").current.heartbeat_deadline_at
    assert run.at < due_at <= run.at + 1e9
    run.reread()


def test_a_retry_timer_from_before_a_pause_starts_nothing_sooner():
    run = lone(max_attempts=2, retry_backoff_ms=5000)
    run.fail("a")
    run.asked(Verb.PAUSE)
    run.at += 60
    run.asked(Verb.RESUME)
    run.give(TimerFired(at=run.at, timer_id="step:a:retry"))
    assert run.step("a").status == "retry_wait"
    assert run.timers["step:a:retry"] == run.at + 5
    run.fired("step:a:retry")
    assert run.step("a").status == "running"
