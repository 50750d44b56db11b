"""Records of steps, and the edges between them.

Source: bundle format 2.6.2, 2.6.4.
"""

from typing import Any

from mnedge.bundle.config import copied
from mnedge.bundle.problem import At
from mnedge.bundle.source import profile
from mnedge.bundle.source.graphs import StepGraph
from mnedge.bundle.source.merging import laid_over
from mnedge.bundle.source.placeholders import filled_in, words_of_step
from mnedge.bundle.source.workers import message_type_of
from mnedge.bundle.subject import JsonObject, is_text, listing, mapping, objects

_OF_THE_SOURCE = ("worker", "run")


def step_record(source: JsonObject, raw: JsonObject, index: int | None = None) -> JsonObject:
    """Return the step as a workflow has it; `index` is its position, None for a template."""
    layers = [profile.STEP]
    last = len(listing(mapping(source.get("workflow")).get("steps"))) - 1
    if index == 0:
        layers.append(profile.FIRST_STEP)
    elif index == last:
        layers.append(profile.LAST_STEP)
    layers.append(mapping(mapping(source.get("defaults")).get("step")))
    own = {name: value for name, value in raw.items() if name not in _OF_THE_SOURCE}
    step = laid_over({"id": raw["id"]}, *layers, own)
    step.pop("run", None)
    blueprint_id = str(mapping(source.get("identity")).get("id") or "")
    record: JsonObject = filled_in(step, words_of_step(step, blueprint_id))
    run = mapping(raw.get("run"))
    record["run"] = run.get("binding") or raw["id"]
    if run.get("definition") is None:
        record["agent_id"] = run.get("agent") or raw["id"]
    if run.get("handler"):
        record["implementation"] = {"handler": run["handler"]}
        if mapping(run.get("with")):
            record["implementation"]["with"] = copied(run["with"])
    return record


def with_graph(
    step: JsonObject, module: str, definition: JsonObject | None, graph: StepGraph
) -> JsonObject:
    """Return the step's record with the agents of its graph."""
    implementation: JsonObject = {"definition": module}
    if definition is not None:
        implementation["step_graph"] = copied(definition)
    return {
        **step,
        "agent_id": graph.start,
        "start_agent_id": graph.start,
        "end_agent_id": graph.end,
        "agent_ids": graph.agent_ids,
        "implementation": implementation,
    }


def step_edges(workflow: JsonObject, steps: list[JsonObject]) -> list[Any]:
    """Return the edges that the workflow lists, else one per need."""
    if isinstance(workflow.get("edges"), list):
        listed: list[Any] = copied(workflow["edges"])
        return listed
    by_id = {str(step["id"]): step for step in steps}
    return [
        {
            "id": f"{name}_to_{step['id']}",
            "from": name,
            "to": step["id"],
            "event": message_type_of(by_id[name]),
            "message_type": message_type_of(by_id[name]),
            "required": True,
            "accepts": ["done"],
        }
        for step in steps
        for name in dict.fromkeys(listing(step.get("needs")))
        if name in by_id
    ]


def with_routes(steps: list[JsonObject], edges: list[Any]) -> list[JsonObject]:
    """Return the steps, each saying where its work leads where it does not say so itself."""
    following: dict[Any, Any] = {}
    for _, edge in objects(edges):
        following.setdefault(edge.get("from"), edge.get("to"))
    return [
        step
        if "on" in step
        else {**step, "on": {message_type_of(step): following.get(step["id"], "completed")}}
        for step in steps
    ]


def mutable_edges(workflow: JsonObject) -> set[str]:
    """Return the ids of the edges that a graph patch may take away."""
    regions = mapping(workflow.get("dynamic")).get("regions")
    return {
        name
        for _, region in objects(regions)
        if region.get("strategy") == "replace_path"
        for name in listing(region.get("mutable_edges"))
        if is_text(name)
    }


def place_of(index: int) -> At:
    """Return where a step stands in the source."""
    return ("workflow", "steps", index)
