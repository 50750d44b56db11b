"""Rules about agents: what a manifest lists under `nodes`."""

from collections.abc import Iterator
from typing import Any

from mnedge.bundle.generation import Generation
from mnedge.bundle.kinds import KIND_ALIASES, kind_of, template_of
from mnedge.bundle.layout import node_lists
from mnedge.bundle.problem import At, dotted
from mnedge.bundle.rules.registry import ERROR, STRICT, WARNING, Found, rule
from mnedge.bundle.subject import AgentEntry, Subject, is_text, listing
from mnedge.model.states import AgentKind

TYPES = ("generic", "map", "reduce", "stream", "batch")
_PAIRS: dict[AgentKind, tuple[str, ...]] = {
    AgentKind.ROUTER: ("generic", "map"),
    AgentKind.EXECUTOR: TYPES,
    AgentKind.MODULE: TYPES,
    AgentKind.AGGREGATOR: ("generic", "reduce"),
    AgentKind.SENSOR: ("generic",),
    AgentKind.SERVICE: TYPES,
    AgentKind.STEP_SOURCE: ("generic", "map", "reduce"),
    AgentKind.STEP_SINK: ("generic", "map", "reduce"),
    AgentKind.STEP_JOIN: ("generic", "map", "reduce"),
}
MAX_ID = 200
"""Characters; an id stands in environments, file names and events."""
_GENERIC_IDS = frozenset({"ingress", "runtime", "router", "worker", "run", "visual_detector"})


@rule(
    "N-01",
    ERROR,
    "*",
    "agent.none",
    "nodes must not be empty",
    help="list at least one agent",
)
def there_are_agents(subject: Subject) -> Iterator[Found]:
    """Yield if the list is empty."""
    lists = node_lists(subject.graph, subject.graph_generation)
    if subject.graph and not any(nodes for _, nodes in lists) and is_known(subject):
        at = next((at for at, _ in lists), ("agents", "nodes"))
        yield Found(at=at, expected="a list of agents", actual=[])


def is_known(subject: Subject) -> bool:
    """Tell whether anything says where agents stand."""
    return subject.generation is not Generation.UNKNOWN


@rule(
    "N-02",
    ERROR,
    "*",
    "agent.no_id",
    "node_id is required for every node",
    help="give the agent a node_id, a non-empty text",
)
def agents_have_ids(subject: Subject) -> Iterator[Found]:
    """Yield each agent without an id, and each member that is no object."""
    for at, nodes in node_lists(subject.graph, subject.graph_generation):
        if not isinstance(nodes, list):
            yield Found(at=at, message=f"{dotted(at)} must be a list", actual=nodes)
        for index, node in enumerate(listing(nodes)):
            yield from _id_problem((*at, index), index + 1, node)


def _id_problem(at: At, number: int, node: Any) -> Iterator[Found]:
    if not isinstance(node, dict):
        yield Found(
            at=at,
            message=f"node number {number} must be an object with a node_id",
            expected="an object",
            actual=node,
        )
    elif not is_text(node.get("node_id")):
        yield Found(
            at=(*at, "node_id"),
            message=f"node_id is required for every node; number {number} has none",
            expected="a non-empty text",
            actual=node.get("node_id"),
        )
    elif len(node["node_id"]) > MAX_ID or not node["node_id"].isprintable():
        yield Found(
            at=(*at, "node_id"),
            message=f"node_id of number {number} is no name: {node['node_id'][:40]!r}",
            expected=f"at most {MAX_ID} printable characters",
            actual=node["node_id"],
        )


@rule(
    "N-03",
    ERROR,
    "*",
    "agent.duplicate_id",
    "duplicate node_id",
    help="give each agent an id of its own",
)
def ids_are_unique(subject: Subject) -> Iterator[Found]:
    """Yield each agent that takes the id of an earlier one."""
    first: dict[str, At] = {}
    for agent in subject.agents:
        name = agent.agent_id
        if name and first.setdefault(name, agent.at) != agent.at:
            yield Found(
                at=(*agent.at, "node_id"),
                message=f"duplicate node_id {name} (first at {dotted(first[name])})",
                actual=name,
            )


@rule(
    "N-04",
    ERROR,
    "*",
    "agent.type",
    "unsupported agent_type",
    help=f"use one of {', '.join(kind.value for kind in _PAIRS)}",
)
def kinds_are_known(subject: Subject) -> Iterator[Found]:
    """Yield each agent whose `agent_type` is missing or unknown."""
    for agent in subject.agents:
        if agent.template_problem is None and kind_of(agent.rendered) not in _PAIRS:
            name = agent.rendered.get("agent_type")
            yield Found(
                at=(*agent.at, "agent_type"),
                message=f'unsupported agent_type "{shown(name)}" for node {name_of(agent)}',
                expected=[*(kind.value for kind in _PAIRS), *KIND_ALIASES],
                actual=name,
            )


@rule(
    "N-05",
    ERROR,
    "*",
    "agent.template_type",
    "unsupported template type",
    help=f"use one of {', '.join(TYPES)}",
)
def template_types_are_known(subject: Subject) -> Iterator[Found]:
    """Yield each agent whose `type` is unknown."""
    for agent in subject.agents:
        name = agent.rendered.get("type")
        if name in (None, ""):
            continue
        if not isinstance(name, str) or template_of(agent.rendered) not in TYPES:
            yield Found(
                at=(*agent.at, "type"),
                message=f'unsupported template type "{shown(name)}" for node {name_of(agent)}',
                expected=list(TYPES),
                actual=name,
            )


@rule(
    "N-06",
    ERROR,
    "*",
    "agent.shape",
    "a member of the node has the wrong type",
    help="write it as { … }, or leave it out",
)
def members_are_objects(subject: Subject) -> Iterator[Found]:
    """Yield each member of a node that should be an object, or a list, and is not."""
    objects_only = (
        "config",
        "resources",
        "policies",
        "placement_requirements",
        "retry_policy",
        "spawn_policy",
        "checkpoint_policy",
    )
    for agent in subject.agents:
        for key in (*objects_only, "constraints", "tool_bindings"):
            value = agent.raw.get(key)
            allowed: tuple[type, ...] = (dict,)
            if key == "constraints":
                allowed = (dict, list)
            elif key == "tool_bindings":
                allowed = (list,)
            if value is not None and not isinstance(value, allowed):
                wanted = " or ".join("an object" if kind is dict else "a list" for kind in allowed)
                yield Found(
                    at=(*agent.at, key),
                    message=f"{key} for node {name_of(agent)} must be {wanted}",
                    expected=wanted,
                    actual=value,
                )


@rule(
    "N-13",
    ERROR,
    "*",
    "agent.template_pair",
    "the template type is not supported for this agent_type",
    help="use generic, which fits every agent_type",
)
def types_fit_kinds(subject: Subject) -> Iterator[Found]:
    """Yield each agent whose `type` does not go with its `agent_type`."""
    for agent in subject.agents:
        kind, template = kind_of(agent.rendered), template_of(agent.rendered)
        if kind in _PAIRS and template in TYPES and template not in _PAIRS[kind]:
            yield Found(
                at=(*agent.at, "type"),
                message=f'template type "{template}" is not supported for agent_type '
                f'"{kind}" on node {name_of(agent)}',
                expected=list(_PAIRS[kind]),
                actual=template,
            )


@rule(
    "N-15",
    WARNING,
    "*",
    "agent.generic_name",
    "a generic id without an alias says little to people",
    help="give the agent an alias for people",
)
def generic_ids_have_aliases(subject: Subject) -> Iterator[Found]:
    """Yield each agent with a generic id and no name to show."""
    for agent in subject.agents:
        named = any(is_text(agent.raw.get(key)) for key in ("alias", "display_name", "label"))
        if agent.agent_id in _GENERIC_IDS and not named:
            yield Found(at=(*agent.at, "alias"), message=f"{agent.label} has no alias for people")


@rule(
    "N-40",
    STRICT,
    "*",
    "agent.no_module",
    "module agent requires config.module",
    help='name its class, such as "python:package.module:Class" below payloads/',
)
def modules_are_named(subject: Subject) -> Iterator[Found]:
    """Yield each module agent that names no module."""
    for agent in subject.agents:
        named = is_text(agent.config.get("module"))
        if kind_of(agent.rendered) is AgentKind.MODULE and not named:
            yield Found(
                at=(*agent.at, "config", "module"),
                message=f"module agent {name_of(agent)} requires config.module",
                severity=ERROR if subject.generation is Generation.A else "",
                expected="python:package.module:Class",
                actual=agent.config.get("module"),
            )


def name_of(agent: AgentEntry) -> str:
    """Return the agent's id, or its number where it has none."""
    return agent.agent_id or f"number {agent.index + 1}"


def shown(value: Any) -> str:
    """Return a value as messages quote it."""
    return value[:200] if isinstance(value, str) else repr(value)[:80]
