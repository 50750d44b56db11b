"""How attempts and workers tell what goes on: as notes of an agent, in the time of its job."""

from collections.abc import Callable
from typing import Any

from mnedge.model.facts import Note
from mnedge.ports import Clock

TellNote = Callable[[Note], None]
TellEvent = Callable[[str, dict[str, Any]], None]
"""(event type, payload) → noted."""


def telling(note: TellNote, agent_id: str, clock: Clock) -> TellEvent:
    """Return what notes an event of the agent."""

    def tell(event: str, payload: dict[str, Any]) -> None:
        note(Note(at=clock(), type=event, agent_id=agent_id, payload=payload))

    return tell
