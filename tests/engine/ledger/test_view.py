"""The ledger as people and programs read it."""

import msgspec

from mnedge.engine.ledger.view import workflow_state
from tests.engine.jobs import Play, agent, spec_of
from tests.engine.ledger.flows import Run, after, flow, step

HEAD = [
    "schema_version",
    "enabled",
    "job_id",
    "run_id",
    "created_at",
    "updated_at",
    "status",
    "step_order",
    "agent_to_step",
    "edges",
    "steps",
    "messages",
    "mode",
    "dynamic_enabled",
    "graph_revision",
]
STEP = [
    "id",
    "label",
    "run",
    "agent_ids",
    "required",
    "failure_policy",
    "trigger_rule",
    "max_attempts",
    "retry_backoff_ms",
    "retry_backoff_multiplier",
    "timeout_seconds",
    "beacon_timeout_ms",
    "status",
    "attempt_count",
    "attempts",
    "current_attempt",
    "deadline_at",
    "heartbeat_deadline_at",
    "retry_at",
    "started_at",
    "ended_at",
    "last_event_at",
    "terminal_reason",
    "terminal_error",
    "last_error",
    "last_message",
    "output",
    "terminal_outcome",
]
ATTEMPT = [
    "attempt_id",
    "attempt",
    "agent_id",
    "message_id",
    "idempotency_key",
    "started_at",
    "deadline_at",
    "heartbeat_deadline_at",
    "last_beacon_at",
    "status",
    "ended_at",
    "reason",
    "error",
]
MESSAGE = [
    "message_id",
    "step_id",
    "status",
    "updated_at",
    "attempt_id",
    "attempt",
    "from",
    "to",
    "type",
    "reason",
]


def test_a_job_without_steps_has_no_ledger():
    play = Play(spec_of([agent("a")]))
    assert workflow_state(play.job, play.state) == {"schema_version": 3, "enabled": False}


def test_everything_that_is_specified_is_there():
    run = Run(flow([step("a", max_attempts=2), step("b")], [after("a", "b")]))
    run.fail("a")
    view = run.view
    assert set(HEAD) <= set(view)
    assert set(STEP) <= set(view["steps"]["a"])
    assert set(ATTEMPT) == set(view["steps"]["a"]["attempts"][0])
    assert all(set(MESSAGE) == set(one) for one in view["messages"].values())
    assert view["step_order"] == ["a", "b"]
    assert view["agent_to_step"] == {"a": "a", "b": "b"}
    assert view["edges"] == [
        {"id": "a_to_b", "from": "a", "to": "b", "accepts": ["done"], "required": True}
    ]
    assert view["steps"]["a"]["retry_at"] == "1970-01-01T00:01:41.000Z"
    assert view["steps"]["a"]["attempts"][0]["reason"] == "no luck"
    assert view["steps"]["b"]["trigger_rule"] == {"rule": "all_success", "quorum": None}


def test_it_is_plain_json():
    run = Run(flow([step("a"), step("b")], [after("a", "b")]))
    run.finish_all()
    assert msgspec.json.decode(msgspec.json.encode(run.view)) == run.view


def test_a_blocked_step_says_what_it_waits_for():
    run = Run(flow([step("a"), step("b")], [after("a", "b")]))
    run.sent("b", {})
    assert run.view["steps"]["b"]["blocked_on"] == [{"from": "a", "status": "running"}]
