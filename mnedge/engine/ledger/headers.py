"""The workflow headers of messages: which step they are for, and of which attempt.

Source: bundle format 3.1.
"""

from typing import Any

from msgspec.structs import replace

from mnedge.engine.ledger.definition import NO_STEP
from mnedge.engine.ledger.state import Attempt, StepState
from mnedge.engine.turn import Turn
from mnedge.model.message import Message, iso_ms

PREFIX = "mn.workflow."
RUN_ID = PREFIX + "run_id"
STEP_ID = PREFIX + "step_id"
SOURCE_STEP_ID = PREFIX + "source_step_id"
ATTEMPT_ID = PREFIX + "attempt_id"
_KEPT_BY_PASSERS = (RUN_ID, SOURCE_STEP_ID)


def attempt_id(step: StepState, attempt: Attempt) -> str:
    """Return what workers and people call the attempt."""
    return f"{step.step_id}:attempt:{attempt.number}"


def workflow_of(turn: Turn, step: StepState, attempt: Attempt) -> dict[str, Any]:
    """Return what a worker is told of its attempt; moments in seconds of job time."""
    definition = turn.definition(step).step
    origin = step.origin
    return {
        "run_id": turn.state.job_id,
        "step_id": step.step_id,
        "attempt_id": attempt_id(step, attempt),
        "attempt": attempt.number,
        "deadline_at": attempt.deadline_at,
        "heartbeat_deadline_at": attempt.heartbeat_deadline_at,
        "idempotency_key": attempt.idempotency_key,
        "timeout_seconds": definition.timeout_s,
        "heartbeat_timeout_ms": definition.heartbeat_ms,
        "graph_revision": turn.ledger.revision,
        "template_id": None if origin is None else origin.template_id,
        "region_id": None if origin is None else origin.region_id,
    }


def decorated(turn: Turn, step: StepState, attempt: Attempt, message: Message) -> Message:
    """Return the message with the headers of the attempt that takes it."""
    kept = {
        key: value
        for key, value in message.headers.items()
        if not key.startswith(PREFIX) or key == SOURCE_STEP_ID
    }
    for name, value in workflow_of(turn, step, attempt).items():
        if value is not None:
            moment = name.endswith("_at") and isinstance(value, float)
            kept[PREFIX + name] = iso_ms(value) if moment else value
    return replace(message, headers=kept)


def headers_to(turn: Turn, headers: dict[str, Any], target: int) -> dict[str, Any]:
    """Return the headers of a message to that agent, sent while `turn.step` is worked on."""
    compiled, ledger = turn.compiled_ledger, turn.ledger
    if turn.step != NO_STEP:
        step = ledger.steps[turn.step]
        if target in compiled.definitions[step.definition].agents:
            return headers
        sent = {key: value for key, value in headers.items() if not key.startswith(PREFIX)}
        sent[SOURCE_STEP_ID] = step.step_id
    else:
        sent = {
            key: value
            for key, value in headers.items()
            if not key.startswith(PREFIX) or key in _KEPT_BY_PASSERS
        }
    sent[RUN_ID] = turn.state.job_id
    number = compiled.step_of_agent.get(target, NO_STEP)
    if number != NO_STEP:
        sent[STEP_ID] = compiled.definitions[number].step.step_id
    return sent
