"""Changes of the graph while it runs: what a controller asks for, checked and applied whole.

The first check that fails refuses the whole patch. A patch whose id was applied already changes
nothing if it does the same. A worker that names no region means the only one its step controls.

Source: bundle format 2.5.4, 3.10.
"""

from typing import Any, assert_never

from mnedge.engine.ledger.candidate import (
    FANOUT,
    ID,
    AddEdge,
    AddStep,
    Candidate,
    Change,
    PatchRefusedError,
    RemoveEdge,
    RemoveStep,
    refuse,
)
from mnedge.engine.ledger.fanout import let_rest
from mnedge.engine.ledger.gate import ignore_waiting
from mnedge.engine.ledger.graph import add_edge, add_step, remove_edge, remove_step
from mnedge.engine.ledger.patchid import digest
from mnedge.engine.ledger.settle import attempt_failed, reconsider
from mnedge.engine.ledger.state import PATCH_BYTES, Origin, Patch, StepEdgeState, StepState
from mnedge.engine.ledger.telling import tell_step
from mnedge.engine.ledger.work import NO_AGENT
from mnedge.engine.turn import Turn
from mnedge.model.manifest import Dynamic, Region
from mnedge.model.states import StepStatus

DISABLED = "dynamic graphs are not enabled"


def patch(turn: Turn, step: StepState, payload: dict[str, Any], speaker: int = NO_AGENT) -> None:
    """Apply a patch that the region's controller asks for, wholly or not at all.

    `speaker`: the agent whose worker asks; its launch goes on, though the attempt may be over.
    """
    patch_id, region_id = payload.get("patch_id"), payload.get("region_id")
    try:
        _apply(turn, step, payload, speaker)
    except PatchRefusedError as error:
        reason = str(error)
        tell_step(
            turn,
            "workflow_graph_patch_rejected",
            step,
            reason=reason,
            patch_id=patch_id,
            region_id=region_id,
            graph_revision=turn.ledger.revision,
        )
        attempt_failed(turn, step, reason)


def _apply(turn: Turn, step: StepState, payload: dict[str, Any], speaker: int) -> None:
    dynamic = _dynamic(turn)
    patch_id, base = payload.get("patch_id"), payload.get("base_revision")
    region_id = _region_id(turn, step, payload)
    if not isinstance(patch_id, str) or not ID.fullmatch(patch_id):
        refuse(f"invalid patch_id: {patch_id!r}")
    if region_id is None:
        refuse(f"invalid region_id: {payload.get('region_id')!r}")
    if not isinstance(base, int) or isinstance(base, bool) or base < 0:
        refuse("base_revision must be a whole number from 0")
    operations = payload.get("operations")
    if (
        not isinstance(operations, list)
        or not operations
        or not all(isinstance(one, dict) for one in operations)
    ):
        refuse("operations must be a list of objects that is not empty")
    content = digest(region_id, operations)
    if _is_replayed(turn, step, patch_id, content):
        return
    region = turn.compiled_ledger.regions.get(region_id)
    if region is None:
        refuse(f"unknown region {region_id}")
    _check_controller(step, region)
    if base != turn.ledger.revision:
        refuse(f"base_revision {base} is not the graph's revision {turn.ledger.revision}")
    candidate = _tried(turn, dynamic, region, operations)
    attempt = step.current
    delta = _changed(turn, region, patch_id, content, candidate.changes)
    if region.strategy == FANOUT:
        let_rest(turn, step, patch_id, speaker)
    tell_step(
        turn,
        "workflow_graph_patch_applied",
        step,
        attempt,
        patch_id=patch_id,
        region_id=region_id,
        graph_revision=turn.ledger.revision,
        revision=turn.ledger.revision,
        strategy=region.strategy,
        topology_delta=delta,
    )
    reconsider(turn)


def _dynamic(turn: Turn) -> Dynamic:
    dynamic = turn.compiled_ledger.dynamic
    if dynamic is None:
        refuse(DISABLED)
    return dynamic


def _region_id(turn: Turn, step: StepState, payload: dict[str, Any]) -> str | None:
    """Return the region that is meant, if its id is well-formed."""
    region_id = payload.get("region_id")
    if region_id is None:
        regions = turn.compiled_ledger.regions.values()
        own = [region.region_id for region in regions if region.controller == step.step_id]
        return own[0] if len(own) == 1 else None
    return region_id if isinstance(region_id, str) and ID.fullmatch(region_id) else None


def _is_replayed(turn: Turn, step: StepState, patch_id: str, content: str) -> bool:
    known = turn.ledger.patches.get(patch_id)
    if known is None:
        return False
    if known.digest != content:
        refuse(f"patch {patch_id} was applied with another content")
    tell_step(
        turn,
        "workflow_graph_patch_replayed",
        step,
        patch_id=patch_id,
        region_id=known.region_id,
        graph_revision=turn.ledger.revision,
        digest=content,
    )
    return True


def _check_controller(step: StepState, region: Region) -> None:
    if step.step_id != region.controller:
        refuse(f"step {step.step_id} is not the controller of region {region.region_id}")
    if step.status not in (StepStatus.RUNNING, StepStatus.QUEUED) or step.current is None:
        refuse(f"controller {step.step_id} has no attempt under way")


def _tried(
    turn: Turn, dynamic: Dynamic, region: Region, operations: list[dict[str, Any]]
) -> Candidate:
    limits = dynamic.limits
    if len(turn.ledger.patches) >= limits.max_patches:
        refuse(f"the job has had all of its {limits.max_patches} patches")
    if len(operations) > limits.max_operations_per_patch:
        refuse(f"{len(operations)} operations are more than {limits.max_operations_per_patch}")
    candidate = Candidate(turn, region, limits)
    _check_active(candidate, "are")
    for operation in operations:
        candidate.attempt(operation)
    _check_active(candidate, "would be")
    candidate.check()
    return candidate


def _check_active(candidate: Candidate, word: str) -> None:
    active, most = candidate.active(), candidate.limits.max_active_steps
    if active > most:
        refuse(f"{active} dynamic steps {word} active, more than {most}")


def _changed(
    turn: Turn, region: Region, patch_id: str, content: str, changes: list[Change]
) -> dict[str, list[str]]:
    """Make the changes, in their order; return the ids of what came and went."""
    ledger = turn.ledger
    ledger.revision += 1
    ledger.patches[patch_id] = Patch(content, ledger.revision, region.region_id)
    turn.state.kept_bytes += PATCH_BYTES
    delta: dict[str, list[str]] = {
        "steps_added": [], "steps_removed": [], "edges_added": [], "edges_removed": [],
    }  # fmt: skip
    for change in changes:
        match change:
            case AddStep():
                _add_step(turn, region, patch_id, change)
                delta["steps_added"].append(change.step_id)
            case RemoveStep():
                number = ledger.step_of[change.step_id]
                ignore_waiting(turn, ledger.steps[number])
                remove_step(turn, number)
                delta["steps_removed"].append(change.step_id)
            case AddEdge():
                _add_edge(turn, region, change)
                delta["edges_added"].append(change.edge_id)
            case RemoveEdge():
                remove_edge(turn, ledger.edge_of[change.edge_id])
                delta["edges_removed"].append(change.edge_id)
            case _:
                assert_never(change)
    return delta


def _add_step(turn: Turn, region: Region, patch_id: str, change: AddStep) -> None:
    origin = Origin(
        template_id=change.template,
        region_id=region.region_id,
        patch_id=patch_id,
        step_input=change.step_input,
    )
    step = StepState(
        number=0,
        step_id=change.step_id,
        definition=turn.compiled_ledger.template_of[change.template],
        label=change.label,
        origin=origin,
    )
    add_step(turn, step)
    turn.touch(step.number)


def _add_edge(turn: Turn, region: Region, change: AddEdge) -> None:
    ledger = turn.ledger
    lets_go = region.strategy == FANOUT and change.source == region.controller
    add_edge(
        turn,
        StepEdgeState(
            change.edge_id,
            ledger.step_of[change.source],
            ledger.step_of[change.target],
            change.accepts,
            change.required,
            change.event,
            region.region_id,
            drives=True,
            checkpoint_revision=ledger.revision if lets_go else None,
        ),
    )


def checkpoint(
    turn: Turn, step: StepState, payload: dict[str, Any], speaker: int = NO_AGENT
) -> None:
    """Let a controller rest until its next message; its attempt ends."""
    try:
        region = _checkpoint_region(turn, step, payload)
    except PatchRefusedError as error:
        name = "workflow_controller_checkpoint_rejected"
        given = payload.get("region_id")
        tell_step(turn, name, step, reason=str(error), region_id=given)
        return
    attempt = step.current
    let_rest(turn, step, speaker=speaker)
    tell_step(turn, "workflow_controller_checkpointed", step, attempt, region_id=region.region_id)
    reconsider(turn)


def _checkpoint_region(turn: Turn, step: StepState, payload: dict[str, Any]) -> Region:
    """Return the region that the step checkpoints for."""
    _dynamic(turn)
    regions = turn.compiled_ledger.regions
    given = payload.get("region_id")
    if given is None:
        own = [one for one in regions.values() if one.controller == step.step_id]
        found = next((one for one in own if one.strategy == FANOUT), own[0] if own else None)
        if found is None:
            refuse(f"step {step.step_id} controls no region")
    else:
        found = regions.get(given) if isinstance(given, str) else None
        if found is None:
            refuse(f"unknown region {given!r}")
    _check_controller(step, found)
    if found.strategy != FANOUT:
        refuse(f"region {found.region_id} is no {FANOUT}")
    return found
