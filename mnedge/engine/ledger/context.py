"""What a worker is told of the step it works for.

Source: bundle format 3.4, worker contract 5.9.
"""

from typing import Any

from mnedge.engine.ledger.definition import NO_STEP
from mnedge.engine.ledger.headers import workflow_of
from mnedge.engine.ledger.settle import parents_of
from mnedge.engine.ledger.state import Attempt, StepState
from mnedge.engine.state import Flight
from mnedge.engine.turn import Turn


def step_context(turn: Turn, flight: Flight) -> dict[str, Any]:
    """Return the `workflow` member of the context file; empty for work of no step."""
    place = _place(turn, flight)
    if place is None:
        return {}
    step, attempt = place
    context = {**workflow_of(turn, step, attempt), "parents": parents_of(turn, step)}
    if step.origin is not None:
        if step.origin.map_index is not None:
            context["map_index"] = step.origin.map_index
            context["map_item"] = step.origin.map_item
        if step.origin.step_input is not None:
            context["step_input"] = step.origin.step_input
    fan_out = turn.ledger.fan_outs.get(step.number)
    if fan_out is not None:
        context["fan_out"] = fan_out.results
    return context


def work_key(turn: Turn, flight: Flight) -> str:
    """Return the idempotency key of the flight's work, the same for all its launches."""
    place = _place(turn, flight)
    if place is None or place[1].message_id != _message_id(flight):
        return f"{turn.state.job_id}:{flight.work_id}"
    return place[1].idempotency_key


def _message_id(flight: Flight) -> str:
    return "" if flight.message is None else flight.message.message_id


def _place(turn: Turn, flight: Flight) -> tuple[StepState, Attempt] | None:
    if flight.step_id is None or turn.state.ledger is None:
        return None
    step = turn.ledger.steps.get(turn.ledger.step_of.get(flight.step_id, NO_STEP))
    if step is None:
        return None
    for attempt in reversed(step.attempts):
        if attempt.number == flight.attempt:
            return step, attempt
    return None
