"""How attempts and workers tell what goes on: as notes of an agent, in the time of its job.

What decides something is told at once, as a fact of its own; all else can wait for company.
"""

from collections.abc import Callable
from typing import Any

from mnedge.model.facts import NamedEvent, Note, WorkerSaid
from mnedge.ports import Clock

Told = Note | WorkerSaid
TellNote = Callable[[Told], None]
TellEvent = Callable[[str, dict[str, Any]], None]
"""(event type, payload) → noted."""

DECISIVE = frozenset(
    {
        "agent_beacon_missed",
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
        "human_input_requested",
        "human_notice",
    }
)
"""Events of a worker that change its step, or that a person must see.

Source: bundle format 3.6.
"""


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
