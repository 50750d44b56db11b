"""Events of the ledger.

Source: bundle format Appendix B, worker contract 5.9.
"""

from typing import Any

from mnedge.engine.ledger.headers import attempt_id
from mnedge.engine.ledger.state import Attempt, StepState
from mnedge.engine.turn import Turn
from mnedge.model.failure import failure_envelope


def tell_step(
    turn: Turn, name: str, step: StepState, attempt: Attempt | None = None, **more: Any
) -> None:
    """Tell of a step; `attempt` None: of its current one, if it has one."""
    ledger = turn.ledger
    ledger.updated_at = step.last_event_at = turn.at
    attempt = attempt or step.current
    payload: dict[str, Any] = {
        "step": step.step_id,
        "step_id": step.step_id,
        "status": step.status.value,
    }
    agent_id = agent_id_of(turn, step, attempt)
    if agent_id is not None:
        payload["agent_id"] = agent_id
    if attempt is not None:
        payload["attempt_id"] = attempt_id(step, attempt)
        payload["attempt"] = attempt.number
    if step.origin is not None:
        for key in ("template_id", "region_id"):
            if getattr(step.origin, key) is not None:
                payload[key] = getattr(step.origin, key)
    payload.update(more)
    turn.tell(name, agent_id, payload, step_id=step.step_id)


def agent_id_of(turn: Turn, step: StepState, attempt: Attempt | None = None) -> str | None:
    """Return the agent of the attempt, else the step's primary agent."""
    agents = turn.definition(step).agents
    if attempt is not None:
        return turn.job.agents[attempt.agent].agent_id
    return turn.job.agents[agents[0]].agent_id if agents else None


def error_of(
    turn: Turn, step: StepState, error: Any, *, code: str | None = None, attempt: Attempt | None
) -> dict[str, Any]:
    """Return the step's failure as an `mn.error.v1` envelope."""
    return failure_envelope(
        error,
        at=turn.at,
        job_id=turn.state.job_id,
        event_seq=turn.next_seq,
        component="workflow",
        code=code,
        step_id=step.step_id,
        agent_id=agent_id_of(turn, step, attempt),
        attempt=None if attempt is None else attempt.number,
        max_attempts=turn.definition(step).step.max_attempts,
    )
