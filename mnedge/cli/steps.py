"""How far each step of a workflow is: folded from events, or read from the ledger. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct, structs

from mnedge.model.states import SUCCESSFUL_STEP, TERMINAL, TERMINAL_STEP

OVER = frozenset(map(str, TERMINAL_STEP))
WELL = frozenset(map(str, SUCCESSFUL_STEP))
_JOB_OVER = frozenset(map(str, TERMINAL))


class StepProgress(Struct, kw_only=True):
    """One step. Units: `_at` are seconds of job time."""

    step_id: str
    status: str = "pending"
    outcome: str = ""
    attempts: int = 0
    max_attempts: int = 1
    blocked_on: Sequence[str] = ()
    """Steps that it waits for, or what else holds it up."""
    retry_at: float | None = None
    started_at: float | None = None
    """Of the attempt under way."""
    beacon_at: float | None = None
    """When its worker last gave a sign of life."""
    reason: str = ""
    """Why it failed, is tried again or was skipped."""
    asks: bool = False
    """A person is asked, and the step waits for the answer."""
    stopped: bool = False
    """It was under way, or about to be, when its job ended."""

    @property
    def over(self) -> bool:
        """Tell whether nothing more will come of it."""
        return self.status in OVER


_STATUSES = {
    "workflow_step_attempt_started": "running",
    "workflow_step_started": "running",
    "workflow_step_beacon": "running",
    "workflow_step_blocked": "blocked",
    "workflow_step_triggered": "queued",
    "workflow_step_attempt_retry_scheduled": "retry_wait",
    "workflow_step_attempt_timed_out": "retry_wait",
    "workflow_step_attempt_completed": "completed",
    "workflow_step_completed": "completed",
    "workflow_step_partial": "partial",
    "workflow_step_skipped": "skipped",
    "workflow_step_failed": "failed",
    "workflow_controller_checkpointed": "waiting",
}
_QUIET = frozenset({"workflow_step_attempt_completed", "workflow_step_beacon"})
"""They say nothing of a step that is over."""


def take_step(
    steps: dict[str, StepProgress],
    step_id: str,
    event_type: str,
    payload: Mapping[str, Any],
    at: float,
) -> None:
    """Take in an event of the ledger about one step."""
    step = steps.setdefault(step_id, StepProgress(step_id=step_id))
    if step.over and event_type in _QUIET:
        return
    before = step.status
    known = payload.get("status")
    step.status = _STATUSES.get(event_type, known if isinstance(known, str) and known else before)
    if event_type not in _STATUSES and before in OVER:
        step.status = before  # late words about what is over
    _count(step, payload)
    match event_type:
        case "workflow_step_attempt_started":
            step.started_at, step.beacon_at, step.retry_at = at, None, None
            step.blocked_on, step.reason = (), ""
        case "workflow_step_beacon":
            step.beacon_at = at
        case "workflow_step_blocked":
            step.blocked_on = blockers(payload)
        case "workflow_step_attempt_retry_scheduled":
            step.retry_at = seconds_of(payload.get("retry_at"))
            step.reason = why(payload)
        case "workflow_step_partial" | "workflow_step_skipped" | "workflow_step_failed":
            step.reason = why(payload)
        case _:
            pass
    if step.over:
        step.blocked_on, step.retry_at, step.beacon_at = (), None, None
        step.asks = False


def take_scatter(
    steps: dict[str, StepProgress], payload: Mapping[str, Any], scatterer: str
) -> None:
    """Take in that instances have taken the place of steps."""
    targets = payload.get("targets")
    for target in targets if isinstance(targets, list) else ():
        if isinstance(target, str) and payload.get("instance_ids"):
            step = steps.setdefault(target, StepProgress(step_id=target))
            step.status, step.outcome = "skipped", "mapped"
    ids = payload.get("instance_ids")
    for step_id in ids if isinstance(ids, list) else ():
        if isinstance(step_id, str):
            steps.setdefault(step_id, StepProgress(step_id=step_id, blocked_on=(scatterer,)))


def _count(step: StepProgress, payload: Mapping[str, Any]) -> None:
    attempt, most = payload.get("attempt"), payload.get("max_attempts")
    if isinstance(attempt, int):
        step.attempts = max(step.attempts, attempt)
    if isinstance(most, int):
        step.max_attempts = most
    if isinstance(payload.get("outcome"), str):
        step.outcome = payload["outcome"]


def from_ledger(workflow: Mapping[str, Any]) -> dict[str, StepProgress]:
    """Return the steps of a `workflow_state`, in their order."""
    records = workflow.get("steps", {})
    order = with_instances(workflow.get("step_order", ()))
    steps = {step_id: _step(records[step_id]) for step_id in order}
    if workflow.get("status") in _JOB_OVER:
        stop(steps.values())
    return steps


def with_instances(order: Iterable[str]) -> list[str]:
    """Return the steps with the instances of each behind it: they were added later."""
    every = list(order)
    known = set(every)
    behind: dict[str, list[str]] = {}
    for step_id in every:
        stem, bracket, _ = step_id.rpartition("[")
        if bracket and stem in known:
            behind.setdefault(stem, []).append(step_id)
    moved = {one for instances in behind.values() for one in instances}
    found: list[str] = []
    waiting = [step_id for step_id in reversed(every) if step_id not in moved]
    while waiting:
        step_id = waiting.pop()
        found.append(step_id)
        waiting += reversed(behind.get(step_id, []))
    return found


def stop(steps: Iterable[StepProgress]) -> None:
    """Have those that were under way, or about to be, end with their job."""
    for step in steps:
        step.stopped = not step.over and step.status != "pending"


def _step(record: Mapping[str, Any]) -> StepProgress:
    step = StepProgress(
        step_id=record["id"],
        status=record["status"],
        outcome=record.get("terminal_outcome") or "",
        attempts=record.get("attempt_count", 0),
        max_attempts=record.get("max_attempts", 1),
        retry_at=seconds_of(record.get("retry_at")),
        blocked_on=blockers(record),
        reason=record.get("terminal_reason") or "",
    )
    attempts = record.get("attempts") or ()
    if record.get("current_attempt") and attempts:
        return structs.replace(
            step,
            started_at=seconds_of(attempts[-1].get("started_at")),
            beacon_at=seconds_of(attempts[-1].get("last_beacon_at")),
        )
    if not step.reason and attempts and step.status in ("retry_wait", "failed"):
        step.reason = why(attempts[-1])
    return step


def blockers(payload: Mapping[str, Any]) -> list[str]:
    """Return the steps that a step waits for, or the one other thing."""
    waits = payload.get("blocked_on")
    if isinstance(waits, list) and waits:
        return [str(one.get("from", "")) for one in waits if isinstance(one, Mapping)]
    reason = payload.get("reason")
    return [reason] if isinstance(reason, str) and reason else []


def why(payload: Mapping[str, Any]) -> str:
    """Return the reason that an event or an attempt gives."""
    error = payload.get("error")
    if isinstance(error, Mapping):
        details = error.get("details")
        message = details.get("message") if isinstance(details, Mapping) else None
        error = message if isinstance(message, str) and message else error.get("desc")
    reason = payload.get("reason")
    told = [text for text in (reason, error) if isinstance(text, str) and text]
    return told[0] if told else ""


def seconds_of(moment: Any) -> float | None:
    """Return a moment as the ledger shows it in seconds; None if it is none."""
    if not isinstance(moment, str):
        return None
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return None
