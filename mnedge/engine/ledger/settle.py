"""What a step comes to, and what follows for those that depend on it.

Source: bundle format 3.6, 3.7.
"""

from typing import Any

from msgspec.structs import replace

from mnedge.engine.job import fail
from mnedge.engine.ledger import gate
from mnedge.engine.ledger.graph import count_ended
from mnedge.engine.ledger.places import give_places
from mnedge.engine.ledger.state import StepState
from mnedge.engine.ledger.telling import agent_id_of, error_of, tell_step
from mnedge.engine.ledger.triggers import impossible, is_synthetic, satisfied
from mnedge.engine.ledger.work import NO_AGENT, clear_timers, close, keep_saved, record
from mnedge.engine.state import Timer
from mnedge.engine.turn import Turn
from mnedge.model.body import weight_of
from mnedge.model.ids import derived_id
from mnedge.model.manifest import Step
from mnedge.model.message import Message, iso_ms_or_none, weight
from mnedge.model.states import (
    SUCCESSFUL_STEP,
    TERMINAL,
    TERMINAL_STEP,
    AttemptStatus,
    FailurePolicy,
    StepOutcome,
    StepStatus,
)

IMPOSSIBLE = "trigger rule cannot be satisfied"
MAX_BACKOFF_MS = 30 * 86_400_000
"""However steep the backoff: a month."""
_ATTEMPT_OF = {
    StepStatus.COMPLETED: AttemptStatus.COMPLETED,
    StepStatus.PARTIAL: AttemptStatus.PARTIAL,
    StepStatus.SKIPPED: AttemptStatus.SKIPPED,
    StepStatus.FAILED: AttemptStatus.FAILED,
}
_UNSTARTED = (StepStatus.PENDING, StepStatus.READY, StepStatus.BLOCKED)


def resolve(
    turn: Turn,
    step: StepState,
    status: StepStatus,
    outcome: StepOutcome,
    *,
    reason: str | None = None,
    error: dict[str, Any] | None = None,
    output: Any = None,
    speaker: int = NO_AGENT,
) -> None:
    """Make the step terminal: nothing is out for it any more, and its children count it.

    The caller tells of it and calls `reconsider`.
    """
    close(turn, step, _ATTEMPT_OF[status], reason, error, speaker=speaker)
    step.status, step.outcome = status, outcome
    step.reason, step.error = reason, error
    step.ended_at, step.retry_at = turn.at, None
    if status is not StepStatus.FAILED:
        keep_saved(turn, step, None)  # else a job that goes on with this one delivers it again
    keep_output(turn, step, output)
    ledger = turn.ledger
    if status in SUCCESSFUL_STEP:
        ledger.unfinished -= 1
    if status is StepStatus.COMPLETED:
        ledger.completions += 1
        step.completed_nth = ledger.completions
    gate.leave_line(turn, step)
    gate.ignore_waiting(turn, step)
    count_ended(turn, step)
    turn.ended[step.number] = None


def keep_output(turn: Turn, step: StepState, output: Any) -> None:
    """Keep what the step has brought forth."""
    before = step.weight_bytes
    step.output = output
    step.weight_bytes = 0 if output is None else weight_of(output)
    turn.state.kept_bytes += step.weight_bytes - before


def skip(
    turn: Turn, step: StepState, reason: str, outcome: StepOutcome = StepOutcome.SKIPPED
) -> None:
    """Skip a step that is not terminal."""
    attempt = step.current
    resolve(turn, step, StepStatus.SKIPPED, outcome, reason=reason)
    tell_step(turn, "workflow_step_skipped", step, attempt, reason=reason, outcome=outcome.value)


def reconsider(turn: Turn) -> None:
    """Start, or skip, whatever may or can never run after what has changed."""
    while turn.touched and turn.state.status not in TERMINAL:
        number = next(iter(turn.touched))
        del turn.touched[number]
        step = turn.ledger.steps.get(number)
        if step is not None and step.status in _UNSTARTED:
            _reconsider_one(turn, step)
    give_places(turn)


def _reconsider_one(turn: Turn, step: StepState) -> None:
    definition = turn.definition(step)
    if impossible(step, definition.step):
        skip(turn, step, IMPOSSIBLE)
    elif not satisfied(step, definition.step):
        if step.status is StepStatus.READY:
            step.status = StepStatus.PENDING
    elif not definition.agents:
        resolve(turn, step, StepStatus.COMPLETED, StepOutcome.SUCCESS, reason="it has no agent")
        tell_step(turn, "workflow_step_completed", step, reason="it has no agent")
    elif step.waiting:
        gate.release(turn, step)
    elif is_synthetic(turn, step):
        trigger(turn, step)
    else:
        step.status = StepStatus.READY


def trigger(turn: Turn, step: StepState, reason: str | None = None) -> None:
    """Start a step by a message of the ledger's own."""
    definition = turn.definition(step)
    rule = definition.step.rule.value
    more: dict[str, Any] = {} if reason is None else {"reason": reason}
    gate.put_first(turn, step, [_trigger_message(turn, step, rule)])
    gate.release(turn, step)
    tell_step(turn, "workflow_step_triggered", step, trigger_rule=rule, **more)


def _trigger_message(turn: Turn, step: StepState, rule: str) -> Message:
    origin, ledger = step.origin, turn.ledger
    step_input = None if origin is None else origin.step_input
    body: dict[str, Any] = {
        "trigger_rule": rule,
        "parents": parents_of(turn, step),
        "_mn_step": {
            "step_id": step.step_id,
            "graph_revision": ledger.revision,
            "template_id": None if origin is None else origin.template_id,
            "region_id": None if origin is None else origin.region_id,
            "step_input": step_input,
        },
        "step_input": step_input,
    }
    fan_out = ledger.fan_outs.get(step.number)
    if fan_out is not None:
        body["fan_out"] = fan_out.results
    seed = f"{turn.state.job_id}:trigger:{step.step_id}:{step.attempt_count}:{ledger.revision}"
    return Message(
        derived_id(seed),
        "workflow_trigger",
        turn.job.agents[turn.definition(step).primary].agent_id,
        "workflow_ledger",
        "command",
        derived_id(f"{turn.state.job_id}:correlation", size_bytes=10),
        turn.at,
        body,
        {"mn.workflow.run_id": turn.state.job_id, "mn.workflow.step_id": step.step_id},
        weight_bytes=weight(body, {}, [], None),
    )


def parents_of(turn: Turn, step: StepState) -> list[dict[str, Any]]:
    """Return the step's parents with what they came to."""
    ledger, found = turn.ledger, []
    for number in step.ins:
        edge = ledger.edges[number]
        parent = ledger.steps[edge.source]
        found.append(
            {
                "step_id": parent.step_id,
                "status": parent.status.value,
                "outcome": None if parent.outcome is None else parent.outcome.value,
                "output": parent.output,
                "edge_id": edge.edge_id,
            }
        )
    return found


# ---- failures ----


def attempt_failed(
    turn: Turn,
    step: StepState,
    failure: Any,
    *,
    number: int | None = None,
    code: str | None = None,
    final: bool = False,
) -> None:
    """Let the step's current attempt fail: another follows, or its failure policy decides.

    `number`: only if this is the one. `final`: no other attempt would help.
    """
    attempt = step.current
    if attempt is None or number not in (None, attempt.number):
        return
    definition = turn.definition(step).step
    error = error_of(turn, step, failure, code=code, attempt=attempt)
    reason = str(error["details"]["message"])
    close(turn, step, AttemptStatus.FAILED, reason, error)
    step.last_error = error
    tries = step.tries
    if not final and tries < definition.max_attempts:
        _wait_for_retry(turn, step, definition, tries, reason, error)
    else:
        exhausted(turn, step, reason, error, tries)
    reconsider(turn)


def _delay_ms(definition: Step, tries: int) -> int:
    """Return how long to wait after so many failed attempts."""
    try:
        factor = definition.retry_backoff_multiplier ** (tries - 1)
    except OverflowError:
        return MAX_BACKOFF_MS if definition.retry_backoff_ms else 0
    return int(min(definition.retry_backoff_ms * factor, MAX_BACKOFF_MS))


def _wait_for_retry(
    turn: Turn, step: StepState, definition: Step, tries: int, reason: str, error: dict[str, Any]
) -> None:
    delay_ms = _delay_ms(definition, tries)
    step.status = StepStatus.RETRY_WAIT
    step.retry_at = turn.at + delay_ms / 1000
    tell_step(
        turn,
        "workflow_step_attempt_retry_scheduled",
        step,
        step.attempts[-1],
        reason=reason,
        error=error,
        retry_at=iso_ms_or_none(step.retry_at),
        delay_ms=delay_ms,
        next_attempt=step.attempt_count + 1,
        max_attempts=definition.max_attempts,
        severity="WARN",
        retryable=True,
    )
    if turn.ledger.paused_at is not None:
        return
    if delay_ms:
        turn.set_timer(f"step:{step.step_id}:retry", Timer(step.retry_at, "retry", step.number))
    else:
        retry(turn, step)


def retry(turn: Turn, step: StepState) -> None:
    """Deliver again what the failed attempt had taken."""
    turn.clear_timer(f"step:{step.step_id}:retry", tell=False)
    saved, step.retry_at = step.saved, None
    keep_saved(turn, step, None)
    if not saved:
        reason = "workflow retry has no saved message"
        exhausted(turn, step, reason, error_of(turn, step, reason, attempt=None), step.tries)
        return
    number = step.attempt_count + 1
    gate.put_first(turn, step, [_again(turn, step, message, number) for message in saved])
    gate.release(turn, step)


def _again(turn: Turn, step: StepState, message: Message, number: int) -> Message:
    seed = f"workflow_attempt:{turn.state.job_id}:{step.step_id}:{message.message_id}:{number}"
    kept = {
        key: value
        for key, value in message.headers.items()
        if not key.startswith("mn.workflow.") or key == "mn.workflow.source_step_id"
    }
    kept["mn.workflow.run_id"] = turn.state.job_id
    kept["mn.workflow.step_id"] = step.step_id
    record(turn, step, message.message_id, "acked", reason="delivered again")
    return replace(message, message_id=derived_id(seed), headers=kept, at=turn.at)


def exhausted(turn: Turn, step: StepState, reason: str, error: dict[str, Any], tries: int) -> None:
    """Let the step's failure policy decide, now that no attempt is left."""
    definition = turn.definition(step).step
    attempt = step.attempts[-1] if step.attempts else None
    parent = None if step.origin is None else turn.ledger.steps.get(step.origin.parent)
    if definition.optional or (parent is not None and turn.definition(parent).step.optional):
        skipped = definition.failure_policy is FailurePolicy.SKIP
        status = StepStatus.SKIPPED if skipped else StepStatus.PARTIAL
        resolve(turn, step, status, StepOutcome.FAILED, reason=reason, error=error)
        tell_step(
            turn, "workflow_step_failed", step, attempt, reason=reason, error=error, handled=True
        )
        tell_step(turn, f"workflow_step_{status}", step, attempt, reason=reason, error=error)
        reconsider(turn)
        return
    resolve(turn, step, StepStatus.FAILED, StepOutcome.FAILED, reason=reason, error=error)
    tell_step(
        turn, "workflow_step_failed", step, attempt, reason=reason, error=error, handled=False
    )
    if parent is not None:
        reconsider(turn)  # its child workflow fails, and so does the parent
        return
    code = "workflow.step.retry_exhausted" if tries > 1 else error["code"]
    fail(
        turn,
        agent_id_of(turn, step, attempt),
        {"error": reason, "error_code": code, "cause": error["details"]},
        component="workflow",
        code=code,
        step_id=step.step_id,
        attempt=None if attempt is None else attempt.number,
        max_attempts=definition.max_attempts,
    )


# ---- completions ----


def completed(turn: Turn, step: StepState, output: Any, *, speaker: int = NO_AGENT) -> None:
    """Complete the step, whatever it still had out."""
    attempt = step.current
    status, outcome = StepStatus.COMPLETED, StepOutcome.SUCCESS
    resolve(turn, step, status, outcome, output=output, speaker=speaker)
    tell_step(turn, "workflow_step_completed", step, attempt)
    _watch_confidence(turn, step, output)
    for target in turn.ledger.unmapped.pop(step.number, ()):
        _skip_unmapped(turn, target)
    reconsider(turn)


def _skip_unmapped(turn: Turn, number: int) -> None:
    """Skip a target that its scatterer named with nothing to scatter."""
    target = turn.ledger.steps.get(number)
    if target is not None and target.status in _UNSTARTED and not target.waiting:
        skip(turn, target, "nothing was scattered", StepOutcome.MAPPED)


def _watch_confidence(turn: Turn, step: StepState, output: Any) -> None:
    definition = turn.definition(step).step
    least = definition.min_confidence
    if not least or not isinstance(output, dict):
        return
    inner = output.get("outputs")
    for place in (output, inner if isinstance(inner, dict) else {}):
        value = place.get("confidence")
        if isinstance(value, int | float) and not isinstance(value, bool):
            if value < least:
                tell_step(
                    turn,
                    "workflow_step_low_confidence",
                    step,
                    confidence=value,
                    min_confidence=least,
                    action=definition.on_low_confidence,
                )
            return


# ---- timers ----


def timer_fired(turn: Turn, kind: str, number: int) -> None:
    """Do what one of a step's timers was for."""
    step = turn.ledger.steps.get(number)
    if step is None or step.status in TERMINAL_STEP:
        return
    if kind == "retry":
        if step.status is StepStatus.RETRY_WAIT and step.retry_at is not None:
            if step.retry_at > turn.at:
                turn.set_timer(f"step:{step.step_id}:{kind}", Timer(step.retry_at, kind, number))
                return
            retry(turn, step)
            reconsider(turn)
        return
    attempt = step.current
    if attempt is None:
        return
    due_at = attempt.deadline_at if kind == "deadline" else attempt.heartbeat_deadline_at
    if due_at is not None and due_at > turn.at:
        turn.set_timer(f"step:{step.step_id}:{kind}", Timer(due_at, kind, number))
        return
    reason = "deadline exceeded" if kind == "deadline" else "heartbeat deadline exceeded"
    code = "workflow.step.timeout" if kind == "deadline" else "workflow.step.heartbeat_timeout"
    error = error_of(turn, step, reason, code=code, attempt=attempt)
    tell_step(turn, "workflow_step_attempt_timed_out", step, reason=reason, error=error)
    attempt_failed(turn, step, reason, code=code)


def rest(turn: Turn, step: StepState) -> None:
    """Let the step's attempt wait without a deadline: it waits for a person."""
    clear_timers(turn, step)
    attempt = step.current
    if attempt is not None:
        attempt.deadline_at = attempt.heartbeat_deadline_at = None
