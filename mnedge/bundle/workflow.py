"""The steps of a manifest, and how they depend on each other, to the internal representation.

Source: bundle format 2.4.3, 2.5.4, 2.7, 3.11, 3.16.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from mnedge.bundle.layout import (
    Placed,
    bindings_of,
    setting,
    sink_of,
    source_of,
    step_edge_list,
    steps_of,
    workers_of,
)
from mnedge.bundle.problem import At
from mnedge.bundle.steps import Surroundings, agent_ids_of, agent_names, step_of
from mnedge.bundle.subject import AgentEntry, JsonObject, is_count, is_text, listing, mapping
from mnedge.model.manifest import (
    ChildWorkflow,
    Dynamic,
    DynamicLimits,
    Region,
    Step,
    StepEdge,
    Workflow,
)

FANOUT_PATCHES = 10_000
"""How many patches a workflow may make that fans out again and again."""
MOST_PARALLEL = 1_000_000
MODES = ("static_dag", "dynamic_dag", "linear")


def workflow_of(
    manifest: JsonObject, agents: Mapping[str, AgentEntry], *, job_type: str
) -> Workflow | None:
    """Return the workflow, or None if the manifest has no steps."""
    raw = [step for _, step in steps_of(manifest)]
    if not raw:
        return None
    around = Surroundings(
        agents=agents,
        join_default=setting(manifest, "join_default")[1],
        unbounded=source_of(manifest) if job_type == "service" else None,
    )
    controlling = is_controlling(raw, agents)
    steps = [
        step_of(step, around, repair_of(manifest, step, agents) if controlling else None)
        for step in raw
    ]
    mode = setting(manifest, "mode")[1]
    return Workflow(
        steps=steps,
        edges=step_edges(manifest, [step.step_id for step in steps]),
        mode="dynamic_dag" if mode == "dynamic_dag" else "static_dag",
        source=source_of(manifest),
        sink=sink_of(manifest),
        controlling=controlling,
        max_parallel_steps=max_parallel_steps(setting(manifest, "execution")[1]),
        dynamic=_dynamic(manifest, around) if mode == "dynamic_dag" else None,
        child_workflows=list(_child_workflows(manifest, around)),
    )


def is_controlling(steps: list[JsonObject], agents: Mapping[str, AgentEntry]) -> bool:
    """Tell whether the ledger decides: some step names an agent that is there."""
    return any(name in agents for step in steps for name in agent_ids_of(step, agents))


def repair_of(
    manifest: JsonObject, step: JsonObject, agents: Mapping[str, AgentEntry]
) -> str | None:
    """Return the agent that the runtime binding of a step without one names."""
    if any(name in agents for name in agent_ids_of(step, agents)):
        return None
    names = (step["id"], step.get("run"))
    for at, binding in bindings_of(manifest):
        if at[-1] in names:
            for worker in workers_of(binding):
                if is_text(worker.get("id")) and worker["id"] in agents:
                    return str(worker["id"])
    return None


def step_edges(manifest: JsonObject, step_ids: list[str]) -> list[StepEdge]:
    """Return how steps depend on each other; each step on the one before it where nothing says."""
    given = step_edge_list(manifest)[1]
    raw = [edge for edge in listing(given) if isinstance(edge, dict)]
    if setting(manifest, "mode")[1] == "linear" or not isinstance(given, list):
        raw = _in_line(raw, step_ids)
    edges: dict[str, StepEdge] = {}
    for edge in raw:
        source, target = str(edge.get("from")), str(edge.get("to"))
        name = edge["id"] if is_text(edge.get("id")) else f"{source}_to_{target}"
        edge_id, count = name, 1
        while edge_id in edges:
            count += 1
            edge_id = f"{name}__{count}"
        accepts = [status for status in listing(edge.get("accepts")) if is_text(status)]
        event = edge.get("event") or edge.get("message_type")
        edges[edge_id] = StepEdge(
            edge_id=edge_id,
            source=source,
            target=target,
            accepts=accepts or ["done"],
            required=edge.get("required") is not False,
            event=event if is_text(event) else "",
        )
    return list(edges.values())


def _in_line(raw: list[JsonObject], step_ids: list[str]) -> list[JsonObject]:
    """Return an edge from each step to the next, with what the manifest says about it."""
    known = {(edge.get("from"), edge.get("to")): edge for edge in reversed(raw) if _has_ends(edge)}
    return [known.get(ends, {"from": ends[0], "to": ends[1]}) for ends in pairwise(step_ids)]


def _has_ends(edge: JsonObject) -> bool:
    return is_text(edge.get("from")) and is_text(edge.get("to"))


def max_parallel_steps(execution: Any) -> int | None:
    """Return how many steps may run at once; None where nothing bounds them."""
    declared = mapping(execution)
    most = declared.get("max_parallel_steps")
    if declared.get("strategy") != "parallel" or not is_count(most, 1):
        return None
    return min(most, MOST_PARALLEL)


def placed_templates(manifest: JsonObject) -> list[Placed]:
    """Return the templates of steps that are made while the job runs, with their places."""
    at, dynamic = setting(manifest, "dynamic")
    homes: list[tuple[At, Any]] = [((*at, "templates"), mapping(dynamic).get("templates"))]
    if setting(manifest, "mode")[1] != "dynamic_dag":
        homes = []
    at, children = setting(manifest, "child_workflows")
    for parent, child in mapping(children).items():
        homes.append(((*at, parent, "templates"), mapping(child).get("templates")))
    return [placed for at, declared in homes for placed in _placed(at, declared)]


def _placed(at: At, declared: Any) -> Iterator[Placed]:
    if isinstance(declared, dict):
        for name, template in declared.items():
            if isinstance(template, dict) and is_text(name):
                yield (*at, name), {**template, "id": name}
    for index, template in enumerate(listing(declared)):
        if isinstance(template, dict) and is_text(template.get("id")):
            yield (*at, index), template


def template_agents(manifest: JsonObject) -> list[str]:
    """Return the agents that only steps made while the job runs will use."""
    return [name for _, template in placed_templates(manifest) for name in agent_names(template)]


def _steps_from(declared: Any, around: Surroundings) -> list[Step]:
    return [step_of(template, around) for _, template in _placed((), declared)]


def _dynamic(manifest: JsonObject, around: Surroundings) -> Dynamic | None:
    declared = mapping(setting(manifest, "dynamic")[1])
    if declared.get("enabled") is not True:
        return None
    regions = [_region(region) for region in listing(declared.get("regions")) if _named(region)]
    fans_out = any(region.strategy == "checkpoint_fanout" for region in regions)
    usual = DynamicLimits(max_patches=FANOUT_PATCHES) if fans_out else DynamicLimits()
    limits = mapping(declared.get("limits"))
    return Dynamic(
        templates=_steps_from(declared.get("templates"), around),
        regions=regions,
        limits=DynamicLimits(
            **{
                name: limits[name] if is_count(limits.get(name), 1) else getattr(usual, name)
                for name in DynamicLimits.__struct_fields__
            }
        ),
    )


def _named(region: Any) -> bool:
    return isinstance(region, dict) and is_text(region.get("id"))


def _region(region: JsonObject) -> Region:
    leave = region.get("exit")
    return Region(
        region_id=str(region["id"]),
        strategy=str(region.get("strategy")),
        controller=str(region.get("controller")),
        exit=leave if is_text(leave) else None,
        templates=_texts(region.get("templates")),
        mutable_edges=_texts(region.get("mutable_edges")),
    )


def _child_workflows(manifest: JsonObject, around: Surroundings) -> Iterator[ChildWorkflow]:
    for parent, declared in mapping(setting(manifest, "child_workflows")[1]).items():
        if not isinstance(declared, dict):
            continue
        yield ChildWorkflow(
            parent=parent,
            planner=str(declared.get("planner")),
            templates=_steps_from(declared.get("templates"), around),
            max_rounds=_count(declared.get("max_rounds"), 20),
            max_steps_per_round=_count(declared.get("max_steps_per_round"), 128),
            inputs=_paths(declared.get("inputs")),
            outputs=_paths(declared.get("outputs")),
        )


def _count(value: Any, unsaid: int) -> int:
    return value if is_count(value, 1) else unsaid


def _texts(value: Any) -> list[str]:
    return [item for item in listing(value) if is_text(item)]


def _paths(value: Any) -> dict[str, list[str]]:
    """Return names with the paths they lead to; a path may be one text with dots."""
    return {
        name: path.split(".") if is_text(path) else _texts(path)
        for name, path in mapping(value).items()
    }
