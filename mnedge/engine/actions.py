"""What executors and module agents ask for, carried out: emissions and completions.

Source: worker contract 2.2, 2.8.
"""

from typing import Any

from mnedge.engine.ledger import reports
from mnedge.engine.ledger.definition import NO_STEP
from mnedge.engine.ledger.run import complete_run
from mnedge.engine.route import Draft, emit, emit_to
from mnedge.engine.turn import Turn
from mnedge.model.facts import Emission
from mnedge.model.message import Message


def send(turn: Turn, index: int, parent: Message, emission: Emission, action: int) -> None:
    """Send what a worker emits: straight to an agent if it names one, else along its edges."""
    draft = Draft(
        parent,
        emission.type,
        emission.body,
        action=action,
        class_=emission.class_,
        headers=emission.headers,
        hops=1,
    )
    if emission.correlation_id is not None:
        draft.correlation_id = emission.correlation_id
    if emission.causation_id is not None:
        draft.causation_id = emission.causation_id
    if emission.content_type is not None:
        draft.content_type = emission.content_type
    if emission.content_encoding is not None:
        draft.content_encoding = emission.content_encoding
    if emission.artifacts is not None:
        draft.artifacts = emission.artifacts
    if emission.stream is not None:
        draft.stream = emission.stream
    if emission.to is None:
        emit(turn, index, draft)
    else:
        emit_to(turn, index, emission.to, draft)


def complete(turn: Turn, index: int, scope: str, result: Any, attempt: int) -> None:
    """Complete the step that is acted for (by that attempt of it), or the run."""
    if scope == "run":
        complete_run(turn, index, result, attempt)
        return
    if turn.step != NO_STEP:
        reports.complete(turn, turn.ledger.steps[turn.step], attempt, result)
        return
    agent_id = turn.job.agents[index].agent_id
    payload = result if isinstance(result, dict) else {"result": result}
    turn.tell("workflow_step_attempt_completed", agent_id, payload)
