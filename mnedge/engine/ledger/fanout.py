"""Fan-outs of controllers: at rest, over, taken out of the graph, and what wakes the controller.

A controller that checkpoints rests until every instance of its patch is terminal. Then the
instances leave the graph (what they came to stays with the controller as `fan_out`, in its
context and in the body of a trigger), and the controller may run again:

- messages that came meanwhile, or come from now on, are its next attempt, in their order;
- if none waits, the ledger starts it, unless messages of the instances' agents reach it anyhow,
  or the job is a service: that one's controller rests until there is something to do;
- a controller that checkpointed without a fan-out rests until its next message. Where none can
  come the silence of a batch job starts it, once; if it only rests again, the job has stalled.

So it decides again and again until it completes like any other step.

Source: bundle format 3.5, 3.10.
"""

from typing import Any

from mnedge.engine.ledger import gate
from mnedge.engine.ledger.graph import remove_edge, remove_step
from mnedge.engine.ledger.settle import trigger
from mnedge.engine.ledger.state import HISTORY_BYTES, FanOut, Patch, StepState
from mnedge.engine.ledger.telling import tell_step
from mnedge.engine.ledger.work import NO_AGENT, close, keep_saved
from mnedge.engine.turn import Turn
from mnedge.model.body import weight_of
from mnedge.model.message import iso_ms
from mnedge.model.states import TERMINAL_STEP, AttemptStatus, StepStatus


def let_rest(turn: Turn, step: StepState, patch_id: str = "", speaker: int = NO_AGENT) -> None:
    """Close the controller's attempt as checkpointed; it waits for that patch, or a message."""
    close(turn, step, AttemptStatus.CHECKPOINTED, speaker=speaker)
    step.status = StepStatus.WAITING
    keep_saved(turn, step, None)
    fan_out = turn.ledger.fan_outs.setdefault(step.number, FanOut())
    fan_out.patch_id = patch_id
    turn.ended[step.number] = None


def may_be_nudged(turn: Turn, step: StepState) -> bool:
    """Tell whether silence may start the controller, and did not start its newest attempt."""
    fan_out = turn.ledger.fan_outs.get(step.number)
    return (
        step.status is StepStatus.WAITING
        and fan_out is not None
        and not fan_out.patch_id
        and fan_out.nudged != step.attempt_count
    )


def follow(turn: Turn, step: StepState) -> None:
    """See to what depends on a step that has ended, or on a controller that began to rest."""
    ledger = turn.ledger
    if step.status in TERMINAL_STEP:
        _count_down(turn, step)
        _forget(turn, step)
        return
    fan_out = ledger.fan_outs.get(step.number)
    if fan_out is None or step.status is not StepStatus.WAITING:
        return
    patch = ledger.patches.get(fan_out.patch_id)
    if patch is None:
        _wake(turn, step, None)
    elif not patch.open:
        _retire(turn, fan_out.patch_id, patch)


def _count_down(turn: Turn, step: StepState) -> None:
    """Retire the step's patch if the step was the last of its fan-out."""
    patch_id = None if step.origin is None else step.origin.patch_id
    patch = None if patch_id is None else turn.ledger.patches.get(patch_id)
    if patch_id is None or patch is None:
        return
    patch.open -= 1
    region = turn.compiled_ledger.regions[patch.region_id]
    if not patch.open and region.strategy == "checkpoint_fanout":
        _retire(turn, patch_id, patch)


def _forget(turn: Turn, step: StepState) -> None:
    fan_out = turn.ledger.fan_outs.pop(step.number, None)
    if fan_out is not None:
        turn.state.kept_bytes -= fan_out.weight_bytes


def _retire(turn: Turn, patch_id: str, patch: Patch) -> None:
    """Take a fan-out that is over out of the graph; its controller gets what it came to."""
    ledger, compiled = turn.ledger, turn.compiled_ledger
    region = compiled.regions[patch.region_id]
    controller = ledger.steps[ledger.step_of[region.controller]]
    instances = [ledger.steps[number] for number in patch.steps]
    results = [_result(patch_id, instance) for instance in instances]
    feeds = any(compiled.feeds(one.definition, controller.definition) for one in instances)
    for instance in instances:
        for number in (*instance.ins, *instance.outs):
            remove_edge(turn, number)
    for instance in instances:
        ledger.unmapped.pop(instance.number, None)
        remove_step(turn, instance.number)
    summary = _summary(turn, patch_id, patch, instances)
    ledger.history.append(summary)
    turn.state.kept_bytes += HISTORY_BYTES
    most = 0 if compiled.dynamic is None else compiled.dynamic.limits.max_history
    while len(ledger.history) > most:
        del ledger.history[0]
        turn.state.kept_bytes -= HISTORY_BYTES
    tell_step(
        turn,
        "workflow_dynamic_steps_retired",
        controller,
        **summary,
        graph_revision=ledger.revision,
        steps=[instance.step_id for instance in instances],
    )
    fan_out = ledger.fan_outs.get(controller.number)
    if fan_out is not None and fan_out.patch_id == patch_id:
        _hand_over(turn, fan_out, results)
        _wake(turn, controller, feeds)


def _result(patch_id: str, instance: StepState) -> dict[str, Any]:
    origin = instance.origin
    return {
        "step_id": instance.step_id,
        "patch_id": patch_id,
        "template_id": None if origin is None else origin.template_id,
        "status": instance.status.value,
        "outcome": None if instance.outcome is None else instance.outcome.value,
        "reason": instance.reason,
        "output": instance.output,
    }


def _summary(turn: Turn, patch_id: str, patch: Patch, instances: list[StepState]) -> dict[str, Any]:
    statuses: dict[str, int] = {}
    for instance in instances:
        statuses[instance.status.value] = statuses.get(instance.status.value, 0) + 1
    return {
        "patch_id": patch_id,
        "region_id": patch.region_id,
        "revision": patch.revision,
        "retired_at": iso_ms(turn.at),
        "count": len(instances),
        "statuses": statuses,
    }


def _hand_over(turn: Turn, fan_out: FanOut, results: list[dict[str, Any]]) -> None:
    """Let the controller's next attempts see these results instead of the last ones."""
    fan_out.patch_id, fan_out.results = "", results
    before, fan_out.weight_bytes = fan_out.weight_bytes, weight_of(results)
    turn.state.kept_bytes += fan_out.weight_bytes - before


def _wake(turn: Turn, controller: StepState, feeds: bool | None) -> None:
    """Let the controller run again; `feeds` None: it has fanned nothing out."""
    if controller.status is not StepStatus.WAITING:
        return  # whatever ended it meanwhile is final
    if controller.waiting:
        gate.release(turn, controller)
    elif feeds is False and not turn.job.service:
        trigger(turn, controller)
