"""What is shown to people and programs: derived from facts, never stored as truth."""

from typing import Any

from msgspec import Struct

from mnedge.model.body import shown
from mnedge.model.ids import derived_id
from mnedge.model.message import Message, summary, wire

STEP_REPORTS = frozenset(
    {
        "workflow_step_started",
        "workflow_step_completed",
        "workflow_step_attempt_completed",
        "workflow_step_partial",
        "workflow_step_skipped",
        "workflow_step_failed",
        "workflow_step_branch",
        "workflow_step_scatter",
        "workflow_graph_patch",
        "workflow_controller_checkpoint",
    }
)
"""Events by which a worker says what becomes of its step.

Source: bundle format 3.6.
"""


class Event(Struct, frozen=True, gc=False, array_like=True):
    """One thing that happened inside a job; `seq` counts from 1 without gaps."""

    seq: int
    at: float
    type: str
    agent_id: str | None
    payload: dict[str, Any] | Message
    """A `Message` stands for its summary, one inside for its normal form; rendered only when
    somebody reads it."""
    step_id: str | None = None


def event_id(job_id: str, seq: int) -> str:
    """Return the id of a job's `seq`th event; the same after every replay."""
    return "evt_" + derived_id(f"{job_id}:{seq}", size_bytes=12)


def payload_of(event: Event, job_id: str) -> dict[str, Any]:
    """Return the event's payload as plain JSON values; references are described, not loaded."""
    if isinstance(event.payload, Message):
        plain: dict[str, Any] = shown(summary(event.payload))
        return plain
    return {
        key: shown(wire(value, job_id) if isinstance(value, Message) else value)
        for key, value in event.payload.items()
    }
