"""The ledger as people and programs read it: `workflow_state`.

Source: bundle format 3.5.
"""

from typing import Any

from mnedge.engine.compile import CompiledJob
from mnedge.engine.ledger.definition import CompiledLedger, CompiledStep
from mnedge.engine.ledger.state import (
    Attempt,
    ChildRun,
    LedgerState,
    MessageRecord,
    Origin,
    StepEdgeState,
    StepState,
)
from mnedge.engine.state import JobState
from mnedge.model.body import shown
from mnedge.model.manifest import DynamicLimits, Region, Step, Workflow
from mnedge.model.message import iso_ms_or_none
from mnedge.model.states import JobStatus, StepStatus

SCHEMA_VERSION = 3
_DISABLED: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "enabled": False}


def workflow_state(job: CompiledJob, state: JobState) -> dict[str, Any]:
    """Return the whole ledger as plain JSON values; without steps it says that it is disabled."""
    workflow = job.spec.workflow
    if workflow is None or not workflow.steps:
        return dict(_DISABLED)
    if job.ledger is None or state.ledger is None:
        return _decorative(workflow, state)
    compiled, ledger = job.ledger, state.ledger
    agents = [agent.agent_id for agent in job.agents]
    return {
        **_head(workflow, state, ledger.created_at, ledger.updated_at),
        "controlling": True,
        "step_order": [step.step_id for step in ledger.steps.values()],
        "agent_to_step": {
            agents[agent]: compiled.definitions[number].step.step_id
            for agent, number in compiled.step_of_agent.items()
        },
        "edges": [_edge(ledger, edge) for edge in ledger.edges.values()],
        "steps": {
            step.step_id: _step(compiled, ledger, step, agents) for step in ledger.steps.values()
        },
        "messages": {key: _message(key, record) for key, record in ledger.messages.items()},
        "graph_revision": ledger.revision,
        "complete": ledger.complete,
        "paused_at": iso_ms_or_none(ledger.paused_at),
        **_dynamic(compiled, ledger),
    }


def _head(
    workflow: Workflow, state: JobState, created_at: float, updated_at: float
) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "enabled": True,
        "job_id": state.job_id,
        "run_id": state.job_id,
        "created_at": iso_ms_or_none(created_at),
        "updated_at": iso_ms_or_none(updated_at),
        "status": state.status.value,
        "mode": workflow.mode,
        "dynamic_enabled": workflow.mode == "dynamic_dag" and workflow.dynamic is not None,
    }


def _decorative(workflow: Workflow, state: JobState) -> dict[str, Any]:
    """Return the steps of a workflow that no agent works on: they follow the job."""
    done = state.status is JobStatus.COMPLETED
    status = StepStatus.COMPLETED if done else StepStatus.PENDING
    return {
        **_head(workflow, state, state.at, state.at),
        "controlling": False,
        "step_order": [step.step_id for step in workflow.steps],
        "agent_to_step": {},
        "edges": [
            {
                "id": edge.edge_id,
                "from": edge.source,
                "to": edge.target,
                "accepts": edge.accepts,
                "required": edge.required,
            }
            for edge in workflow.edges
        ],
        "steps": {
            step.step_id: {**_defined(step), "agent_ids": step.agent_ids, "status": status.value}
            for step in workflow.steps
        },
        "messages": {},
        "graph_revision": 0,
    }


def _dynamic(compiled: CompiledLedger, ledger: LedgerState) -> dict[str, Any]:
    dynamic = compiled.dynamic
    limits = DynamicLimits() if dynamic is None else dynamic.limits
    shown_: dict[str, Any] = {
        "dynamic_limits": {name: getattr(limits, name) for name in limits.__struct_fields__},
        "dynamic_templates": {}
        if dynamic is None
        else {one.step_id: _template(one) for one in dynamic.templates},
        "dynamic_regions": {name: _region(one) for name, one in compiled.regions.items()},
        "applied_patches": {
            name: {
                "digest": patch.digest,
                "revision": patch.revision,
                "region_id": patch.region_id,
            }
            for name, patch in ledger.patches.items()
        },
        "patch_order": list(ledger.patches),
        "dynamic_patch_instances": {
            name: [ledger.steps[number].step_id for number in patch.steps]
            for name, patch in ledger.patches.items()
            if patch.steps
        },
        "dynamic_history": shown(ledger.history),
    }
    if compiled.children:
        shown_ |= _children(compiled, ledger)
    return shown_


def _children(compiled: CompiledLedger, ledger: LedgerState) -> dict[str, Any]:
    declared = compiled.children.items()
    return {
        "child_definitions": {
            parent: {
                "planner": child.planner,
                "max_rounds": child.max_rounds,
                "max_steps_per_round": child.max_steps_per_round,
                "inputs": child.inputs,
                "outputs": child.outputs,
            }
            for parent, child in declared
        },
        "child_templates": {
            parent: {one.step_id: _template(one) for one in child.templates}
            for parent, child in declared
        },
        "child_workflows": {
            ledger.steps[number].step_id: _child_run(ledger, run)
            for number, run in ledger.child_runs.items()
        },
    }


def _child_run(ledger: LedgerState, run: ChildRun) -> dict[str, Any]:
    return {
        "status": run.status,
        "phase": run.phase,
        "revision": run.revision,
        "round": run.round,
        "inputs": shown(run.inputs),
        "steps": [ledger.steps[number].step_id for number in run.steps],
        "decisions": shown(run.decisions),
        "reason": run.reason,
    }


def _template(template: Step) -> dict[str, Any]:
    return {**_defined(template), "agent_ids": template.agent_ids}


def _region(region: Region) -> dict[str, Any]:
    return {name: getattr(region, name) for name in region.__struct_fields__ if name != "region_id"}


def _defined(step: Step) -> dict[str, Any]:
    return {
        "id": step.step_id,
        "label": step.label or step.step_id,
        "run": step.run or step.step_id,
        "kind": step.kind,
        "required": step.required,
        "failure_policy": step.failure_policy.value,
        "trigger_rule": {"rule": step.rule.value, "quorum": step.quorum},
        "max_attempts": step.max_attempts,
        "retry_backoff_ms": step.retry_backoff_ms,
        "retry_backoff_multiplier": step.retry_backoff_multiplier,
        "timeout_seconds": step.timeout_s,
        "beacon_timeout_ms": step.beacon_timeout_ms,
    }


def _step(
    compiled: CompiledLedger, ledger: LedgerState, step: StepState, agents: list[str]
) -> dict[str, Any]:
    definition = compiled.definitions[step.definition]
    current = step.current
    record = {
        **_defined(definition.step),
        "id": step.step_id,
        "agent_ids": [agents[agent] for agent in definition.agents] or definition.step.agent_ids,
        "status": step.status.value,
        "terminal_outcome": None if step.outcome is None else step.outcome.value,
        "attempt_count": step.attempt_count,
        "attempts": [_attempt(step, attempt, agents) for attempt in step.attempts],
        "current_attempt": None if current is None else f"{step.step_id}:attempt:{current.number}",
        "deadline_at": None if current is None else iso_ms_or_none(current.deadline_at),
        "heartbeat_deadline_at": None
        if current is None
        else iso_ms_or_none(current.heartbeat_deadline_at),
        "retry_at": iso_ms_or_none(step.retry_at),
        "started_at": iso_ms_or_none(step.started_at),
        "ended_at": iso_ms_or_none(step.ended_at),
        "last_event_at": iso_ms_or_none(step.last_event_at),
        "terminal_reason": step.reason,
        "terminal_error": step.error,
        "last_error": step.last_error,
        "last_message": step.last_message_id,
        "waiting_messages": len(step.waiting or ()),
        "output": shown(step.output),
    }
    if step.label is not None:
        record["label"] = step.label
    if step.status is StepStatus.BLOCKED:
        record["blocked_on"] = _blocked_on(ledger, step, definition)
    if step.origin is not None:
        record.update(_origin(ledger, step.origin))
    return record


def _blocked_on(
    ledger: LedgerState, step: StepState, definition: CompiledStep
) -> list[dict[str, Any]]:
    found = []
    for number in step.ins:
        edge = ledger.edges[number]
        parent = ledger.steps[edge.source]
        if parent.ended_at is None:
            found.append({"from": parent.step_id, "status": parent.status.value})
    return found


def _origin(ledger: LedgerState, origin: Origin) -> dict[str, Any]:
    record: dict[str, Any] = {}
    if origin.map_index is not None:
        record |= {"map_index": origin.map_index, "map_item": shown(origin.map_item)}
    if origin.template_id is not None:
        record |= {
            "dynamic_instance": True,
            "template_id": origin.template_id,
            "region_id": origin.region_id,
            "patch_id": origin.patch_id,
            "instance_input": shown(origin.step_input),
        }
    if origin.child_phase is not None:
        parent = ledger.steps.get(origin.parent)
        record |= {
            "parent_step_id": None if parent is None else parent.step_id,
            "child_workflow_id": None if parent is None else parent.step_id,
            "child_round": origin.child_round,
            "child_phase": origin.child_phase,
            "instance_input": shown(origin.step_input),
        }
    return record


def _attempt(step: StepState, attempt: Attempt, agents: list[str]) -> dict[str, Any]:
    return {
        "attempt_id": f"{step.step_id}:attempt:{attempt.number}",
        "attempt": attempt.number,
        "agent_id": agents[attempt.agent],
        "message_id": attempt.message_id,
        "idempotency_key": attempt.idempotency_key,
        "started_at": iso_ms_or_none(attempt.started_at),
        "deadline_at": iso_ms_or_none(attempt.deadline_at),
        "heartbeat_deadline_at": iso_ms_or_none(attempt.heartbeat_deadline_at),
        "last_beacon_at": iso_ms_or_none(attempt.last_beacon_at),
        "status": attempt.status.value,
        "ended_at": iso_ms_or_none(attempt.ended_at),
        "reason": attempt.reason,
        "error": attempt.error,
    }


def _edge(ledger: LedgerState, edge: StepEdgeState) -> dict[str, Any]:
    record: dict[str, Any] = {
        "id": edge.edge_id,
        "from": ledger.steps[edge.source].step_id,
        "to": ledger.steps[edge.target].step_id,
        "accepts": edge.accepts,
        "required": edge.required,
    }
    if edge.checkpoint_revision is not None:
        record["checkpoint_revision"] = edge.checkpoint_revision
    return record


def _message(message_id: str, record: MessageRecord) -> dict[str, Any]:
    return {
        "message_id": message_id,
        "step_id": record.step,
        "status": record.status,
        "updated_at": iso_ms_or_none(record.at),
        "attempt_id": f"{record.step}:attempt:{record.attempt}" if record.attempt else None,
        "attempt": record.attempt or None,
        "from": record.sender,
        "to": record.to,
        "type": record.type,
        "reason": record.reason,
    }
