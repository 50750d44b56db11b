"""What a running job looks like, folded from its events: per agent, per step, and as a whole.

Pure: the live screen and the plain lines both read it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from mnedge.cli.show import one_line
from mnedge.engine.inspect import AgentView
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


class StepProgress(Struct, kw_only=True):
    """One step of a workflow."""

    step_id: str
    status: str = "pending"
    attempts: int = 0


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
    agents: Iterable[tuple[str, str]], *, status: str = "pending", events: int = 0
) -> JobProgress:
    """Return the progress of a job of which nothing was seen yet.

    `agents`: id and kind. `events`: how many there were before anybody looked.
    """
    return JobProgress(
        agents={agent_id: AgentProgress(agent_id=agent_id, kind=kind) for agent_id, kind in agents},
        status=status,
        last_seq=events,
    )


def taken_up(job: JobProgress, agents: Iterable[AgentView], events: int) -> None:
    """Have the progress stand where the job was left; `events`: how many there were."""
    job.last_seq = events
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
    step_id = event.step_id or payload.get("step_id")
    if event.type.startswith("workflow_step_") and isinstance(step_id, str):
        _take_step(job, step_id, event.type, payload)
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
        "external_input_rejected",
        "sandbox_fallback",
        "job_recovery_started",
        "workflow_step_attempt_retry_scheduled",
    }
)
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
_STEP_STATUSES = {
    "workflow_step_attempt_started": "running",
    "workflow_step_started": "running",
    "workflow_step_beacon": "running",
    "workflow_step_blocked": "blocked",
    "workflow_step_triggered": "queued",
    "workflow_step_attempt_retry_scheduled": "retry_wait",
    "workflow_step_attempt_timed_out": "retry_wait",
    "workflow_step_attempt_completed": "completed",
    "workflow_step_completed": "completed",
    "workflow_step_partial": "partial",
    "workflow_step_skipped": "skipped",
    "workflow_step_failed": "failed",
    "workflow_step_scattered": "skipped",
}


def _take_status(job: JobProgress, event_type: str) -> None:
    job.status = _STATUSES.get(event_type, job.status)
    over = job.status in TERMINAL
    if over or event_type == "job_recovery_started":
        for agent in job.agents.values():
            agent.stopped = agent.stopped + agent.waiting + agent.running if over else 0
            agent.waiting = agent.running = 0
        job.slots.clear()


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


def _take_step(job: JobProgress, step_id: str, event_type: str, payload: Mapping[str, Any]) -> None:
    step = job.steps.setdefault(step_id, StepProgress(step_id=step_id))
    step.status = _STEP_STATUSES.get(event_type, step.status)
    attempt = payload.get("attempt")
    if isinstance(attempt, int):
        step.attempts = max(step.attempts, attempt)


def _take_trouble(
    job: JobProgress, event: Event, severity: str, payload: Mapping[str, Any]
) -> None:
    if severity == "error":
        job.errors += 1
    else:
        job.warnings += 1
    if event.type == "job_failed":
        return  # how the job ended is told at its end
    text = f"{event.type.replace('_', ' ')}: {said(payload, 200)}".rstrip(": ")
    if len(job.troubles) < MOST_TROUBLES:
        job.troubles.append(Trouble(event.at, severity, text, event.agent_id))
