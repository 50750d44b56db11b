"""What workers report of steps: events that decide, and completions.

Source: bundle format 3.6, worker contract 5.9.
"""

from typing import Any

from mnedge.engine.ledger import children, patch
from mnedge.engine.ledger.branch import branch, skipped_by_worker
from mnedge.engine.ledger.definition import NO_STEP
from mnedge.engine.ledger.headers import attempt_id
from mnedge.engine.ledger.scatter import scatter
from mnedge.engine.ledger.settle import attempt_failed, completed, reconsider, resolve
from mnedge.engine.ledger.state import StepState
from mnedge.engine.ledger.telling import error_of, tell_step
from mnedge.engine.ledger.work import NO_AGENT, tell_stale, tell_stale_number
from mnedge.engine.turn import Turn
from mnedge.model.events import STEP_REPORTS
from mnedge.model.facts import NamedEvent
from mnedge.model.states import TERMINAL_STEP, StepOutcome, StepStatus

_STEP_KEYS = ("step", "step_id", "workflow_step_id", "phase", "phase_id")
_OWN_STEP_ONLY = ("workflow_graph_patch", "workflow_controller_checkpoint")


def report(turn: Turn, index: int, event: NamedEvent, attempt_number: int | None) -> None:
    """Act on a worker's event; `attempt_number` is the attempt that it was published in."""
    if turn.state.ledger is None or event.type not in STEP_REPORTS:
        return
    step = _step_of(turn, index, event)
    if step is None:
        return
    step.last_event_at = turn.at
    own = step.number == turn.step
    if own and attempt_number is not None and _is_over(step, attempt_number):
        _tell_late(turn, step, event.type, attempt_number)
        return
    if step.status in TERMINAL_STEP:
        tell_step(
            turn,
            "workflow_step_stale_event_ignored",
            step,
            event_type=event.type,
            step_status=step.status.value,
        )
        return
    if _is_fenced(turn, step, event.payload):
        return
    _act(turn, step, event, attempt_number if own else None, index if own else NO_AGENT)


def _step_of(turn: Turn, index: int, event: NamedEvent) -> StepState | None:
    ledger = turn.ledger
    if event.type not in _OWN_STEP_ONLY:
        for key in _STEP_KEYS:
            name = event.payload.get(key)
            number = ledger.step_of.get(name) if isinstance(name, str) else None
            if number is not None:
                return ledger.steps[number]
    number = turn.step
    if number == NO_STEP and event.type not in _OWN_STEP_ONLY:
        number = turn.compiled_ledger.step_of_agent.get(index, NO_STEP)
    return ledger.steps.get(number)


def _is_over(step: StepState, attempt_number: int) -> bool:
    current = step.current
    return current is None or current.number != attempt_number


def _tell_late(turn: Turn, step: StepState, event_type: str, attempt_number: int) -> None:
    """Tell of a report whose attempt is over; what ended it may be the same worker's word."""
    if step.status in TERMINAL_STEP:
        tell_step(
            turn,
            "workflow_step_stale_event_ignored",
            step,
            event_type=event_type,
            step_status=step.status.value,
        )
    else:
        tell_stale_number(turn, step, attempt_number)


def _is_fenced(turn: Turn, step: StepState, payload: dict[str, Any]) -> bool:
    """Tell whether the payload itself names another attempt than the current one."""
    named, key = payload.get("attempt_id"), payload.get("idempotency_key")
    named = named if isinstance(named, str) and ":attempt:" in named else None
    key = key if isinstance(key, str) and key else None
    if named is None and key is None:
        return False
    current = step.current
    if current is not None:
        fits = named is None or named == attempt_id(step, current)
        if fits and (key is None or key == current.idempotency_key):
            return False
    for attempt in step.attempts:
        if named == attempt_id(step, attempt) or key == attempt.idempotency_key:
            tell_stale(turn, step, attempt)
            return True
    tell_step(
        turn,
        "workflow_step_stale_output_ignored",
        step,
        attempt_id=named,
        idempotency_key=key,
    )
    return True


def _act(
    turn: Turn, step: StepState, event: NamedEvent, attempt_number: int | None, speaker: int
) -> None:
    """Act on an event that counts; the launch of the worker that speaks of its own step goes on."""
    payload = event.payload
    match event.type:
        case "workflow_step_completed" | "workflow_step_attempt_completed":
            complete(turn, step, attempt_number, payload, speaker=speaker)
        case "workflow_step_partial":
            _partial(turn, step, payload, speaker)
        case "workflow_step_skipped":
            downstream = payload.get("skip_downstream") is True
            skipped_by_worker(turn, step, payload, downstream=downstream, speaker=speaker)
        case "workflow_step_failed":
            _failed(turn, step, payload)
        case "workflow_step_branch":
            branch(turn, step, payload)
        case "workflow_step_scatter":
            scatter(turn, step, payload)
        case "workflow_graph_patch":
            patch.patch(turn, step, payload, speaker)
        case "workflow_controller_checkpoint":
            patch.checkpoint(turn, step, payload, speaker)
        case _:
            pass


def _partial(turn: Turn, step: StepState, payload: dict[str, Any], speaker: int) -> None:
    attempt = step.current
    reason = payload.get("reason")
    reason = reason if isinstance(reason, str) and reason else None
    status, outcome = StepStatus.PARTIAL, StepOutcome.PARTIAL
    resolve(turn, step, status, outcome, reason=reason, output=payload, speaker=speaker)
    tell_step(turn, "workflow_step_partial", step, attempt, reason=reason, outcome="partial")
    reconsider(turn)


def _failed(turn: Turn, step: StepState, payload: dict[str, Any]) -> None:
    failure = payload.get("error") or payload.get("reason") or "the worker reported a failure"
    if step.current is None:
        error = error_of(turn, step, failure, attempt=None)
        step.reason, step.error = str(error["details"]["message"]), error
        return
    attempt_failed(turn, step, failure)


def complete(
    turn: Turn,
    step: StepState,
    attempt_number: int | None,
    output: Any,
    *,
    speaker: int = NO_AGENT,
) -> bool:
    """Complete the step by the answer of one of its attempts; tell whether it counted.

    `attempt_number` None: a report that is bound to none.
    """
    if step.status in TERMINAL_STEP:
        _tell_late(turn, step, "workflow_step_completed", attempt_number or 0)
        return False
    if attempt_number is not None and _is_over(step, attempt_number):
        tell_stale_number(turn, step, attempt_number)
        return False
    if children.takes_over(turn, step, output, speaker):
        return False
    completed(turn, step, output, speaker=speaker)
    return True
