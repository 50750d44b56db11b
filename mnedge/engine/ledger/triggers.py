"""When a step may run: the seven rules, told from what it counted of its parents.

Source: worker contract 5.9, bundle format 3.7.
"""

from typing import Any, assert_never

from mnedge.engine.ledger.graph import accepts
from mnedge.engine.ledger.state import StepState
from mnedge.engine.turn import Turn
from mnedge.model.manifest import Step
from mnedge.model.states import SUCCESSFUL_STEP, TriggerRule


def satisfied(step: StepState, definition: Step) -> bool:
    """Tell whether the step may run."""
    parents = len(step.ins)
    match definition.rule:
        case TriggerRule.ALL_SUCCESS:
            return step.accepted == parents
        case TriggerRule.ALL_DONE:
            return step.ended == parents
        case TriggerRule.ONE_SUCCESS:
            return step.succeeded > 0
        case TriggerRule.ONE_DONE:
            return step.ended > 0
        case TriggerRule.ONE_FAILED:
            return step.failed > 0
        case TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS:
            return step.ended == parents and step.failed == 0 and step.succeeded > 0
        case TriggerRule.QUORUM_SUCCESS:
            return step.succeeded >= (definition.quorum or 1)
        case _:
            assert_never(definition.rule)


def impossible(step: StepState, definition: Step) -> bool:
    """Tell whether the step can never run any more."""
    parents = len(step.ins)
    if not parents or satisfied(step, definition):
        return False
    match definition.rule:
        case TriggerRule.ALL_DONE | TriggerRule.ONE_DONE:
            return False
        case TriggerRule.QUORUM_SUCCESS:
            return step.succeeded + parents - step.ended < (definition.quorum or 1)
        case _:
            return step.ended == parents


def is_synthetic(turn: Turn, step: StepState) -> bool:
    """Tell whether a step that may run is started by the ledger rather than by a message."""
    ledger = turn.ledger
    compiled = turn.compiled_ledger
    rule = compiled.definitions[step.definition].step.rule
    origin = step.origin
    if origin is not None and (origin.template_id is not None or origin.child_phase is not None):
        return True
    if rule is TriggerRule.ONE_FAILED:
        return True
    if rule is TriggerRule.ALL_DONE and step.failed:
        return True
    if rule is TriggerRule.ONE_DONE and not step.succeeded:
        return True
    if step.driven:
        return True
    if not step.ins or step.ended < len(step.ins):
        return False
    parents = {ledger.steps[ledger.edges[number].source].definition: None for number in step.ins}
    return not any(compiled.feeds(parent, step.definition) for parent in parents)


SEEN = 100
NAMED = 20


def blocked_on(turn: Turn, step: StepState) -> list[dict[str, Any]]:
    """Return the parents that a blocked step waits for: the first of those that came last.

    Of a wide join only a part is looked at, so that blocking costs the same however wide it is.
    """
    ledger = turn.ledger
    found = []
    for number in step.ins[-SEEN:]:
        edge = ledger.edges[number]
        parent = ledger.steps[edge.source]
        if edge.checkpoint_revision is not None:
            continue
        if parent.status not in SUCCESSFUL_STEP or not accepts(edge, parent):
            found.append(
                {
                    "from": parent.step_id,
                    "status": parent.status.value,
                    "accepts": edge.accepts,
                    "outcome": None if parent.outcome is None else parent.outcome.value,
                }
            )
            if len(found) == NAMED:
                break
    return found
