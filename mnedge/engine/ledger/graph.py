"""Steps and edges of a ledger: added, removed, and counted as steps end."""

from mnedge.engine.ledger.state import (
    EDGE_BYTES,
    STEP_BYTES,
    ChildRun,
    LedgerState,
    Patch,
    StepEdgeState,
    StepState,
)
from mnedge.engine.turn import Turn
from mnedge.model.body import weight_of
from mnedge.model.states import SUCCESSFUL_STEP, TERMINAL_STEP, StepOutcome, StepStatus

_ALIASES = {
    StepStatus.COMPLETED: ("done", "completed"),
    StepStatus.PARTIAL: ("partial",),
    StepStatus.SKIPPED: ("skipped",),
}


def add_step(turn: Turn, step: StepState) -> None:
    """Put a step at the end of the order, under the ledger's next number."""
    ledger = turn.ledger
    step.number = ledger.next_step
    ledger.next_step += 1
    ledger.steps[step.number] = step
    ledger.step_of[step.step_id] = step.number
    if step.status not in SUCCESSFUL_STEP:
        ledger.unfinished += 1
    group = _group_of(ledger, step)
    if group is not None:
        group.steps.append(step.number)
        group.open += step.status not in TERMINAL_STEP
    turn.state.kept_bytes += _bytes_of(step)


def remove_step(turn: Turn, number: int) -> None:
    """Take out a step that has no edges."""
    ledger = turn.ledger
    step = ledger.steps.pop(number)
    del ledger.step_of[step.step_id]
    if step.status not in SUCCESSFUL_STEP:
        ledger.unfinished -= 1
    group = _group_of(ledger, step)
    if group is not None:
        group.steps.remove(number)
        group.open -= step.status not in TERMINAL_STEP
    turn.state.kept_bytes -= _bytes_of(step) + step.weight_bytes + step.saved_bytes


def _group_of(ledger: LedgerState, step: StepState) -> Patch | ChildRun | None:
    """Return what counts the step as one of its own: its patch, or its parent's child workflow."""
    origin = step.origin
    if origin is None:
        return None
    if origin.patch_id:
        return ledger.patches.get(origin.patch_id)
    return ledger.child_runs.get(origin.parent)


def _bytes_of(step: StepState) -> int:
    origin = step.origin
    if origin is None:
        return STEP_BYTES
    return STEP_BYTES + weight_of(origin.step_input) + weight_of(origin.map_item)


def add_edge(turn: Turn, edge: StepEdgeState) -> int:
    """Add an edge and return its number; what its source came to counts at once."""
    ledger = turn.ledger
    number = ledger.next_edge
    ledger.next_edge += 1
    ledger.edges[number] = edge
    ledger.edge_of[edge.edge_id] = number
    ledger.steps[edge.source].outs.append(number)
    target = ledger.steps[edge.target]
    target.ins.append(number)
    target.driven += edge.drives
    _count(ledger, edge, 1)
    turn.state.kept_bytes += EDGE_BYTES
    turn.touch(edge.target)
    return number


def remove_edge(turn: Turn, number: int) -> None:
    """Take an edge out."""
    ledger = turn.ledger
    edge = ledger.edges.pop(number)
    if ledger.edge_of.get(edge.edge_id) == number:
        del ledger.edge_of[edge.edge_id]
    ledger.steps[edge.source].outs.remove(number)
    target = ledger.steps[edge.target]
    target.ins.remove(number)
    target.driven -= edge.drives
    _count(ledger, edge, -1)
    turn.state.kept_bytes -= EDGE_BYTES
    turn.touch(edge.target)


def count_ended(turn: Turn, step: StepState) -> None:
    """Let the children of a step that has just become terminal know."""
    ledger = turn.ledger
    for number in step.outs:
        edge = ledger.edges[number]
        if edge.checkpoint_revision is None:
            _count(ledger, edge, 1)
            turn.touch(edge.target)


def accepts(edge: StepEdgeState, source: StepState) -> bool:
    """Tell whether the edge is content with how its source ended."""
    return any(alias in edge.accepts for alias in _ALIASES.get(source.status, ()))


def succeeded(step: StepState) -> bool:
    """Tell whether the step counts as a success."""
    return step.status is StepStatus.COMPLETED or step.outcome is StepOutcome.SUCCESS


def failed(step: StepState) -> bool:
    """Tell whether the step counts as a failure, handled or not."""
    return step.status is StepStatus.FAILED or step.outcome is StepOutcome.FAILED


def _count(ledger: LedgerState, edge: StepEdgeState, sign: int) -> None:
    """Add what the edge's source came to to what its target knows, or take it away."""
    source, target = ledger.steps[edge.source], ledger.steps[edge.target]
    if edge.checkpoint_revision is not None:
        target.ended += sign
        target.accepted += sign
        target.succeeded += sign
    elif source.status in TERMINAL_STEP:
        target.ended += sign
        target.accepted += sign * accepts(edge, source)
        target.succeeded += sign * succeeded(source)
        target.failed += sign * failed(source)
