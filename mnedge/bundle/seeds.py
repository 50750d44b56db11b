"""Where a job starts, and what with.

Source: bundle format 2.3.3, 2.7.
"""

from typing import Any

from mnedge.bundle.generation import Generation
from mnedge.bundle.layout import bindings_of, value_below
from mnedge.bundle.problem import At
from mnedge.bundle.subject import AgentEntry, JsonObject, is_text, listing, mapping

ROOT_ROLES = ("root", "root_coordinator")


def entrypoint_lists(manifest: JsonObject, generation: Generation) -> list[tuple[At, Any]]:
    """Return what the manifest lists as entrypoints, with the places."""
    homes: tuple[At, ...] = (("entrypoints",),)
    if generation.letter != "A":
        homes = (("agents", "entrypoints"), ("entrypoints",))
    found = ((at, value_below(manifest, at)) for at in homes)
    return [(at, value) for at, value in found if value is not None]


def entrypoints_of(
    manifest: JsonObject, agents: list[AgentEntry], generation: Generation = Generation.A
) -> list[str]:
    """Return where the job starts: what the manifest lists, else the agents with a root role."""
    names: list[Any] = []
    for _, given in entrypoint_lists(manifest, generation):
        names += [given] if isinstance(given, str) else listing(given)
    found = list(dict.fromkeys(name for name in names if is_text(name)))
    if found:
        return found
    return [
        agent.agent_id
        for agent in agents
        if agent.rendered.get("role") in ROOT_ROLES and agent.agent_id
    ]


def seeds_of(
    manifest: JsonObject,
    entrypoints: list[str],
    generation: Generation = Generation.A,
    inputs: JsonObject | None = None,
) -> dict[str, list[Any]]:
    """Return the bodies each entrypoint is started with, at least one each.

    `inputs` is the job's input payload, the seed of workflows that name none.
    """
    if generation.letter == "A":
        return _seeds(manifest.get("initial_inputs"), entrypoints)
    for source in _sources(manifest):
        if (isinstance(source, list) and source) or (
            isinstance(source, dict) and any(name in source for name in entrypoints)
        ):
            return _seeds(source, entrypoints)
    return _seeds(
        {name: [{"args": [], "kwargs": inputs or {}}] for name in entrypoints[:1]}, entrypoints
    )


def _sources(manifest: JsonObject) -> list[Any]:
    """Return the places of seeds in their order; what runtime and bindings say is one of them."""
    declared = [mapping(manifest.get("runtime")).get("initial_inputs")]
    for _, binding in bindings_of(manifest):
        declared += [binding.get("seed_inputs"), binding.get("initial_inputs")]
    merged: JsonObject = {}
    for source in declared:
        for name, value in mapping(source).items():
            merged.setdefault(name, value)
    return [
        manifest.get("initial_inputs"),
        merged,
        *(source for source in declared if isinstance(source, list)),
    ]


def _seeds(given: Any, entrypoints: list[str]) -> dict[str, list[Any]]:
    seeds: dict[str, list[Any]] = {}
    for name in entrypoints:
        value: Any = given if isinstance(given, list) else mapping(given).get(name, [])
        bodies = value if isinstance(value, list) else [value]
        seeds[name] = list(bodies) or [{}]
    return seeds
