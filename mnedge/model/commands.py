"""What the engine asks to be done. The coordinator does it after the facts are on disk."""

from typing import Any

from msgspec import Struct, field

from mnedge.model.message import Message
from mnedge.model.states import JobStatus


class RunAttempt(Struct, frozen=True, kw_only=True):
    """Start a launch of an executor's attempt; answered by `AttemptEnded`."""

    attempt_id: str
    launch: int
    agent_id: str
    message: Message
    invocation: int
    """How many messages the agent has handled, this one included."""
    agent_state: Any = field(default_factory=dict)
    idempotency_key: str = ""
    workflow: dict[str, Any] = field(default_factory=dict)
    """The `workflow` member of the context file; empty without a ledger."""


class StopAttempt(Struct, frozen=True, kw_only=True):
    """Stop a launch that runs; whatever it still answers changes nothing."""

    attempt_id: str
    reason: str


class CallModule(Struct, frozen=True, kw_only=True):
    """Hand a message to a module agent's worker; answered by `ModuleAnswered`.

    `message` None asks the worker to recover. The worker keeps the state it last answered with
    under `state_version - 1` → `state_version`; if the version it holds is another (or it is
    new), the state is sent again.
    """

    call_id: str
    launch: int
    agent_id: str
    message: Message | None
    invocation: int
    state_version: int
    state: Any = None
    """The state to start from; None with `state_version` 0 means "call init"."""


class SetTimer(Struct, frozen=True, kw_only=True):
    """Answer with `TimerFired` at job time `due_at`. Setting an id again moves it."""

    timer_id: str
    due_at: float


class ClearTimer(Struct, frozen=True, kw_only=True):
    """Forget a timer."""

    timer_id: str


class FinishJob(Struct, frozen=True, kw_only=True):
    """The job has reached a terminal status."""

    status: JobStatus
    result: Any = None
    error: dict[str, Any] | None = None
    """An `mn.error.v1` envelope, when it failed."""


AnyCommand = RunAttempt | StopAttempt | CallModule | SetTimer | ClearTimer | FinishJob
