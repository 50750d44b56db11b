"""Every status a thing can have, and where each may go next."""

from enum import StrEnum


class JobStatus(StrEnum):
    """Life of a job. `faulted`: the engine refused a fact; an operator decides."""

    PENDING = "pending"
    VALIDATED = "validated"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    FAULTED = "faulted"


TERMINAL = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})

JOB_MOVES: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.PENDING: frozenset(
        {
            JobStatus.VALIDATED,
            JobStatus.SCHEDULED,
            JobStatus.RUNNING,
            JobStatus.FAILED,
            JobStatus.CANCELLED,
            JobStatus.FAULTED,
        }
    ),
    JobStatus.VALIDATED: frozenset(
        {JobStatus.SCHEDULED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.FAULTED}
    ),
    JobStatus.SCHEDULED: frozenset(
        {JobStatus.RUNNING, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.FAULTED}
    ),
    JobStatus.RUNNING: frozenset(
        {
            JobStatus.PAUSED,
            JobStatus.COMPLETED,
            JobStatus.FAILED,
            JobStatus.CANCELLED,
            JobStatus.FAULTED,
        }
    ),
    JobStatus.PAUSED: frozenset(
        {
            JobStatus.RUNNING,
            JobStatus.COMPLETED,  # by a message that was being handled when the pause came
            JobStatus.FAILED,
            JobStatus.CANCELLED,
            JobStatus.FAULTED,
        }
    ),
    JobStatus.FAULTED: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED, JobStatus.FAILED}),
    JobStatus.COMPLETED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}


class AgentKind(StrEnum):
    """What an agent is made of (the wire calls it `agent_type`)."""

    ROUTER = "router"
    EXECUTOR = "executor"
    AGGREGATOR = "aggregator"
    SENSOR = "sensor"
    MODULE = "module"
    SERVICE = "service"
    STEP_SOURCE = "step_source"
    STEP_SINK = "step_sink"
    STEP_JOIN = "step_join"


class Verb(StrEnum):
    """What an operator may ask of a job."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


class OutcomeStatus(StrEnum):
    """How one attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
