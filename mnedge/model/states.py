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
    REDRIVE = "redrive"
    """Deliver a dead letter again."""
    DISCARD = "discard"
    """Forget a dead letter."""
    RESPOND = "respond"
    """Answer a request that waits for a person."""


class StepStatus(StrEnum):
    """Life of a step of a workflow (bundle format 3.5, 3.6)."""

    PENDING = "pending"
    READY = "ready"
    """Its trigger holds; no message has come."""
    QUEUED = "queued"
    """It may run; its message waits for the agent, or for a place among the running steps."""
    RUNNING = "running"
    RETRY_WAIT = "retry_wait"
    BLOCKED = "blocked"
    """A message came before its trigger held."""
    WAITING = "waiting"
    """A controller that checkpointed, or a parent whose child workflow runs."""
    COMPLETED = "completed"
    PARTIAL = "partial"
    SKIPPED = "skipped"
    FAILED = "failed"


SUCCESSFUL_STEP = frozenset({StepStatus.COMPLETED, StepStatus.PARTIAL, StepStatus.SKIPPED})
TERMINAL_STEP = SUCCESSFUL_STEP | {StepStatus.FAILED}


class StepOutcome(StrEnum):
    """What a terminal step came to; `mapped`: a scatter put instances in its place."""

    SUCCESS = "success"
    PARTIAL = "partial"
    SKIPPED = "skipped"
    FAILED = "failed"
    MAPPED = "mapped"


class AttemptStatus(StrEnum):
    """Life of one attempt of a step."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    PARTIAL = "partial"
    SKIPPED = "skipped"
    CHECKPOINTED = "checkpointed"


class TriggerRule(StrEnum):
    """When a step may run (bundle format 3.7); the IR holds no aliases."""

    ALL_SUCCESS = "all_success"
    ALL_DONE = "all_done"
    ONE_SUCCESS = "one_success"
    ONE_DONE = "one_done"
    ONE_FAILED = "one_failed"
    NONE_FAILED_MIN_ONE_SUCCESS = "none_failed_min_one_success"
    QUORUM_SUCCESS = "quorum_success"


class FailurePolicy(StrEnum):
    """What becomes of a step whose attempts are exhausted; the IR holds no aliases."""

    FAIL_WORKFLOW = "fail_workflow"
    CONTINUE_PARTIAL = "continue_partial"
    SKIP = "skip"


class OutcomeStatus(StrEnum):
    """How one attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
