"""Dead letters: kept until somebody has them delivered again or forgets them.

Source: bundle format 3.12.
"""

from typing import Any

from msgspec.structs import replace

from mnedge.engine.ledger.afterwards import follow_up
from mnedge.engine.ledger.definition import NO_STEP
from mnedge.engine.ledger.gate import step_for
from mnedge.engine.ledger.headers import ATTEMPT_ID, PREFIX, SOURCE_STEP_ID, STEP_ID, attempt_id
from mnedge.engine.ledger.settle import attempt_failed
from mnedge.engine.ledger.state import StepState
from mnedge.engine.ledger.telling import tell_step
from mnedge.engine.ledger.work import record
from mnedge.engine.route import deliver, forget_letter
from mnedge.engine.state import OUTSIDE, JobState, Letter
from mnedge.engine.turn import Turn
from mnedge.model.body import shown
from mnedge.model.ids import derived_id
from mnedge.model.message import Message, iso_ms, wire
from mnedge.model.states import TERMINAL, TERMINAL_STEP

EVERY = "*"
"""Stands for all dead letters."""


def dead_letters(state: JobState) -> list[dict[str, Any]]:
    """Return what reached nobody, the oldest first, for people and programs."""
    return [
        {
            "message_id": message_id,
            "reason": letter.reason,
            "at": iso_ms(letter.at),
            "agent_id": letter.message.to or None,
            "step_id": letter.step_id,
            "message": shown(wire(letter.message, state.job_id)),
        }
        for message_id, letter in state.letters.items()
    ]


def redrive(turn: Turn, message_id: Any) -> None:
    """Deliver a dead letter (`EVERY`: all) again, under a new id."""
    for known_id, letter in _chosen(turn, message_id):
        message = letter.message
        target = turn.job.index_of.get(message.to)
        about = {"message_id": known_id, "agent_id": message.to or None}
        if target is None:
            reason = f"agent {message.to or '(none)'} is not part of the job"
            turn.tell("dead_letter_redrive_failed", message.to or None, {**about, "reason": reason})
            continue
        forget_letter(turn, known_id)
        again = _again(turn, message)
        turn.tell("dead_letter_redriven", message.to, {**about, "new_message_id": again.message_id})
        deliver(turn, OUTSIDE, target, again)


def _again(turn: Turn, message: Message) -> Message:
    """Return the message as if it were new: of no attempt, and without its long way."""
    headers = {
        key: value
        for key, value in message.headers.items()
        if not key.startswith(PREFIX) or key in (SOURCE_STEP_ID, STEP_ID)
    }
    new_id = derived_id(f"redrive:{turn.state.job_id}:{message.message_id}")
    attempt = message.attempt + 1
    return replace(message, message_id=new_id, headers=headers, at=turn.at, hops=0, attempt=attempt)


def discard(turn: Turn, message_id: Any) -> None:
    """Forget a dead letter (`EVERY`: all)."""
    for known_id, letter in _chosen(turn, message_id):
        forget_letter(turn, known_id)
        agent_id = letter.message.to or None
        payload = {"message_id": known_id, "agent_id": agent_id, "reason": letter.reason}
        turn.tell("dead_letter_discarded", agent_id, payload)


def _chosen(turn: Turn, message_id: Any) -> list[tuple[str, Letter]]:
    letters = turn.state.letters
    if message_id == EVERY:
        return list(letters.items())
    letter = letters.get(message_id) if isinstance(message_id, str) else None
    if letter is None:
        turn.tell("dead_letter_unknown", None, {"message_id": message_id})
        return []
    return [(message_id, letter)]


def tell_steps(turn: Turn) -> None:
    """Tell the steps of messages that were lost; an attempt that lost one of its own fails."""
    while turn.lost:
        lost, turn.lost = turn.lost, []
        for message, reason in lost:
            if turn.state.status in TERMINAL:
                return
            _tell_step(turn, message, reason)
    if turn.ended:
        follow_up(turn)


def _tell_step(turn: Turn, message: Message, reason: str) -> None:
    index = turn.job.index_of.get(message.to)
    number = NO_STEP if index is None else step_for(turn, index, message)
    step = turn.ledger.steps.get(number)
    if step is None:
        return
    letter = turn.state.letters.get(message.message_id)
    if letter is not None:
        letter.step_id = step.step_id
    if step.status in TERMINAL_STEP:
        return
    record(turn, step, message, "failed", reason=reason)
    tell_step(
        turn,
        "workflow_message_dead_lettered",
        step,
        message_id=message.message_id,
        reason=reason,
    )
    if _is_of_current_attempt(step, message):
        attempt_failed(turn, step, f"workflow message delivery failed: {reason}")


def _is_of_current_attempt(step: StepState, message: Message) -> bool:
    current = step.current
    if current is None:
        return False
    if message.headers.get(ATTEMPT_ID) == attempt_id(step, current):
        return True
    return any(saved.message_id == message.message_id for saved in step.saved or ())
