"""A lowered job as plain JSON: the internal representation, written as a lowered manifest.

What is written here is itself a manifest (the lowered form, bundle format 2.1): lowered again with
the same config and inputs it gives the same job.
"""

from typing import Any

from mnedge.bundle.subject import JsonObject
from mnedge.model.manifest import (
    Agent,
    ChildWorkflow,
    Dynamic,
    Edge,
    HumanControl,
    JobSpec,
    Region,
    Step,
    StepEdge,
    Workflow,
)

GRAPH_SCHEMA = "mn.workflow.problem_graph/v1"


def ir_document(spec: JobSpec) -> JsonObject:
    """Return the job as a lowered manifest, everything said that lowering filled in."""
    document: JsonObject = {
        "apiVersion": "mn.workflow/v1",
        "kind": "Workflow",
        "manifest_version": spec.manifest_version,
        "source_generation": spec.generation,
        "graph_id": spec.graph_id,
        "job_name": spec.job_name,
        "name": spec.name,
        "type": spec.job_type if spec.job_type in ("batch", "service") else None,
        "entrypoints": list(spec.entrypoints),
        "initial_inputs": spec.seeds,
        "flow": {
            "nodes": [_node(agent) for agent in spec.agents],
            "edges": [_edge(edge) for edge in spec.edges],
            "policy": {"human": _human(spec.human)},
            **({} if spec.workflow is None else _flow(spec.workflow)),
        },
        "policies": spec.policies,
        "services": spec.services,
        "required_services": spec.required_services,
        "required_context_engine": spec.required_context_engine,
        "metadata": spec.metadata,
    }
    return _said(document)


def _said(members: JsonObject) -> JsonObject:
    return {name: value for name, value in members.items() if value is not None}


def _node(agent: Agent) -> JsonObject:
    return _said(
        {
            "node_id": agent.agent_id,
            "agent_type": agent.kind.value,
            "type": agent.template,
            "role": agent.role,
            "display_name": agent.display_name,
            "config": agent.config,
            "resources": agent.resources,
            "policies": agent.policies,
            "services": agent.services,
        }
    )


def _edge(edge: Edge) -> JsonObject:
    return {
        "edge_id": edge.edge_id,
        "from_node": edge.sender,
        "to_node": edge.target,
        "message_type": edge.message_type,
        "routing_mode": edge.routing_mode,
        "conditions": edge.conditions,
    }


def _flow(workflow: Workflow) -> JsonObject:
    execution: JsonObject | None = None
    if workflow.max_parallel_steps is not None:
        most = workflow.max_parallel_steps
        execution = {"strategy": "parallel", "max_parallel_steps": most}
    graph = {
        "schema": GRAPH_SCHEMA,
        "mode": workflow.mode,
        "source": workflow.source,
        "sink": workflow.sink,
        "edges": [_step_edge(edge) for edge in workflow.edges],
        "execution": execution,
        "dynamic": None if workflow.dynamic is None else _dynamic(workflow.dynamic),
    }
    children = {child.parent: _child_workflow(child) for child in workflow.child_workflows}
    return _said(
        {
            "entrypoint": workflow.source,
            "steps": [_step(step) for step in workflow.steps],
            "graph": _said(graph),
            "controlling": workflow.controlling,
            "child_workflows": children or None,
        }
    )


def _step(step: Step) -> JsonObject:
    rule: Any = step.rule.value
    if step.quorum is not None:
        rule = {"rule": rule, "quorum": step.quorum}
    uncertainty = {
        "min_confidence": step.min_confidence,
        "on_low_confidence": step.on_low_confidence,
    }
    control = {
        "required": step.required,
        "failure_policy": step.failure_policy.value,
        "timeout_seconds": step.timeout_s,
        "beacon_timeout_ms": step.beacon_timeout_ms,
        "retry": {
            "max_attempts": step.max_attempts,
            "backoff_multiplier": step.retry_backoff_multiplier,
        },
        "retry_backoff_ms": step.retry_backoff_ms,
        "uncertainty": _said(uncertainty) or None,
    }
    return {
        "id": step.step_id,
        "label": step.label,
        "kind": step.kind,
        "run": step.run,
        "agent_id": step.agent_id,
        "agent_ids": step.agent_ids,
        "trigger_rule": rule,
        "control": _said(control),
    }


def _step_edge(edge: StepEdge) -> JsonObject:
    return _said(
        {
            "id": edge.edge_id,
            "from": edge.source,
            "to": edge.target,
            "accepts": edge.accepts,
            "required": edge.required,
            "event": edge.event or None,
        }
    )


def _dynamic(dynamic: Dynamic) -> JsonObject:
    limits = {name: getattr(dynamic.limits, name) for name in dynamic.limits.__struct_fields__}
    return {
        "enabled": True,
        "apply_at": "between_steps",
        "limits": limits,
        "templates": [_step(template) for template in dynamic.templates],
        "regions": [_region(region) for region in dynamic.regions],
    }


def _region(region: Region) -> JsonObject:
    return _said(
        {
            "id": region.region_id,
            "strategy": region.strategy,
            "controller": region.controller,
            "exit": region.exit,
            "templates": region.templates,
            "mutable_edges": region.mutable_edges or None,
        }
    )


def _child_workflow(child: ChildWorkflow) -> JsonObject:
    return {
        "planner": child.planner,
        "templates": [_step(template) for template in child.templates],
        "max_rounds": child.max_rounds,
        "max_steps_per_round": child.max_steps_per_round,
        "inputs": child.inputs,
        "outputs": child.outputs,
    }


def _human(human: HumanControl) -> JsonObject:
    return _said(
        {
            "mode": human.mode,
            "allowed_decisions": human.allowed_decisions,
            "timeout_seconds": human.timeout_s,
            "default_action": human.default_action,
            "blocked_actions": human.blocked_actions,
            "prompt": human.prompt or None,
        }
    )
