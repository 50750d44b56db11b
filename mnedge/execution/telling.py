"""How attempts and workers tell what goes on: as notes of an agent, in the time of its job.

What decides something is told at once, as a fact of its own; all else can wait for company.
"""

from collections.abc import Callable
from typing import Any

from mnedge.model.events import STEP_REPORTS
from mnedge.model.facts import NamedEvent, Note, WorkerSaid
from mnedge.ports import Clock

Told = Note | WorkerSaid
TellNote = Callable[[Told], None]
TellEvent = Callable[[str, dict[str, Any]], None]
"""(event type, payload) → noted."""

DECISIVE = STEP_REPORTS | {"agent_beacon_missed", "human_input_requested", "human_notice"}
"""Events of a worker that change its step, or that a person must see."""


def telling(
    note: TellNote, agent_id: str, clock: Clock, *, work_id: str = "", launch: int = 0
) -> TellEvent:
    """Return what notes an event of the agent, while this launch of an attempt or call goes on."""

    def tell(event: str, payload: dict[str, Any]) -> None:
        if work_id and event in DECISIVE:
            said = NamedEvent(type=event, payload=payload)
            note(WorkerSaid(at=clock(), work_id=work_id, launch=launch, event=said))
        else:
            note(
                Note(
                    at=clock(),
                    type=event,
                    agent_id=agent_id,
                    payload=payload,
                    work_id=work_id,
                    launch=launch,
                )
            )

    return tell
