"""The two graphs of a job: what its steps wait for, and who sends what to whom."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mnedge.bundle.drawing.graph import Arrow, Box, Graph
from mnedge.model.manifest import Agent, Edge, JobSpec, Region, Step, StepEdge, Workflow
from mnedge.model.states import AgentKind, FailurePolicy, TriggerRule

_POLICIES = {
    FailurePolicy.FAIL_WORKFLOW: "",
    FailurePolicy.CONTINUE_PARTIAL: "failure: goes on",
    FailurePolicy.SKIP: "failure: skipped",
}
_DONE = (["done"], ["completed"])
_WORDS = {"==": "=", "!=": "≠", ">=": "≥", "<=": "≤"}


def steps_graph(spec: JobSpec) -> Graph:
    """Return the steps with their trigger rules and failure policies, and what they accept.

    Templates of steps that may be made while the job runs are among them. Empty without a ledger.
    """
    workflow = spec.workflow
    if workflow is None:
        return Graph(name="steps")
    sources = {edge.target for edge in workflow.edges}
    targets = {edge.source for edge in workflow.edges}
    boxes = [
        _step(step, waits=step.step_id in sources, leads=step.step_id in targets)
        for step in workflow.steps
    ]
    known = {box.box_id for box in boxes}
    mutable = _mutable(workflow)
    arrows = [
        _step_edge(edge, maybe=edge.edge_id in mutable)
        for edge in workflow.edges
        if edge.source in known and edge.target in known
    ]
    templates = [] if workflow.dynamic is None else workflow.dynamic.templates
    boxes += [_step(template, waits=False, leads=True, maybe=True) for template in templates]
    known = {box.box_id for box in boxes}
    regions = [] if workflow.dynamic is None else workflow.dynamic.regions
    arrows += [arrow for region in regions for arrow in _region(region, known)]
    for child in workflow.child_workflows:
        for template in child.templates:
            if template.step_id not in known:
                boxes.append(_step(template, waits=False, leads=True, maybe=True))
                known.add(template.step_id)
            if child.parent in known:
                arrows.append(_made_by(child.parent, template.step_id, "child workflow"))
    return Graph(name="steps", boxes=boxes, arrows=arrows)


def agents_graph(spec: JobSpec) -> Graph:
    """Return the agents, the step that each works for, and the messages that travel."""
    step_of = dict(_steps_of_agents(spec.workflow))
    boxes = [
        _agent(agent, step_of.get(agent.agent_id, ""), agent.agent_id in spec.entrypoints)
        for agent in spec.agents
    ]
    known = {box.box_id for box in boxes}
    arrows = [_edge(edge) for edge in spec.edges if edge.sender in known and edge.target in known]
    return Graph(name="agents", boxes=boxes, arrows=arrows)


def condition_text(condition: Mapping[str, Any]) -> str:
    """Return a condition as people say it; the empty text if it always holds."""
    if not condition:
        return ""
    for word, between in (("all", " and "), ("any", " or ")):
        if isinstance(condition.get(word), list):
            parts = [condition_text(part) for part in condition[word] if isinstance(part, dict)]
            text = between.join(part or "always" for part in parts)
            return f"({text})" if len(parts) > 1 else text
    if isinstance(condition.get("not"), dict):
        inner = condition_text(condition["not"])
        return f"not {inner}" if inner else "never"
    if isinstance(condition.get("expr"), str):
        return str(condition["expr"]).replace("${", "").replace("}", "")
    operator = str(condition.get("op", "=="))
    if operator == "exists":
        return f"{condition.get('path')} exists"
    value = json.dumps(condition.get("value"), ensure_ascii=False)
    return f"{condition.get('path')} {_WORDS.get(operator, operator)} {value}"


def rule_text(step: Step) -> str:
    """Return when a step runs, as people say it."""
    match step.rule:
        case TriggerRule.ALL_SUCCESS:
            return ""
        case TriggerRule.QUORUM_SUCCESS:
            return f"when {step.quorum or 1} succeeded"
        case TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS:
            return "when none failed and one succeeded"
        case TriggerRule.ALL_DONE:
            return "when all are over"
        case TriggerRule.ONE_SUCCESS:
            return "when one succeeded"
        case TriggerRule.ONE_DONE:
            return "when one is over"
        case TriggerRule.ONE_FAILED:
            return "when one failed"


def _step(step: Step, *, waits: bool, leads: bool, maybe: bool = False) -> Box:
    notes = [
        rule_text(step) if waits else "",
        _POLICIES[step.failure_policy],
        "optional" if not step.required else "",
        f"{step.max_attempts} attempts" if step.max_attempts > 1 else "",
        "made while the job runs" if maybe else "",
    ]
    marks = [
        *([] if waits or maybe else ["start"]),
        *([] if leads or maybe else ["end"]),
        *(["maybe"] if maybe else []),
    ]
    return Box(
        box_id=step.step_id,
        name=step.step_id,
        kind="step",
        notes=[note for note in notes if note],
        marks=marks,
        facts={
            "id": step.step_id,
            "label": step.label or step.step_id,
            "kind": step.kind,
            "trigger_rule": step.rule.value,
            "quorum": step.quorum,
            "failure_policy": step.failure_policy.value,
            "required": step.required,
            "max_attempts": step.max_attempts,
            "timeout_seconds": step.timeout_s,
            "agents": step.agent_ids,
            "template": maybe,
        },
    )


def _step_edge(edge: StepEdge, *, maybe: bool) -> Arrow:
    labels = [] if edge.accepts in _DONE else ["accepts " + ", ".join(edge.accepts)]
    return Arrow(
        source=edge.source,
        target=edge.target,
        labels=labels,
        maybe=maybe,
        facts={
            "id": edge.edge_id,
            "from": edge.source,
            "to": edge.target,
            "accepts": edge.accepts,
            "event": edge.event or None,
            "mutable": maybe,
        },
    )


def _region(region: Region, known: set[str]) -> Iterator[Arrow]:
    for template in region.templates:
        if template in known and region.controller in known:
            yield _made_by(region.controller, template, region.region_id)
        if template in known and region.exit in known:
            yield _made_by(template, str(region.exit), region.region_id)


def _made_by(source: str, target: str, label: str) -> Arrow:
    return Arrow(
        source=source,
        target=target,
        labels=[label],
        maybe=True,
        facts={"id": None, "from": source, "to": target, "region": label, "mutable": True},
    )


def _mutable(workflow: Workflow) -> set[str]:
    regions = [] if workflow.dynamic is None else workflow.dynamic.regions
    return {name for region in regions for name in region.mutable_edges}


def _steps_of_agents(workflow: Workflow | None) -> Iterator[tuple[str, str]]:
    """Yield the agents with the step that claims them; of several steps the first one last."""
    if workflow is None:
        return
    templates = [] if workflow.dynamic is None else workflow.dynamic.templates
    for step in reversed([*workflow.steps, *templates]):
        for agent_id in step.agent_ids:
            yield agent_id, step.step_id


def _agent(agent: Agent, step_id: str, entry: bool) -> Box:
    ends = agent.config.get("terminal_sink") is True
    name = agent.display_name
    notes = [
        f"“{name}”" if name and _letters(name) != _letters(agent.agent_id) else "",
        _agent_note(agent),
        f"step {step_id}" if step_id and step_id != agent.agent_id else "",
        "ends the run" if ends else "",
    ]
    return Box(
        box_id=agent.agent_id,
        name=agent.agent_id,
        kind=agent.kind.value,
        notes=[note for note in notes if note],
        group=step_id,
        marks=[*(["start"] if entry else []), *(["end"] if ends else [])],
        facts={
            "id": agent.agent_id,
            "label": name or agent.agent_id,
            "kind": agent.kind.value,
            "type": agent.template,
            "role": agent.role,
            "step": step_id or None,
            "entrypoint": entry,
            "terminal": ends,
        },
    )


def _letters(name: str) -> str:
    return "".join(sign for sign in name.casefold() if sign.isalnum())


def _agent_note(agent: Agent) -> str:
    """Return what an agent waits for, where it waits."""
    count = agent.config.get("complete_after")
    if agent.kind in (AgentKind.AGGREGATOR, AgentKind.SENSOR) and count is not None:
        return f"after {count}"
    if agent.kind is AgentKind.STEP_JOIN and isinstance(agent.config.get("expected_sources"), list):
        return f"waits for {len(agent.config['expected_sources'])}"
    return ""


def _edge(edge: Edge) -> Arrow:
    condition = condition_text(edge.conditions)
    label = f"{edge.message_type} if {condition}" if condition else edge.message_type
    return Arrow(
        source=edge.sender,
        target=edge.target,
        labels=[label],
        facts={
            "id": edge.edge_id,
            "from": edge.sender,
            "to": edge.target,
            "message_type": edge.message_type,
            "routing_mode": edge.routing_mode,
            "conditions": edge.conditions,
        },
    )
