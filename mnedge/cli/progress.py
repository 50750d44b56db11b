"""What a running job looks like, folded from its events: per agent, per step, and as a whole.

Pure: the live screen and the plain lines both read it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from mnedge.cli.show import one_line
from mnedge.cli.steps import (
    StepProgress,
    from_ledger,
    seconds_of,
    stop,
    take_scatter,
    take_step,
    why,
)
from mnedge.engine.inspect import AgentView
from mnedge.model.amounts import duration
from mnedge.model.events import Event
from mnedge.model.message import Message
from mnedge.model.states import TERMINAL

MOST_TROUBLES = 50
_COUNTING = ("executor", "aggregator", "sensor")
"""Kinds of agents whose finished work is counted, not only what they received."""
NOTE_WIDTH = 80


class AgentProgress(Struct, kw_only=True):
    """One agent, as its events tell."""

    agent_id: str
    kind: str = ""
    received: int = 0
    finished: int = 0
    """Attempts that succeeded, or messages that a collector counted."""
    waiting: int = 0
    """Attempts that wait for a lease."""
    running: int = 0
    stopped: int = 0
    """Attempts that the end of the job cut."""
    restarts: int = 0
    failed: bool = False
    completed: bool = False
    """It ended the job."""
    note: str = ""
    """What it said last."""

    @property
    def state(self) -> str:
        """`failed`, `running`, `waiting`, `stopped`, `done` or `idle`."""
        if self.failed:
            return "failed"
        if self.running:
            return "running"
        if self.waiting:
            return "waiting"
        if self.stopped:
            return "stopped"
        return "done" if self.received or self.finished else "idle"


class Asked(Struct, frozen=True, kw_only=True):
    """What a person is asked."""

    request_id: str
    prompt: str = ""
    allowed: list[str] = field(default_factory=list)
    step_id: str = ""
    due_at: float | None = None
    """When the default action is taken."""
    default: str = ""


class Trouble(Struct, frozen=True):
    """Something that went wrong, or nearly."""

    at: float
    severity: str
    """`error` or `warning`."""
    text: str
    agent_id: str | None = None


class JobProgress(Struct, kw_only=True):
    """A job, as its events tell."""

    status: str = "pending"
    agents: dict[str, AgentProgress] = field(default_factory=dict)
    steps: dict[str, StepProgress] = field(default_factory=dict)
    requests: dict[str, Asked] = field(default_factory=dict)
    """What waits for a person."""
    troubles: list[Trouble] = field(default_factory=list)
    """The first fifty."""
    errors: int = 0
    warnings: int = 0
    events: int = 0
    last_seq: int = 0
    lost: int = 0
    """Events that were not seen."""
    slots: dict[str, int] = field(default_factory=dict)
    """Pool → slots in use by this job."""
    last_at: float = 0.0
    completed_by: str | None = None

    @property
    def shown_status(self) -> str:
        """The status; a job that runs and waits for a person says so."""
        waits = self.requests and self.status == "running"
        return "waiting_for_human" if waits else self.status

    @property
    def running(self) -> int:
        """Attempts under way."""
        return sum(agent.running for agent in self.agents.values())

    @property
    def waiting(self) -> int:
        """Attempts that wait for a lease."""
        return sum(agent.waiting for agent in self.agents.values())

    @property
    def finished(self) -> int:
        """Attempts that succeeded."""
        return sum(agent.finished for agent in self.agents.values() if agent.kind == "executor")

    def agent(self, agent_id: str) -> AgentProgress:
        """Return the agent, new if nobody spoke of it before."""
        found = self.agents.get(agent_id)
        if found is None:
            found = self.agents[agent_id] = AgentProgress(agent_id=agent_id)
        return found


def begun(
    agents: Iterable[tuple[str, str]],
    *,
    status: str = "pending",
    events: int = 0,
    steps: Iterable[StepProgress] = (),
) -> JobProgress:
    """Return the progress of a job of which nothing was seen yet.

    `agents`: id and kind. `events`: how many there were before anybody looked.
    """
    return JobProgress(
        agents={agent_id: AgentProgress(agent_id=agent_id, kind=kind) for agent_id, kind in agents},
        status=status,
        last_seq=events,
        steps={step.step_id: step for step in steps},
    )


def taken_up(
    job: JobProgress,
    agents: Iterable[AgentView],
    events: int,
    *,
    workflow: Mapping[str, Any] | None = None,
    requests: Iterable[Mapping[str, Any]] = (),
) -> None:
    """Have the progress stand where the job was left; `events`: how many there were.

    `workflow` is its `workflow_state`, `requests` what waits for a person.
    """
    job.last_seq = events
    job.steps = from_ledger(workflow or {})
    for request in requests:
        asked = asked_of(request, None, seconds_of(request.get("asked_at")) or job.last_at)
        job.requests[asked.request_id] = asked
    for view in agents:
        agent = job.agent(view.agent_id)
        agent.received = view.processed_messages + (view.inflight_message is not None)
        if agent.kind in _COUNTING:
            agent.finished = view.processed_messages


def advance(job: JobProgress, event: Event) -> None:
    """Take one more event in; one that was seen before changes nothing."""
    if event.seq <= job.last_seq:
        return
    job.lost += event.seq - job.last_seq - 1
    job.last_seq = event.seq
    job.events += 1
    job.last_at = event.at
    payload = {} if isinstance(event.payload, Message) else event.payload
    _take_status(job, event.type)
    if event.agent_id is not None:
        _take_agent(job, job.agent(event.agent_id), event.type, payload)
    if event.step_id is not None and event.type.startswith("workflow_"):
        if event.type == "workflow_step_scattered":
            take_scatter(job.steps, payload, event.step_id)
        else:
            take_step(job.steps, event.step_id, event.type, payload, event.at)
    if event.type.startswith("human_"):
        _take_human(job, event, payload)
    severity = severity_of(event.type)
    if severity is not None:
        _take_trouble(job, event, severity, payload)


def severity_of(event_type: str) -> str | None:
    """Return `error`, `warning` or None.

    Source: bundle format 6.4 for errors.
    """
    if event_type.endswith(("_failed", "_timed_out")) or event_type in _ERRORS:
        return "error"
    return "warning" if event_type in _WARNINGS else None


def said(payload: Mapping[str, Any], width: int = NOTE_WIDTH) -> str:
    """Return the telling part of a payload in one line."""
    for name in _TELLING:
        value = payload.get(name)
        if isinstance(value, str) and value:
            return one_line(value, width)
        if isinstance(value, Mapping) and value:
            return said(value, width) or one_line(value, width)
    pairs = [
        f"{name}={value}"
        for name, value in payload.items()
        if isinstance(value, str | int | float | bool)
    ]
    return one_line(" ".join(pairs[:4]), width)


_STATUSES = {
    "job_pending": "pending",
    "job_validated": "validated",
    "job_scheduled": "scheduled",
    "job_running": "running",
    "job_resumed": "running",
    "job_pausing": "pausing",
    "job_paused": "paused",
    "job_completed": "completed",
    "job_failed": "failed",
    "job_cancelled": "cancelled",
}
_ERRORS = frozenset(
    {"retry_exhausted", "scheduler_failure", "error_recorded", "agent_beacon_missed"}
)
_WARNINGS = frozenset(
    {
        "dead_letter",
        "agent_restart_scheduled",
        "agent_restart_deferred",
        "agent_recovery_started",
        "job_paused_for_manual_restart",
        "executor_lease_rejected",
        "executor_fallback_dispatched",
        "executor_output_truncated",
        "external_input_rejected",
        "sandbox_fallback",
        "job_recovery_started",
        "workflow_step_attempt_retry_scheduled",
        "workflow_step_scatter_rejected",
        "workflow_step_low_confidence",
        "workflow_graph_patch_rejected",
        "workflow_message_dead_lettered",
        "worker_events_dropped",
        "human_input_timeout",
        "human_input_rejected",
        "human_lines_dropped",
        "input_skill_unavailable",
        "input_skill_recovered",
        "input_skill_failed",
        "budget_warning",
        "budget_exceeded",
        "unparseable_event",
    }
)
_ANSWERED = frozenset({"human_input_received", "human_input_timeout", "human_decision_applied"})
_OWN = (
    "route_",
    "backpressure_",
    "message_",
    "workflow_",
    "executor_",
    "sandbox_",
    "aggregator_",
    "agent_recovered",
    "agents_restarted",
)
"""How events of the runtime itself begin."""
_TELLING = ("message", "desc", "error", "reason", "text", "status", "phase")


def _take_status(job: JobProgress, event_type: str) -> None:
    job.status = _STATUSES.get(event_type, job.status)
    over = job.status in TERMINAL
    if over or event_type == "job_recovery_started":
        for agent in job.agents.values():
            agent.stopped = agent.stopped + agent.waiting + agent.running if over else 0
            agent.waiting = agent.running = 0
        job.slots.clear()
    if over:
        stop(job.steps.values())


def _take_agent(
    job: JobProgress, agent: AgentProgress, event_type: str, payload: Mapping[str, Any]
) -> None:
    match event_type:
        case "agent_message_received":
            agent.received += 1
        case "sandbox_job_completed" | "service_agent_completed":
            agent.finished += 1
        case "aggregator_received" | "sensor_observed":
            count = payload.get("count")
            agent.finished = count if isinstance(count, int) else agent.finished + 1
        case "agent_recovery_started":
            agent.restarts += 1
        case "job_completed":
            agent.completed = True
            job.completed_by = agent.agent_id
        case "job_failed":
            agent.failed = True
        case "agent_beacon":
            agent.note = said(payload) if payload.get("source") == "agent" else agent.note
        case _ if event_type.startswith("executor_lease_"):
            _take_lease(job, agent, event_type, payload)
        case _ if _is_news(event_type):
            agent.note = one_line(f"{event_type} {said(payload)}", NOTE_WIDTH)


def _take_lease(
    job: JobProgress, agent: AgentProgress, event_type: str, payload: Mapping[str, Any]
) -> None:
    pool = str(payload.get("pool", "default"))
    slots = payload.get("slots")
    slots = slots if isinstance(slots, int) else 1
    match event_type:
        case "executor_lease_requested":
            agent.waiting += 1
        case "executor_lease_acquired":
            agent.waiting = max(agent.waiting - 1, 0)
            agent.running += 1
            job.slots[pool] = job.slots.get(pool, 0) + slots
        case "executor_lease_released":
            agent.running = max(agent.running - 1, 0)
            job.slots[pool] = max(job.slots.get(pool, 0) - slots, 0)
        case _:
            agent.waiting = max(agent.waiting - 1, 0)


def _is_news(event_type: str) -> bool:
    """Tell whether a worker said it: what remains of the events of an agent."""
    if event_type in _STATUSES or severity_of(event_type) is not None:
        return False
    return not event_type.startswith(_OWN)


def _take_human(job: JobProgress, event: Event, payload: Mapping[str, Any]) -> None:
    """Keep who is asked what, until it is answered."""
    request_id = payload.get("request_id")
    if not isinstance(request_id, str):
        return
    if event.type == "human_input_requested":
        if payload.get("status", "pending") == "pending":
            job.requests[request_id] = asked_of(payload, event.step_id, event.at)
    elif event.type in _ANSWERED:
        job.requests.pop(request_id, None)
    waiting = {request.step_id for request in job.requests.values()}
    for step in job.steps.values():
        step.asks = step.step_id in waiting


def asked_of(payload: Mapping[str, Any], step_id: str | None, at: float) -> Asked:
    """Return what a person is asked, as a request tells it."""
    allowed, timeout_s = payload.get("allowed_decisions"), payload.get("timeout_seconds")
    known = isinstance(timeout_s, int | float) and not isinstance(timeout_s, bool)
    named = payload.get("step_id")
    return Asked(
        request_id=str(payload.get("request_id")),
        prompt=str(payload.get("prompt") or ""),
        allowed=[str(one) for one in allowed] if isinstance(allowed, list) else [],
        step_id=step_id or (named if isinstance(named, str) else ""),
        due_at=seconds_of(payload.get("due_at"))
        or (at + timeout_s if known and isinstance(timeout_s, int | float) else None),
        default=str(payload.get("default_action") or ""),
    )


def _again(payload: Mapping[str, Any], at: float) -> str:
    """Return which attempt failed, why, and when the next one begins."""
    attempt, most = payload.get("attempt"), payload.get("max_attempts")
    which = f"attempt {attempt} of {most} failed" if attempt and most else "an attempt failed"
    retry_at = seconds_of(payload.get("retry_at"))
    again = "again at once" if retry_at is None else f"again in {duration(retry_at - at)}"
    reason = one_line(why(payload).rstrip("."), 160)
    return f"{which}: {reason}; {again}" if reason else f"{which}; {again}"


def _take_trouble(
    job: JobProgress, event: Event, severity: str, payload: Mapping[str, Any]
) -> None:
    if severity == "error":
        job.errors += 1
    else:
        job.warnings += 1
    if event.type == "job_failed":
        return  # how the job ended is told at its end
    if event.type == "workflow_step_attempt_retry_scheduled":
        text = _again(payload, event.at)
    else:
        text = f"{event.type.replace('_', ' ')}: {said(payload, 200)}".rstrip(": ")
    if len(job.troubles) < MOST_TROUBLES:
        job.troubles.append(Trouble(event.at, severity, text, event.agent_id))
