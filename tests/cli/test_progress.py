"""A job's picture follows from its events."""

import pytest

from mnedge.cli.progress import JobProgress, advance, begun, said, severity_of, taken_up
from mnedge.cli.steps import StepProgress
from mnedge.engine.inspect import AgentView
from mnedge.model.events import Event


class Story:
    """Numbers events and hands them to a progress."""

    def __init__(self, *agents, **more):
        self.job = begun(agents, **more)
        self.seq = self.job.last_seq

    def tell(self, event_type, agent_id=None, step_id=None, **payload):
        self.seq += 1
        event = Event(self.seq, 1000.0 + self.seq, event_type, agent_id, payload, step_id)
        advance(self.job, event)
        return event


def test_nothing_happened_yet():
    job = begun([("a", "router")])
    assert (job.status, job.events, job.agents["a"].state) == ("pending", 0, "idle")


def test_the_status_follows_the_events_of_the_job():
    story = Story(("a", "router"))
    for event_type, status in [
        ("job_pending", "pending"),
        ("job_running", "running"),
        ("job_paused", "paused"),
        ("job_resumed", "running"),
        ("job_completed", "completed"),
    ]:
        story.tell(event_type, "a" if event_type == "job_completed" else None)
        assert story.job.status == status
    assert story.job.completed_by == "a"
    assert story.job.agents["a"].completed


def test_an_attempt_waits_runs_and_is_done():
    story = Story(("w", "executor"))
    seen = []
    story.tell("agent_message_received", "w")
    for event_type in ("requested", "acquired", "released"):
        story.tell(f"executor_lease_{event_type}", "w", pool="default", slots=2)
        seen.append((story.job.agents["w"].state, dict(story.job.slots), story.job.waiting))
    story.tell("sandbox_job_completed", "w", exit_code=0)
    assert seen == [
        ("waiting", {}, 1),
        ("running", {"default": 2}, 0),
        ("done", {"default": 0}, 0),
    ]
    assert story.job.finished == 1


def test_a_rejected_lease_no_longer_waits():
    story = Story(("w", "executor"))
    story.tell("executor_lease_requested", "w")
    story.tell("executor_lease_rejected", "w", reason="queue full")
    assert story.job.waiting == 0
    assert story.job.warnings == 1


def test_an_event_seen_twice_changes_nothing_and_a_gap_is_counted():
    story = Story(("a", "router"))
    event = story.tell("agent_message_received", "a")
    advance(story.job, event)
    assert story.job.agents["a"].received == 1
    story.seq += 3
    story.tell("agent_message_received", "a")
    assert story.job.lost == 3


def test_a_recovered_job_begins_where_it_was_left():
    story = Story(("w", "executor"), status="running", events=40)
    story.tell("executor_lease_acquired", "w")
    assert story.job.lost == 0
    story.tell("job_recovery_started")
    assert story.job.running == 0
    assert story.job.slots == {}


def test_a_collector_says_how_many_it_has():
    story = Story(("c", "aggregator"))
    story.tell("aggregator_received", "c", count=7)
    assert story.job.agents["c"].finished == 7


def test_what_a_worker_says_is_its_note():
    story = Story(("w", "executor"))
    story.tell("peak_found", "w", value=3, at="noon")
    assert story.job.agents["w"].note == "peak_found value=3 at=noon"
    story.tell("agent_beacon", "w", source="runtime", message="working")
    assert story.job.agents["w"].note.startswith("peak_found")
    story.tell("agent_beacon", "w", source="agent", message="half way")
    assert story.job.agents["w"].note == "half way"
    story.tell("route_selected", "w")
    assert story.job.agents["w"].note == "half way"


def test_troubles_are_kept_with_their_reason_and_counted():
    story = Story(("w", "executor"))
    story.tell("agent_restart_scheduled", "w", reason="it died")
    story.tell("output_skill_failed", "w", error={"desc": "no printer"})
    story.tell("job_failed", "w", reason="how it ended is told at the end")
    assert [(t.severity, t.text) for t in story.job.troubles] == [
        ("warning", "agent restart scheduled: it died"),
        ("error", "output skill failed: no printer"),
    ]
    assert (story.job.errors, story.job.warnings) == (2, 1)
    assert story.job.agents["w"].state == "failed"


def test_a_restart_that_is_planned_and_made_is_one():
    story = Story(("w", "executor"))
    story.tell("agent_restart_scheduled", "w", reason="it died")
    assert story.job.agents["w"].restarts == 0
    story.tell("agent_recovery_started", "w", attempt=1)
    story.tell("agent_recovered", "w")
    assert story.job.agents["w"].restarts == 1


@pytest.mark.parametrize("end", ["job_cancelled", "job_failed"])
def test_nothing_works_or_waits_any_more_once_the_job_is_over(end):
    story = Story(("v", "executor"), ("w", "executor"), ("x", "executor"))
    for agent_id in ("v", "w"):
        story.tell("executor_lease_requested", agent_id)
    story.tell("executor_lease_acquired", "v", pool="default", slots=1)
    story.tell(end)
    story.tell("run_ended_somehow")
    assert [agent.state for agent in story.job.agents.values()] == ["stopped", "stopped", "idle"]
    assert (story.job.running, story.job.waiting, story.job.slots) == (0, 0, {})


def test_a_picture_can_begin_where_the_job_was_left():
    def left(agent_id, kind, processed, message=None):
        return AgentView(
            agent_id=agent_id,
            kind=kind,
            template="generic",
            role=None,
            display_name=None,
            status="ready",
            processed_messages=processed,
            mailbox_depth=0,
            held_for_it=0,
            holding=0,
            pressure="low",
            inflight_message=message,
            launch=None,
            last_error=None,
            current_state={},
        )

    story = Story(("r", "router"), ("w", "executor"), ("v", "executor"))
    agents = [left("r", "router", 2), left("w", "executor", 3), left("v", "executor", 0, {"a": 1})]
    taken_up(story.job, agents, 310)
    story.seq = 310
    story.tell("job_recovery_started")
    seen = {agent.agent_id: (agent.received, agent.finished) for agent in story.job.agents.values()}
    assert seen == {"r": (2, 0), "w": (3, 3), "v": (1, 0)}
    assert (story.job.lost, story.job.finished) == (0, 3)


def test_only_the_first_troubles_are_kept():
    story = Story(("a", "router"))
    for _ in range(80):
        story.tell("dead_letter", "a", reason="nobody")
    assert len(story.job.troubles) == 50
    assert story.job.warnings == 80


def test_steps_follow_their_events():
    story = Story(("a", "executor"))
    story.tell("workflow_step_attempt_started", "a", "one", attempt=1)
    story.tell("workflow_step_attempt_retry_scheduled", "a", "one", attempt=1)
    assert story.job.steps["one"].status == "retry_wait"
    story.tell("workflow_step_attempt_started", "a", "one", attempt=2)
    story.tell("workflow_step_completed", "a", step_id="one")
    step = story.job.steps["one"]
    assert (step.status, step.attempts) == ("completed", 2)


@pytest.mark.parametrize(
    "event_type,severity",
    [("step_failed", "error"), ("x_timed_out", "error"), ("dead_letter", "warning"),
     ("executor_output_truncated", "warning"), ("job_running", None)],
)  # fmt: skip
def test_severity_follows_the_type(event_type, severity):
    assert severity_of(event_type) == severity


def test_the_telling_part_of_a_payload_is_found():
    assert said({"error": {"desc": "it broke"}, "code": 1}) == "it broke"
    assert said({"count": 3, "list": [1]}) == "count=3"
    assert said({}) == ""


def test_an_agent_nobody_announced_is_taken_in():
    job = JobProgress()
    advance(job, Event(1, 1.0, "agent_message_received", "late", {}))
    assert job.agents["late"].received == 1


def test_a_request_waits_until_it_is_answered_and_its_step_with_it():
    story = Story(("w", "executor"))
    story.tell("job_running")
    story.tell("workflow_step_attempt_started", "w", "review", attempt=1)
    story.tell("human_input_requested", "w", "review", request_id="r", timeout_seconds=5)
    assert story.job.shown_status == "waiting_for_human"
    assert story.job.steps["review"].asks
    assert story.job.requests["r"].due_at == 1003.0 + 5
    story.tell("human_input_rejected", "w", request_id="r", reason="not allowed")
    assert story.job.warnings == 1
    story.tell("human_decision_applied", "w", request_id="r")
    assert (story.job.shown_status, story.job.steps["review"].asks) == ("running", False)


def test_a_request_that_nobody_waits_for_is_none():
    story = Story(("w", "executor"))
    story.tell("human_input_requested", "w", request_id="r", status="disabled")
    story.tell("human_notice", "w", request_id="r")
    assert story.job.requests == {}


def test_steps_of_a_recovered_job_begin_where_they_were_left():
    story = Story(("w", "executor"), steps=[StepProgress(step_id="x")])
    record = {"id": "s", "status": "blocked", "blocked_on": [{"from": "r"}]}
    request = {"request_id": "q", "prompt": "Go?", "asked_at": "2026-01-01T00:00:00.000Z"}
    taken_up(
        story.job,
        [],
        9,
        workflow={"step_order": ["s"], "steps": {"s": record}},
        requests=[request],
    )
    assert [step.blocked_on for step in story.job.steps.values()] == [["r"]]
    assert story.job.requests["q"].prompt == "Go?"


def test_only_the_ledger_tells_of_steps():
    story = Story(("w", "executor"))
    story.tell("workflow_step_failed", "w", step_id=None, reason="no step of anybody")
    assert story.job.steps == {}
    story.tell("workflow_step_scattered", "w", "split", targets=["t"], instance_ids=["t[0]"])
    assert list(story.job.steps) == ["t", "t[0]"]


def test_a_retry_says_which_attempt_failed_why_and_when_the_next_begins():
    job = begun([])
    payload = {
        "attempt": 1, "max_attempts": 4, "error": {"desc": "Exit code 1."},
        "retry_at": "1970-01-01T00:00:10.200Z",
    }  # fmt: skip
    kind = "workflow_step_attempt_retry_scheduled"
    advance(job, Event(1, 10.0, kind, "worker", payload, "work"))
    assert job.troubles[0].text == "attempt 1 of 4 failed: Exit code 1; again in 0.2 s"


def test_in_the_last_picture_nothing_runs_any_more():
    job = begun([], steps=[StepProgress(step_id="work", status="running")])
    advance(job, Event(1, 1.0, "job_cancelled", None, {}))
    assert job.steps["work"].stopped
