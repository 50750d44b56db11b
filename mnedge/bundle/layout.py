"""Where each generation of manifest keeps its agents, edges and steps.

Source: bundle format 2.7, lowering steps 1 to 6. Nothing here is checked: a place may hold a value
of any type, which the rules tell.
"""

from collections.abc import Iterator
from typing import Any

from mnedge.bundle.generation import Generation
from mnedge.bundle.problem import At
from mnedge.bundle.subject import JsonObject, is_text, listing, mapping

Placed = tuple[At, JsonObject]
"""An object of the manifest, with its place."""


def node_lists(manifest: JsonObject, generation: Generation) -> list[tuple[At, Any]]:
    """Return every list of agents that is there, with its place; a later one replaces ids."""
    return _lists(manifest, generation, "nodes")


def edge_lists(manifest: JsonObject, generation: Generation) -> list[tuple[At, Any]]:
    """Return every list of agent edges that is there, with its place."""
    return _lists(manifest, generation, "edges")


def _lists(manifest: JsonObject, generation: Generation, key: str) -> list[tuple[At, Any]]:
    homes: tuple[At, ...] = ((key,),)
    if generation.letter != "A":
        homes = (("flow", key), ("agents", key), (key,))
    found = ((at, value_below(manifest, at)) for at in homes)
    return [(at, value) for at, value in found if value is not None]


def nodes_of(manifest: JsonObject, generation: Generation) -> list[Placed]:
    """Return the agents; one id of two lists counts once, those of one list all count."""
    return _joined(node_lists(manifest, generation), "node_id")


def edges_of(manifest: JsonObject, generation: Generation) -> list[Placed]:
    """Return the agent edges, joined in the same way."""
    return _joined(edge_lists(manifest, generation), "edge_id")


def _joined(lists: list[tuple[At, Any]], id_key: str) -> list[Placed]:
    joined: list[Placed] = []
    for at, items in lists:
        earlier = {
            item[id_key]: position
            for position, (_, item) in reversed(list(enumerate(joined)))
            if is_text(item.get(id_key))
        }
        for index, item in enumerate(listing(items)):
            if not isinstance(item, dict):
                continue
            name = item.get(id_key)
            position = earlier.pop(name, None) if is_text(name) else None
            if position is None:
                joined.append(((*at, index), item))
            else:
                joined[position] = ((*at, index), item)
    return joined


def step_list(manifest: JsonObject) -> tuple[At, Any]:
    """Return the list of steps with its place; None as the list where there is none."""
    for at in (("flow", "steps"), ("workflow", "steps")):
        if isinstance(value_below(manifest, at), list):
            return at, value_below(manifest, at)
    at = ("flow", "steps") if "flow" in manifest else ("workflow", "steps")
    return at, value_below(manifest, at)


def steps_of(manifest: JsonObject) -> list[Placed]:
    """Return the steps that have an id; of two with one id the first."""
    at, items = step_list(manifest)
    found: dict[str, Placed] = {}
    for index, item in enumerate(listing(items)):
        if isinstance(item, dict) and is_text(item.get("id")):
            found.setdefault(item["id"], ((*at, index), item))
    return list(found.values())


def step_edge_list(manifest: JsonObject) -> tuple[At, Any]:
    """Return the list of step edges with its place; None as the list where there is none."""
    homes = (("flow", "graph", "edges"), ("workflow", "graph", "edges"), ("workflow", "edges"))
    for at in homes:
        if isinstance(value_below(manifest, at), list):
            return at, value_below(manifest, at)
    for at in homes:
        if value_below(manifest, at) is not None:
            return at, value_below(manifest, at)
    return (homes[2] if "workflow" in manifest else homes[0]), None


def setting(manifest: JsonObject, key: str) -> tuple[At, Any]:
    """Return what the workflow says about `key`, with its place; None where it says nothing."""
    homes: list[At] = [
        ("flow", "graph", key),
        ("flow", key),
        ("workflow", key),
        ("workflow", "graph", key),
    ]
    for at in homes:
        value = value_below(manifest, at)
        if value is not None:
            return at, value
    return (homes[2] if "workflow" in manifest else homes[0]), None


def source_of(manifest: JsonObject) -> str | None:
    """Return the step that work starts at: entrypoint, else source, else the first step."""
    ids = [step["id"] for _, step in steps_of(manifest)]
    named = (setting(manifest, key)[1] for key in ("entrypoint", "source"))
    return next((name for name in (*named, *ids) if name in ids), None)


def sink_of(manifest: JsonObject) -> str | None:
    """Return the step that work ends at: what is named, else the last step."""
    ids = [step["id"] for _, step in steps_of(manifest)]
    named = setting(manifest, "sink")[1]
    return next((name for name in (named, *reversed(ids)) if name in ids), None)


def bindings_of(manifest: JsonObject) -> Iterator[tuple[At, JsonObject]]:
    """Yield each runtime binding that is an object, with its place."""
    for name, binding in mapping(mapping(manifest.get("runtime")).get("bindings")).items():
        if isinstance(binding, dict):
            yield ("runtime", "bindings", name), binding


def workers_of(binding: JsonObject) -> list[JsonObject]:
    """Return the workers of a binding: `workers`, else `worker`, else the binding if it `uses`."""
    if isinstance(binding.get("workers"), list):
        return [worker for worker in binding["workers"] if isinstance(worker, dict)]
    if isinstance(binding.get("worker"), dict):
        return [binding["worker"]]
    return [binding] if "uses" in binding else []


def value_below(document: Any, at: At) -> Any:
    """Return what stands at a place of objects, or None."""
    for key in at:
        document = mapping(document).get(str(key))
    return document
