"""What is shown to people and programs: derived from facts, never stored as truth."""

from typing import Any

from msgspec import Struct

from mnedge.model.ids import derived_id
from mnedge.model.message import Message


class Event(Struct, frozen=True, gc=False, array_like=True):
    """One thing that happened inside a job; `seq` counts from 1 without gaps."""

    seq: int
    at: float
    type: str
    agent_id: str | None
    payload: dict[str, Any] | Message
    """A `Message` stands for its summary and is rendered only when somebody reads it."""
    step_id: str | None = None


def event_id(job_id: str, seq: int) -> str:
    """Return the id of a job's `seq`th event; the same after every replay."""
    return "evt_" + derived_id(f"{job_id}:{seq}", size_bytes=12)
