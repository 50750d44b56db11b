"""Who runs when not all may: the line for a place among the running steps.

Each agent stands in it with the step that it would take next, by when that step was queued. An
agent that is busy holds nobody up. Source: bundle format 3.16.
"""

from bisect import bisect_left, insort

from mnedge.engine.ledger.state import StepState
from mnedge.engine.route import make_ready
from mnedge.engine.turn import Turn
from mnedge.model.states import StepStatus


def stand_in_line(turn: Turn, index: int) -> None:
    """Put the agent where its next step belongs in the line, or take it out."""
    ledger = turn.ledger
    if turn.compiled_ledger.workflow.max_parallel_steps is None:
        return
    before = ledger.in_line.pop(index, None)
    if before is not None:
        del ledger.line[bisect_left(ledger.line, (before, index))]
    step = _next_due(turn, index)
    if step is not None and step.status is StepStatus.QUEUED:
        insort(ledger.line, (step.ticket, index))
        ledger.in_line[index] = step.ticket


def _next_due(turn: Turn, index: int) -> StepState | None:
    """Return the agent's next due step; those that want nothing any more are struck off."""
    agent = turn.state.agents[index]
    while agent.due:
        step = turn.ledger.steps.get(agent.due[0])
        if step is not None and step.status in (StepStatus.QUEUED, StepStatus.RUNNING):
            return step
        agent.due.popleft()
        if step is not None:
            step.due = [other for other in step.due if other != index]
    agent.due = None
    return None


def has_place(turn: Turn, step: StepState) -> bool:
    """Tell whether the step may run now: there is a place, and nobody waits longer for it."""
    most = turn.compiled_ledger.workflow.max_parallel_steps
    if most is None:
        return True
    free = most - turn.ledger.running
    before: dict[int, None] = {}
    for ticket, index in turn.ledger.line:
        if free <= len(before) or (step.ticket and ticket >= step.ticket):
            break
        number = _next_step(turn, index)
        if number is not None and number != step.number:
            before[number] = None
    return free > len(before)


def give_places(turn: Turn) -> None:
    """Let as many of those that wait for a place come up as there are places."""
    most = turn.compiled_ledger.workflow.max_parallel_steps
    if most is None or not turn.ledger.line:
        return
    free = most - turn.ledger.running
    given: dict[int, None] = {}
    for _, index in turn.ledger.line:
        if free <= len(given):
            break
        number = _next_step(turn, index)
        if number is not None:
            given[number] = None
            make_ready(turn, index)


def _next_step(turn: Turn, index: int) -> int | None:
    """Return the step that the agent would take next, if it has nothing else to do."""
    agent = turn.state.agents[index]
    if agent.flight is not None or agent.holding or not agent.due:
        return None
    return agent.due[0]
