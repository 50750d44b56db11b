"""One step over many items: instances take the place of their target.

Source: bundle format 3.9.
"""

from typing import Any

from msgspec.structs import replace

from mnedge.engine.job import fail
from mnedge.engine.ledger.gate import put_first
from mnedge.engine.ledger.graph import add_edge, add_step, remove_edge
from mnedge.engine.ledger.settle import reconsider, skip
from mnedge.engine.ledger.state import EDGE_BYTES, STEP_BYTES, Origin, StepState
from mnedge.engine.ledger.telling import tell_step
from mnedge.engine.turn import Turn
from mnedge.model.ids import derived_id
from mnedge.model.message import Message, weight
from mnedge.model.states import TERMINAL_STEP, StepOutcome

MAX_ITEMS = 1000
"""Unless the event itself says otherwise."""
MOST_ITEMS = 100_000
IDS_TOLD = 1000


def scatter(turn: Turn, step: StepState, payload: dict[str, Any]) -> None:
    """Put one instance per item in the place of the targets, which are skipped as mapped."""
    found = _checked(turn, step, payload)
    if isinstance(found, str):
        tell_step(turn, "workflow_step_scatter_rejected", step, reason=found)
        return
    targets, items = found
    size_bytes = turn.state.size_bytes + _growth_bytes(turn, targets, len(items))
    if size_bytes > turn.job.max_state_bytes:
        _fail_too_large(turn, step, size_bytes)
        return
    names = [target.step_id for target in targets]
    if not items:
        named = [*turn.ledger.unmapped.get(step.number, ()), *(one.number for one in targets)]
        turn.ledger.unmapped[step.number] = list(dict.fromkeys(named))
        tell_step(turn, "workflow_step_scattered", step, count=0, targets=names, instance_ids=[])
        return
    instances: dict[int, list[int]] = {target.number: [] for target in targets}
    for index, item in enumerate(items):
        target = targets[index % len(targets)]
        instance = _instance(turn, target, index, item)
        add_step(turn, instance)
        put_first(turn, instance, [_item_message(turn, step, instance, index, item)])
        instances[target.number].append(instance.number)
        turn.touch(instance.number)
    _rewire(turn, instances)
    ids = [turn.ledger.steps[number].step_id for ones in instances.values() for number in ones]
    tell_step(
        turn,
        "workflow_step_scattered",
        step,
        count=len(items),
        targets=names,
        instance_ids=sorted(ids, key=_place)[:IDS_TOLD],
    )
    for target in targets:
        skip(turn, target, "replaced by its instances", StepOutcome.MAPPED)
    reconsider(turn)


def _checked(
    turn: Turn, step: StepState, payload: dict[str, Any]
) -> tuple[list[StepState], list[Any]] | str:
    """Return targets and items, or why there can be no scatter."""
    given = payload.get("targets", payload.get("target"))
    names = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    names = list(dict.fromkeys(name for name in names if isinstance(name, str) and name))
    items = payload.get("items")
    most = payload.get("max_items")
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        most = MAX_ITEMS
    most = min(most, MOST_ITEMS)
    if not names:
        return "it names no target"
    if not isinstance(items, list):
        return "items must be a list"
    if len(items) > most:
        return f"{len(items)} items are more than max_items {most}"
    ledger = turn.ledger
    targets = []
    for name in names:
        number = ledger.step_of.get(name)
        if number is None:
            return f"unknown target {name}"
        target = ledger.steps[number]
        if target is step:
            return "a step cannot scatter over itself"
        if target.status in TERMINAL_STEP:
            return f"target {name} is already {target.status}"
        if not turn.definition(target).agents:
            return f"target {name} has no agent"
        targets.append(target)
    for index in range(len(items)):
        name = _instance_id(targets[index % len(targets)], index)
        if name in ledger.step_of:
            return f"step {name} exists already"
    return targets, items


def _instance_id(target: StepState, index: int) -> str:
    return f"{target.step_id}[{index}]"


def _growth_bytes(turn: Turn, targets: list[StepState], items: int) -> int:
    """Return about what the instances and their edges take: these are a product where scatters
    meet."""
    ledger = turn.ledger
    times = {
        target.number: len(range(place, items, len(targets)))
        for place, target in enumerate(targets)
    }
    touching = {number: None for one in targets for number in (*one.ins, *one.outs)}
    edges = sum(
        times.get(ledger.edges[number].source, 1) * times.get(ledger.edges[number].target, 1)
        for number in touching
    )
    return items * STEP_BYTES + edges * EDGE_BYTES


def _fail_too_large(turn: Turn, step: StepState, size_bytes: int) -> None:
    most = turn.job.max_state_bytes
    fail(
        turn,
        None,
        f"what step {step.step_id} scatters would make the job's state take {size_bytes} bytes,"
        f" more than its max_state_bytes of {most}",
        component="engine",
        code="job.max_state_bytes",
    )


def _instance(turn: Turn, target: StepState, index: int, item: Any) -> StepState:
    label = target.label or turn.definition(target).step.label or target.step_id
    before = target.origin or Origin()
    return StepState(
        number=0,
        step_id=_instance_id(target, index),
        definition=target.definition,
        label=f"{label} [{index}]",
        origin=replace(before, map_index=index, map_item=item),
    )


def _item_message(
    turn: Turn, step: StepState, instance: StepState, index: int, item: Any
) -> Message:
    body = {"item": item, "map_index": index}
    job_id = turn.state.job_id
    return Message(
        derived_id(f"{job_id}:scatter:{step.step_id}:{step.attempt_count}:{instance.step_id}"),
        "workflow_scatter_item",
        turn.job.agents[turn.definition(instance).primary].agent_id,
        "workflow_ledger",
        "command",
        derived_id(f"{job_id}:correlation", size_bytes=10),
        turn.at,
        body,
        {
            "mn.workflow.run_id": job_id,
            "mn.workflow.step_id": instance.step_id,
            "mn.workflow.source_step_id": step.step_id,
        },
        weight_bytes=weight(body, {}, [], None),
    )


def _rewire(turn: Turn, instances: dict[int, list[int]]) -> None:
    """Replace every edge that touches a target by those of all its instances."""
    ledger = turn.ledger
    touching = {number for target in instances for number in ledger.steps[target].ins}
    touching.update(number for target in instances for number in ledger.steps[target].outs)
    for number in sorted(touching):
        edge = ledger.edges[number]
        sources = instances.get(edge.source, [edge.source])
        targets = instances.get(edge.target, [edge.target])
        remove_edge(turn, number)
        for source in sources:
            for target in targets:
                ends = (ledger.steps[source].step_id, ledger.steps[target].step_id)
                edge_id = f"{edge.edge_id}:{ends[0]}:{ends[1]}"
                add_edge(turn, replace(edge, edge_id=edge_id, source=source, target=target))


def _place(step_id: str) -> int:
    return int(step_id[step_id.rindex("[") + 1 : -1])
