"""What follows from an event: an error, a moment of the timeline, a line of the log."""

import json

import pytest

from mnedge.store.runs.derived import Derived, Deriver, envelope_for, level_of
from mnedge.store.runs.kinds import kind_of

TS = "2026-01-01T00:00:00.000Z"


def derive(type_: str, *, log_level: int | None = 20, ours: bool = True, **record) -> Derived:
    full = {"type": type_, "ts": TS, "event_id": "evt_1", "span_id": "spn_1", **record}
    line = json.dumps(full).encode()
    return Deriver("r", "b", "trc_t", log_level=log_level).derive(
        kind_of(type_), full, line, None, ours=ours
    )


def test_an_event_that_changes_nothing_leaves_nothing():
    derived = derive("dead_letter", payload={})
    assert (derived.errors, derived.timeline, derived.logs, derived.human) == (None,) * 4


def test_a_moment_has_the_shape_of_the_timeline_and_no_empty_members():
    derived = derive(
        "workflow_step_completed", step_id="s", agent_id="a", payload={"outcome": "success"}
    )
    assert json.loads(derived.timeline or b"") == {
        "version": 1,
        "schema_version": "mn.timeline.v1",
        "ts": TS,
        "run_id": "r",
        "blueprint_id": "b",
        "trace_id": "trc_t",
        "span_id": "spn_1",
        "type": "workflow_step_completed",
        "phase": "running_worker",
        "step_id": "s",
        "agent_id": "a",
        "status": "completed",
        "summary": "Workflow step completed",
        "details": {"outcome": "success"},
    }
    assert json.loads(derived.logs or b"")["level"] == "INFO"


def test_a_failure_enters_three_files_with_one_span():
    derived = derive(
        "fetch_failed", payload={"reason": "no lease", "mode": "skip", "agent_id": "a"}
    )
    error = json.loads(derived.errors or b"")
    assert error["error"]["code"] == "scheduler.lease_unavailable"
    assert (error["mode"], error["agent_id"], error["type"]) == ("skip", "a", "fetch_failed")
    log = json.loads(derived.logs or b"")
    assert log["level"] == "ERROR"
    assert log["error"] == {
        "type": "fetch_failed",
        "message": "Scheduler lease unavailable",
        "code": "scheduler.lease_unavailable",
    }
    moment = json.loads(derived.timeline or b"")
    assert moment["links"] == [{"rel": "errors", "artifact_id": "errors_jsonl"}]
    assert {error["span_id"], log["span_id"], moment["span_id"]} == {derived.span_id} == {"spn_1"}


def test_an_event_without_ids_gets_some_that_follow_from_it():
    bare = {"event_id": None, "span_id": None, "ts": None, "timestamp": TS}
    one, same = derive("x_failed", **bare), derive("x_failed", **bare)
    other = derive("x_failed", **bare, payload={"n": 1})
    assert one == same
    assert one.span_id.startswith("spn_")
    assert one.event_id.startswith("evt_")
    assert (one.span_id, one.event_id) != (other.span_id, other.event_id)
    assert json.loads(one.errors or b"")["ts"] == TS


@pytest.mark.parametrize(
    "level, logged", [(20, True), (30, False), (40, False), (None, False), (5, True)]
)
def test_logs_begin_at_the_level_that_was_asked_for(level, logged):
    assert (derive("job_paused", log_level=level).logs is not None) is logged


def test_levels_are_read_whatever_their_case_and_unknown_is_info():
    found = [level_of(name) for name in ("info", "WARNING", "Warn", "critical", "trace", "x", 7)]
    assert found == [20, 30, 30, 50, 5, 20, 20]


def test_human_events_of_workers_are_not_mirrored_by_us():
    assert derive("human_notice").human is not None
    assert derive("human_notice", ours=False).human is None


def test_an_envelope_that_is_there_is_kept():
    given = {"schema_version": "mn.error.v1", "code": "mine.own", "desc": "Mine", "details": {},
             "event_id": "evt_other"}  # fmt: skip
    identity = {"event_id": "evt_1", "trace_id": "trc_t", "span_id": "spn_1", "ts": TS}
    for record in ({"error": given}, {"payload": {"error": given}}, {"payload": given}):
        found = envelope_for({"type": "x_failed", **record}, "j", identity)
        assert (found["code"], found["event_id"]) == ("mine.own", "evt_other")
        assert (found["span_id"], found["occurred_at"]) == ("spn_1", TS)


@pytest.mark.parametrize("payload", [{}, {"error": {"odd": 1}}, {"reason": ""}, {"error": "boom"}])
def test_every_failure_gets_an_envelope(payload):
    identity = {"event_id": "evt_1", "trace_id": "trc_t", "span_id": "spn_1", "ts": TS}
    found = envelope_for({"type": "x_failed", "payload": payload}, "j", identity)
    assert found["schema_version"] == "mn.error.v1"
    assert found["desc"]
    assert found["event_id"] == "evt_1"


def test_long_payloads_do_not_fill_the_timeline():
    derived = derive("artifact_written", payload={"list": ["x" * 1000] * 20})
    assert "details" not in json.loads(derived.timeline or b"")
