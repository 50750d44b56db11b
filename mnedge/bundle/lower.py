"""A manifest of any generation to the internal representation.

Source: bundle format 2.3, 2.7; worker contract 2.1, 2.3, 5.1. What is wrong was said by the rules
before; nothing here raises for bad input that passed them. Authoring sources are expanded before.
"""

from typing import Any

from mnedge.bundle.agents import agent_entries, by_id
from mnedge.bundle.config import filled
from mnedge.bundle.files import Files
from mnedge.bundle.generation import Generation
from mnedge.bundle.human import human_control
from mnedge.bundle.kinds import kind_of, template_of
from mnedge.bundle.layout import Placed, edges_of
from mnedge.bundle.seeds import entrypoints_of, seeds_of
from mnedge.bundle.subject import AgentEntry, JsonObject, is_text, mapping, objects
from mnedge.bundle.workflow import workflow_of
from mnedge.model.manifest import Agent, Edge, JobSpec


def job_type_of(manifest: JsonObject) -> str:
    """Return `batch`, `service`, `system` or `sysbatch`."""
    policies = mapping(manifest.get("policies"))
    for name in (
        mapping(policies.get("scheduler")).get("job_type"),
        policies.get("job_type"),
        manifest.get("type"),
    ):
        if is_text(name):
            return name.lower()
    return "service" if manifest.get("daemon") is True else "batch"


def needs_context_engine(manifest: JsonObject) -> bool:
    """Tell whether the job must not start without the Context Engine."""
    return any(
        manifest.get(name) is True for name in ("requiredContextEngine", "required_context_engine")
    )


def services_of(manifest: JsonObject, *names: str) -> list[JsonObject]:
    """Return the objects of the first of these lists that is there."""
    for name in names:
        if isinstance(manifest.get(name), list):
            return [service for _, service in objects(manifest[name])]
    return []


def edge_id_of(edge: JsonObject) -> str:
    """Return the edge's id, made from its ends where the manifest gives none."""
    if is_text(edge.get("edge_id")):
        return str(edge["edge_id"])
    return f"{edge.get('from_node')}__{edge.get('message_type')}__{edge.get('to_node')}"


def graph_id_of(manifest: JsonObject) -> str:
    """Return the id of the workflow."""
    workflow_id = mapping(manifest.get("workflow")).get("workflow_id")
    return _text(manifest.get("graph_id")) or _text(workflow_id)


def job_name_of(manifest: JsonObject) -> str:
    """Return what the job is called."""
    names = (manifest.get("job_name"), manifest.get("id"), graph_id_of(manifest))
    return next(filter(None, map(_text, names)), "workflow")


def job_spec(
    manifest: JsonObject,
    generation: Generation = Generation.A,
    *,
    blueprint_id: str,
    config: JsonObject,
    inputs: JsonObject,
    files: Files | None = None,
    fingerprint: str = "",
    scenario: JsonObject | None = None,
) -> JobSpec:
    """Return the job that a manifest without errors describes.

    `files` are asked for the templates that the bundle brings along.
    """
    agents = agent_entries(manifest, generation, files)
    entrypoints = entrypoints_of(manifest, agents, generation)
    display = _display_names(manifest)
    job_type = job_type_of(manifest)
    return JobSpec(
        blueprint_id=blueprint_id,
        graph_id=graph_id_of(manifest),
        job_name=_text(manifest.get("job_name")) or graph_id_of(manifest)
        if generation.letter == "A"
        else job_name_of(manifest),
        name=_text(manifest.get("name")) or _text(mapping(manifest.get("metadata")).get("name")),
        agents=[_agent(entry, config, display) for entry in agents],
        edges=_edges(edges_of(manifest, generation)),
        entrypoints=entrypoints,
        seeds=seeds_of(manifest, entrypoints, generation, inputs),
        generation=generation_name(manifest, generation),
        job_type=job_type,
        manifest_version=str(manifest.get("manifest_version", "1.0")),
        policies=mapping(manifest.get("policies")),
        services=filled(services_of(manifest, "services"), config),
        required_services=filled(
            services_of(manifest, "required_services", "requiredServices"), config
        ),
        required_context_engine=needs_context_engine(manifest),
        config=config,
        inputs=inputs,
        metadata=mapping(manifest.get("metadata")),
        fingerprint=fingerprint,
        scenario=scenario,
        workflow=None
        if generation.letter == "A"
        else workflow_of(manifest, by_id(agents), job_type=job_type),
        human=human_control(config, manifest),
    )


def generation_name(manifest: JsonObject, generation: Generation) -> str:
    """Return the generation that a job came from; a lowered manifest remembers it."""
    remembered = manifest.get("source_generation")
    names = [str(name) for name in Generation if name is not Generation.UNKNOWN]
    if generation is Generation.B_F and remembered in names:
        return str(remembered)
    return str(generation)


def _agent(entry: AgentEntry, config: JsonObject, display: dict[str, str]) -> Agent:
    agent = entry.rendered
    kind = kind_of(agent)
    if kind is None:
        raise ValueError(f"{entry.label} has no known agent_type; rule N-04 refuses it")
    own = dict(mapping(agent.get("config")))
    for name in ("command", "environment"):
        if name in own:
            own[name] = filled(own[name], config)
    names = (_text(agent.get(key)) for key in ("alias", "display_name", "label"))
    return Agent(
        agent_id=entry.agent_id,
        kind=kind,
        template=template_of(agent),
        role=_text(agent.get("role")) or None,
        display_name=next(filter(None, names), "") or display.get(entry.agent_id),
        config=own,
        resources=mapping(agent.get("resources")),
        policies=mapping(agent.get("policies")),
        services=filled(services_of(agent, "services"), config),
    )


def _edges(raw: list[Placed]) -> list[Edge]:
    """Return the edges, each with an id of its own: derived message ids depend on it."""
    seen: dict[str, int] = {}
    edges = []
    for _, edge in raw:
        name = edge_id_of(edge)
        seen[name] = seen.get(name, 0) + 1
        while (unique := name if seen[name] == 1 else f"{name}__{seen[name]}") in seen and (
            unique != name
        ):
            seen[name] += 1
        seen.setdefault(unique, 1)
        edges.append(_edge(edge, unique))
    return edges


def _edge(edge: JsonObject, edge_id: str) -> Edge:
    return Edge(
        edge_id=edge_id,
        sender=str(edge.get("from_node")),
        target=str(edge.get("to_node")),
        message_type=str(edge.get("message_type")),
        routing_mode=_text(edge.get("routing_mode")) or "broadcast",
        conditions=mapping(edge.get("conditions")),
    )


def _display_names(manifest: JsonObject) -> dict[str, str]:
    """Return names that the metadata gives to agents, by id."""
    templates = mapping(mapping(manifest.get("metadata")).get("agent_templates"))
    found: dict[str, str] = {}
    for _, row in objects(templates.get("nodes")):
        for key in ("alias", "display_name", "label"):
            if is_text(row.get("node_id")) and is_text(row.get(key)):
                found.setdefault(row["node_id"], row[key])
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
