"""Generation A to the internal representation.

Source: bundle format 2.3, 2.7; worker contract 2.1, 2.3, 5.1. What is wrong was said by the rules
before; nothing here raises for bad input that passed them.
"""

from typing import Any

from mnedge.bundle.config import filled
from mnedge.bundle.subject import AgentEntry, JsonObject, is_text, listing, mapping, objects
from mnedge.bundle.templates import TemplateProblemError, rendered
from mnedge.model.manifest import Agent, Edge, JobSpec
from mnedge.model.states import AgentKind

KIND_ALIASES = {"relay": "router", "sandbox_worker": "executor", "collector": "aggregator"}
TYPE_ALIASES = {"accumulator": "reduce"}
ROOT_ROLES = ("root", "root_coordinator")


def agent_entries(manifest: JsonObject) -> list[AgentEntry]:
    """Return the objects of the root `nodes` list, templates rendered where that is needed."""
    entries = []
    for index, raw in objects(manifest.get("nodes")):
        problem = None
        try:
            complete = rendered(raw)
        except TemplateProblemError as error:
            complete = raw
            problem = (error.rule, str(error))
        entries.append(
            AgentEntry(
                index=index,
                at=("nodes", index),
                raw=raw,
                rendered=complete,
                template_problem=problem,
            )
        )
    return entries


def kind_of(agent: JsonObject) -> AgentKind | None:
    """Return what the agent is made of, or None if `agent_type` names nothing known."""
    name = agent.get("agent_type")
    if not isinstance(name, str):
        return None
    try:
        return AgentKind(KIND_ALIASES.get(name, name))
    except ValueError:
        return None


def template_of(agent: JsonObject) -> str:
    """Return the behaviour template, `generic` where none is named."""
    name = agent.get("type")
    if not isinstance(name, str) or not name:
        return "generic"
    return TYPE_ALIASES.get(name, name)


def entrypoints_of(manifest: JsonObject, agents: list[AgentEntry]) -> list[str]:
    """Return where the job starts: what the manifest lists, else the agents with a root role."""
    given = manifest.get("entrypoints")
    names = [given] if isinstance(given, str) else listing(given)
    found = list(dict.fromkeys(name for name in names if is_text(name)))
    if found:
        return found
    return [
        agent.agent_id
        for agent in agents
        if agent.rendered.get("role") in ROOT_ROLES and agent.agent_id
    ]


def seeds_of(manifest: JsonObject, entrypoints: list[str]) -> dict[str, list[Any]]:
    """Return the bodies each entrypoint is started with, at least one each.

    Source: bundle format 2.3.3.
    """
    given = manifest.get("initial_inputs")
    seeds: dict[str, list[Any]] = {}
    for name in entrypoints:
        value: Any = given if isinstance(given, list) else mapping(given).get(name, [])
        bodies = value if isinstance(value, list) else [value]
        seeds[name] = list(bodies) or [{}]
    return seeds


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


def job_spec(
    manifest: JsonObject,
    agents: list[AgentEntry],
    *,
    blueprint_id: str,
    config: JsonObject,
    inputs: JsonObject,
    fingerprint: str = "",
    scenario: JsonObject | None = None,
) -> JobSpec:
    """Return the job that a generation-A manifest without errors describes."""
    entrypoints = entrypoints_of(manifest, agents)
    graph_id = str(manifest["graph_id"])
    display = _display_names(manifest)
    return JobSpec(
        blueprint_id=blueprint_id,
        graph_id=graph_id,
        job_name=_text(manifest.get("job_name")) or graph_id,
        name=_text(manifest.get("name")) or _text(mapping(manifest.get("metadata")).get("name")),
        agents=[_agent(entry, config, display) for entry in agents],
        edges=_edges(manifest),
        entrypoints=entrypoints,
        seeds=seeds_of(manifest, entrypoints),
        generation="A",
        job_type=job_type_of(manifest),
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
    )


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


def _edges(manifest: JsonObject) -> list[Edge]:
    """Return the edges, each with an id of its own: derived message ids depend on it."""
    seen: dict[str, int] = {}
    edges = []
    for _, edge in objects(manifest.get("edges")):
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
