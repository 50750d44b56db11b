"""Rules about entrypoints, edges and seeds."""

from collections.abc import Iterator
from typing import Any

from mnedge.bundle.conditions import problem_in
from mnedge.bundle.generation import Generation
from mnedge.bundle.kinds import kind_of
from mnedge.bundle.layout import bindings_of, edge_lists, value_below
from mnedge.bundle.lower import edge_id_of
from mnedge.bundle.problem import At, dotted
from mnedge.bundle.rules.registry import ERROR, STRICT, WARNING, Found, rule
from mnedge.bundle.seeds import entrypoint_lists, entrypoints_of
from mnedge.bundle.steps import agent_of
from mnedge.bundle.subject import AgentEntry, JsonObject, Subject, is_text, listing, mapping
from mnedge.bundle.workflow import template_agents
from mnedge.model.states import AgentKind

_SEEDS: tuple[At, ...] = (("initial_inputs",), ("runtime", "initial_inputs"))
ROUTING_MODES = ("broadcast", "first_match", "all_match")


@rule(
    "E-01",
    ERROR,
    "*",
    "graph.no_entrypoint",
    "manifest must define at least one entrypoint or one node with role root/root_coordinator",
    help='add "entrypoints": ["<node_id>"], the agents that are started first',
)
def has_an_entrypoint(subject: Subject) -> Iterator[Found]:
    """Yield if nothing says where the job starts."""
    lists = entrypoint_lists(subject.graph, subject.graph_generation)
    wrong = [(at, given) for at, given in lists if not isinstance(given, list | str)]
    for at, given in wrong:
        yield Found(
            at=at,
            message=f"{dotted(at)} must be a list of node ids",
            expected="a list of node ids",
            actual=given,
        )
    if subject.generation.letter == "S" and not subject.graph:
        return
    if not wrong and not starts_of(subject) and not any(given for _, given in lists):
        at = ("agents", "entrypoints") if subject.graph_generation.letter == "C" else ()
        yield Found(at=at or ("entrypoints",), expected="a list of node ids")


def starts_of(subject: Subject) -> list[str]:
    """Return the agents that the job starts at."""
    return entrypoints_of(subject.graph, subject.agents, subject.graph_generation)


@rule(
    "E-02",
    ERROR,
    "*",
    "graph.unknown_entrypoint",
    "entrypoint does not reference a known node",
    help="name the node_id of an agent in nodes",
)
def entrypoints_are_agents(subject: Subject) -> Iterator[Found]:
    """Yield each entrypoint that is no agent."""
    if subject.generation is Generation.UNKNOWN:
        return
    known = subject.agent_ids
    for at, name in _entrypoints(subject):
        if not isinstance(name, str) or name not in known:
            yield Found(
                at=at,
                message=f"entrypoint {_shown(name)} does not reference a known node",
                expected=_some(known),
                actual=name,
            )


def _entrypoints(subject: Subject) -> Iterator[tuple[At, Any]]:
    for at, given in entrypoint_lists(subject.graph, subject.graph_generation):
        if isinstance(given, str):
            yield at, given
        for index, name in enumerate(listing(given)):
            yield (*at, index), name


@rule(
    "E-03",
    ERROR,
    "*",
    "graph.unknown_end",
    "edge references a missing node",
    help="name the node_id of an agent in nodes",
)
def edges_join_agents(subject: Subject) -> Iterator[Found]:
    """Yield each end of an edge that is no agent."""
    known = subject.agent_ids
    for at, edge in subject.edges:
        for key in ("from_node", "to_node"):
            name = edge.get(key)
            if not isinstance(name, str) or name not in known:
                yield Found(
                    at=(*at, key),
                    message=f"edge {_named(edge)} references missing {key} {_shown(name)}",
                    expected=_some(known),
                    actual=name,
                )


@rule(
    "E-04",
    ERROR,
    "*",
    "graph.no_message_type",
    "edge must define message_type",
    help="name the type of message that takes this edge, or * for every type",
)
def edges_name_a_type(subject: Subject) -> Iterator[Found]:
    """Yield each edge without a message type."""
    for at, edge in subject.edges:
        if not is_text(edge.get("message_type")):
            yield Found(
                at=(*at, "message_type"),
                message=f"edge {_named(edge)} must define message_type",
                expected="a non-empty text",
                actual=edge.get("message_type"),
            )


@rule(
    "E-05",
    ERROR,
    "*",
    "graph.initial_inputs",
    "initial_inputs must be an object or list",
    help="write { node_id: [bodies] }, or a list that every entrypoint gets",
)
def seeds_have_a_shape(subject: Subject) -> Iterator[Found]:
    """Yield if `initial_inputs` is neither object nor list."""
    places = [(at, value_below(subject.graph, at)) for at in _SEEDS]
    for at, binding in bindings_of(subject.graph):
        places += [((*at, key), binding.get(key)) for key in ("seed_inputs", "initial_inputs")]
    for at, given in places:
        if given is not None and not isinstance(given, dict | list):
            yield Found(
                at=at,
                message=f"{dotted(at)} must be an object or list",
                expected="an object or a list",
                actual=given,
            )


@rule(
    "E-06",
    WARNING,
    "*",
    "graph.unused_seed",
    "initial_inputs names a node that is no entrypoint; it is ignored",
    help="add the node to entrypoints, or take the seed out",
)
def seeds_are_used(subject: Subject) -> Iterator[Found]:
    """Yield each seed that nobody receives."""
    if subject.generation is Generation.UNKNOWN:
        return
    starts = starts_of(subject)
    for at in _SEEDS:
        for name in mapping(value_below(subject.graph, at)):
            if name not in starts:
                yield Found(
                    at=(*at, name),
                    message=f"{dotted(at)} names {name!r}, which is no entrypoint; it is ignored",
                    expected=starts,
                )


@rule(
    "E-07",
    ERROR,
    "*",
    "graph.routing_mode",
    "unsupported routing_mode",
    help=f"use one of {', '.join(ROUTING_MODES)}",
)
def routing_modes_are_known(subject: Subject) -> Iterator[Found]:
    """Yield each edge with an unknown routing mode."""
    for at, edge in subject.edges:
        mode = edge.get("routing_mode")
        if mode is not None and mode not in ROUTING_MODES:
            yield Found(
                at=(*at, "routing_mode"),
                message=f"edge {_named(edge)} has unsupported routing_mode {_shown(mode)}",
                expected=list(ROUTING_MODES),
                actual=mode,
            )


@rule(
    "E-08",
    ERROR,
    "*",
    "graph.conditions",
    "edge has invalid conditions",
    help='write {"path": "payload.x", "op": "==", "value": …}, or all, any, not, expr',
)
def conditions_can_be_read(subject: Subject) -> Iterator[Found]:
    """Yield the innermost part of each condition that cannot be read."""
    for at, edge in subject.edges:
        wrong = problem_in(edge.get("conditions"))
        if wrong is not None:
            below, reason = wrong
            yield Found(
                at=(*at, "conditions", *below),
                message=f"edge {_named(edge)} has invalid conditions: {reason}",
            )


@rule(
    "E-09",
    STRICT,
    "*",
    "graph.edge_id",
    "edge_id is required and must be unique",
    help="give each edge an id of its own",
)
def edge_ids_are_unique(subject: Subject) -> Iterator[Found]:
    """Yield each edge without an id, and each that takes another one's."""
    first: dict[str, tuple[Any, ...]] = {}
    for at, edge in subject.edges:
        at = (*at, "edge_id")
        edge_id = edge.get("edge_id")
        if not is_text(edge_id):
            yield Found(
                at=at,
                message="edge_id is required",
                expected=f"a text such as {edge_id_of(edge)}"[:200],
                actual=edge_id,
            )
            continue
        ends = tuple(str(edge.get(key)) for key in ("from_node", "to_node", "message_type"))
        if first.setdefault(edge_id, ends) != ends:
            yield Found(at=at, message=f"duplicate edge_id {edge_id}", actual=edge_id)


@rule(
    "E-10",
    WARNING,
    "*",
    "graph.dangling_type",
    "a message type leads nowhere, or comes from nowhere",
    help="make the edge's message_type the one that its sender emits",
)
def types_meet(subject: Subject) -> Iterator[Found]:
    """Yield emitted types without an edge, and edges whose sender cannot emit their type."""
    leaving: dict[str, list[str]] = {}
    for _, edge in subject.edges:
        if is_text(edge.get("from_node")) and is_text(edge.get("message_type")):
            leaving.setdefault(edge["from_node"], []).append(edge["message_type"])
    for agent in subject.agents:
        emitted = _emitted(agent)
        types = leaving.get(agent.agent_id, [])
        if emitted and not agent.config.get("target_node") and not {emitted, "*"} & set(types):
            yield Found(
                at=(*agent.at, "config"),
                message=f"{agent.label} emits {emitted!r}, but no edge carries it",
                actual=emitted,
            )
    for at, edge in subject.edges:
        sender = subject.agent_ids.get(str(edge.get("from_node")))
        kind = edge.get("message_type")
        only = _only_type(sender) if sender is not None else None
        if only is not None and is_text(kind) and kind not in (only, "*"):
            yield Found(
                at=(*at, "message_type"),
                message=f"edge {_named(edge)} waits for {kind!r}, which its sender never emits",
                expected=only,
                actual=kind,
            )


def _emitted(agent: AgentEntry) -> str | None:
    """Return the type that the agent's config says it emits."""
    key = "emit_type" if kind_of(agent.rendered) is AgentKind.ROUTER else "output_message_type"
    emitted = agent.config.get(key)
    return emitted if is_text(emitted) else None


def _only_type(agent: AgentEntry) -> str | None:
    """Return the one type the agent can emit, or None if it may emit others."""
    if kind_of(agent.rendered) in (AgentKind.ROUTER, AgentKind.AGGREGATOR):
        return _emitted(agent)
    return None


@rule(
    "E-11",
    WARNING,
    "*",
    "graph.unreachable",
    "no message can reach this agent from an entrypoint",
    help="add an edge to it, list it under entrypoints, or take it out",
)
def agents_are_reached(subject: Subject) -> Iterator[Found]:
    """Yield each agent that no path of edges leads to; what a worker may address is left out."""
    if subject.generation is Generation.UNKNOWN:
        return
    ways: dict[str, list[str]] = {}
    for _, edge in subject.edges:
        if is_text(edge.get("from_node")) and is_text(edge.get("to_node")):
            ways.setdefault(edge["from_node"], []).append(edge["to_node"])
    for agent in subject.agents:
        target = agent.config.get("target_node")
        if is_text(target):
            ways.setdefault(agent.agent_id, []).append(target)
    reached: set[str] = set()
    pending = [*starts_of(subject), *_auxiliary(subject)]
    while pending:
        name = pending.pop()
        if name not in reached:
            reached.add(name)
            pending.extend(ways.get(name, ()))
    senders = {str(edge.get("to_node")) for _, edge in subject.edges}
    may_be_written_to = _may_be_written_to(subject)
    for agent in subject.agents:
        if (
            agent.agent_id
            and agent.agent_id not in reached
            and kind_of(agent.rendered) is not AgentKind.SERVICE
            and (agent.agent_id in senders or not may_be_written_to)
        ):
            yield Found(at=agent.at, message=f"{agent.label} cannot be reached from an entrypoint")


def _auxiliary(subject: Subject) -> list[str]:
    """Return the agents that live messages may reach, or that the ledger may start itself."""
    agents = mapping(subject.graph.get("agents"))
    named = [name for name in listing(agents.get("auxiliary_entrypoints")) if is_text(name)]
    working = (agent_of(step, subject.agent_ids) for _, step in subject.steps)
    started = [agent.agent_id for agent in working if agent is not None]
    return named + started + template_agents(subject.graph)


def _may_be_written_to(subject: Subject) -> bool:
    """Tell whether some worker can address agents directly, without an edge."""
    return any(
        kind_of(agent.rendered) in (AgentKind.EXECUTOR, AgentKind.MODULE)
        for agent in subject.agents
    )


@rule(
    "E-12",
    ERROR,
    "*",
    "graph.edges_shape",
    "edges must be a list of objects",
    help='write edges as [{"edge_id", "from_node", "to_node", "message_type"}, …]',
)
def edges_are_objects(subject: Subject) -> Iterator[Found]:
    """Yield if `edges` is no list, and each member that is no object."""
    for at, edges in edge_lists(subject.graph, subject.graph_generation):
        if not isinstance(edges, list):
            yield Found(
                at=at,
                message=f"{dotted(at)} must be a list of objects",
                expected="a list",
                actual=edges,
            )
        for index, edge in enumerate(listing(edges)):
            if not isinstance(edge, dict):
                yield Found(
                    at=(*at, index),
                    message=f"edge number {index + 1} must be an object",
                    expected="an object",
                    actual=edge,
                )


def _named(edge: JsonObject) -> str:
    edge_id = edge.get("edge_id")
    return edge_id if is_text(edge_id) else "unknown"


def _shown(value: Any) -> str:
    return value if is_text(value) else repr(value)[:80]


def _some(known: dict[str, AgentEntry]) -> list[str]:
    return list(known)[:20]
