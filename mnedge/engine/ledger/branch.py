"""Ways not taken: branches, and steps that skip all that comes after them.

Source: bundle format 3.6, 3.9.
"""

from typing import Any

from mnedge.engine.ledger.settle import reconsider, resolve, skip
from mnedge.engine.ledger.state import StepState
from mnedge.engine.ledger.telling import tell_step
from mnedge.engine.turn import Turn
from mnedge.model.states import TERMINAL_STEP, StepOutcome, StepStatus


def branch(turn: Turn, step: StepState, payload: dict[str, Any]) -> None:
    """Skip the step's direct children that were not selected."""
    given = payload.get("branches", payload.get("branch"))
    names = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    selected = [name for name in names if isinstance(name, str)]
    children = _children(turn, step)
    ids = [child.step_id for child in children]
    skipped: list[str] = []
    for child in children:
        if child.step_id not in selected and child.status not in TERMINAL_STEP:
            _skip_and_cascade(turn, child, f"not selected by branch {step.step_id}", skipped)
    payload = {"selected": [name for name in selected if name in ids], "skipped": skipped}
    unknown = [name for name in selected if name not in ids]
    if unknown:
        payload["unknown"] = unknown
    tell_step(turn, "workflow_branch_selected", step, **payload)
    reconsider(turn)


def _skip_and_cascade(turn: Turn, step: StepState, reason: str, skipped: list[str]) -> None:
    """Skip the step, and every child whose parents are all skipped."""
    ledger = turn.ledger
    todo = [(step, reason)]
    while todo:
        one, why = todo.pop(0)
        if one.status in TERMINAL_STEP:
            continue
        skip(turn, one, why)
        skipped.append(one.step_id)
        for child in _children(turn, one):
            parents = (ledger.steps[ledger.edges[number].source] for number in child.ins)
            if child.status not in TERMINAL_STEP and all(
                parent.status is StepStatus.SKIPPED for parent in parents
            ):
                todo.append((child, reason))


def skipped_by_worker(
    turn: Turn, step: StepState, payload: dict[str, Any], *, downstream: bool, speaker: int
) -> None:
    """Skip the step because its worker says so, and all its descendants if it says that too."""
    attempt = step.current
    reason = payload.get("reason")
    reason = reason if isinstance(reason, str) and reason else "skipped by its worker"
    status, outcome = StepStatus.SKIPPED, StepOutcome.SKIPPED
    resolve(turn, step, status, outcome, reason=reason, output=payload, speaker=speaker)
    tell_step(
        turn,
        "workflow_step_skipped",
        step,
        attempt,
        reason=reason,
        outcome="skipped",
        skip_downstream=downstream,
    )
    if downstream:
        seen = {step.number: None}
        todo = [step]
        while todo:
            for child in _children(turn, todo.pop(0)):
                if child.number in seen:
                    continue
                seen[child.number] = None
                todo.append(child)
                if child.status not in TERMINAL_STEP:
                    skip(turn, child, f"short-circuited by {step.step_id}")
    reconsider(turn)


def _children(turn: Turn, step: StepState) -> list[StepState]:
    ledger = turn.ledger
    numbers = dict.fromkeys(ledger.edges[number].target for number in step.outs)
    return [ledger.steps[number] for number in numbers]
