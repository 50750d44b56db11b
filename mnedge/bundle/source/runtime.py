"""`runtime` of an expanded source: bindings, seeds, resources, control.

Source: bundle format 2.6.2.
"""

from mnedge.bundle.config import copied
from mnedge.bundle.source import profile
from mnedge.bundle.source.agents import Drawn
from mnedge.bundle.source.merging import laid_over
from mnedge.bundle.subject import JsonObject, mapping


def runtime_of(drawn: Drawn, agents: JsonObject, config: JsonObject | None) -> JsonObject:
    """Return the section; what the source says stays."""
    runtime: JsonObject = copied(mapping(drawn.source.get("runtime")))
    bindings = mapping(runtime.get("bindings"))
    defaults = mapping(drawn.source.get("defaults")).get("runtime_binding")
    for step in (*drawn.steps, *drawn.templates):
        step_id = str(step["id"])
        if step_id in bindings or step.get("run") in bindings:
            continue
        binding = _binding(step, drawn, laid_over(profile.BINDING, defaults))
        if binding:
            bindings[step_id] = binding
    runtime["bindings"] = bindings
    if config is not None and "initial_inputs" not in runtime:
        runtime |= _seeds(drawn, agents, config)
    runtime.setdefault("resources", copied(mapping(drawn.source.get("requirements"))))
    runtime["workflow_control"] = laid_over(
        profile.WORKFLOW_CONTROL, runtime.get("workflow_control")
    )
    return runtime


def _binding(step: JsonObject, drawn: Drawn, binding: JsonObject) -> JsonObject:
    graph = drawn.graphs.get(str(step["id"]))
    names = [str(step["id"])] if graph is None else [call.node_id for call in graph.calls]
    by_id = {node["node_id"]: node for node in drawn.workers}
    workers = [_worker(by_id[name], step) for name in names if name in by_id]
    if not workers:
        return {}
    side_effect = workers[0]["with"].get("side_effect")
    if side_effect is not None:
        binding["side_effect"] = side_effect
    return laid_over({"worker": workers[0], "workers": workers}, binding)


def _worker(node: JsonObject, step: JsonObject) -> JsonObject:
    return {
        "id": node["node_id"],
        "role": node.get("role") or step.get("label") or node["node_id"],
        "uses": node.get("uses"),
        "with": copied(mapping(node.get("config"))),
    }


def _seeds(drawn: Drawn, agents: JsonObject, config: JsonObject) -> JsonObject:
    """Return what the first step is started with, where that has to be said.

    A job that says nothing gives its first entrypoint the payload that it was started with: the
    one of the config, or another one that a person gave.
    """
    known = {str(mapping(node).get("node_id")) for node in agents["nodes"]}
    entry = drawn.entry_of(str(drawn.steps[0]["id"]), known)
    if entry is None or agents["entrypoints"][:1] == [entry]:
        return {}
    payload = mapping(mapping(config.get("inputs")).get("payload"))
    return {"initial_inputs": {entry: [{"args": [], "kwargs": copied(payload)}]}}
