"""A lowered manifest made ready to run: agents by number, an edge table, conditions as functions.

Source: worker contract 2.
"""

from typing import Any

from msgspec import Struct

from mnedge.engine.conditions import Condition, compile_condition, suffixes
from mnedge.engine.ledger.definition import CompiledLedger, child_paths, compile_ledger
from mnedge.engine.pressure import Bounds, bounds_of
from mnedge.engine.references import paths_asked
from mnedge.engine.restart_policy import RestartPolicy, restart_policy
from mnedge.engine.settings import named, truthy, whole
from mnedge.errors import UnavailableError, UsageError
from mnedge.model.manifest import Agent, Edge, JobSpec
from mnedge.model.states import AgentKind

CURRENT_REVISION = 2
"""Grows when the same facts would give something else; a job keeps the one it began with.

2: routers with an `approval_mode` ask people; dead letters are kept.
"""
MAX_STATE_BYTES = 256 << 20

_RUNNABLE = frozenset(
    {
        AgentKind.ROUTER,
        AgentKind.EXECUTOR,
        AgentKind.AGGREGATOR,
        AgentKind.SENSOR,
        AgentKind.MODULE,
        AgentKind.STEP_SOURCE,
        AgentKind.STEP_JOIN,
        AgentKind.STEP_SINK,
    }
)
_SAFETY_KEYS = ("safe_to_retry", "idempotent", "idempotency_key", "recovery_idempotency_key")


class AgentUnsupportedError(UsageError):
    """An agent is of a kind that cannot be run; `mnedge blueprint validate` lists them."""

    code = "engine.agent_unsupported"


class GraphInvalidError(UsageError):
    """The graph names an agent that does not exist; `mnedge blueprint validate` says where."""

    code = "engine.graph_invalid"


class EngineTooOldError(UnavailableError):
    """A newer mnedge started the job, with an engine this one lacks; update this node."""

    code = "engine.too_old"


class Link(Struct, frozen=True, gc=False):
    """One way out of an agent, ready for its first action's message ids."""

    target: int
    target_id: str
    edge_id: str
    suffix: bytes
    """What follows the incoming message's id in the text whose hash is the new id, for action 0."""
    holds: Condition | None
    mode: str
    message_type: str


class Route(Struct, frozen=True, gc=False):
    """Where one message type of one agent goes."""

    links: tuple[Link, ...] = ()
    plain: bool = True
    """No link has a condition or a mode: each message takes all, and no event tells of it."""


class CompiledAgent(Struct, frozen=True, kw_only=True):
    """One agent with everything its config says, read once."""

    index: int
    agent_id: str
    kind: AgentKind
    agent: Agent
    routes: dict[str, Route]
    elsewhere: Route
    """For message types that no edge names: the `*` edges."""
    bounds: Bounds
    restart: RestartPolicy
    emits: str | None
    """Message type of the default emission; None: none (of a router: the incoming type)."""
    is_plain_router: bool = False
    """A router whose every route is plain: the engine's fast path takes it."""
    target: str | None = None
    completes: bool = False
    on_message: bool = False
    threshold: int | None = None
    failure_type: str | None = None
    startup_delay_s: float = 0.0
    needs_review: bool = False
    """A launch cut by a crash waits for a person."""
    ends_run: bool = False
    """Its completion is the run's: `terminal_sink` and `complete_run`."""
    completes_step: bool = True
    """A successful attempt completes the step it is for."""
    asks: bool = False
    """A router that people open."""

    def route(self, message_type: str) -> Route:
        """Return where that type goes."""
        return self.routes.get(message_type, self.elsewhere)


class CompiledJob(Struct, frozen=True, kw_only=True):
    """A job's graph as the engine walks it."""

    spec: JobSpec
    revision: int
    agents: list[CompiledAgent]
    index_of: dict[str, int]
    entrypoints: list[int]
    body_paths: tuple[str, ...]
    """What a `BlobRef` keeps of its value: paths that conditions and deduplication ask for."""
    service: bool
    completes_by_agent: bool
    """A completing agent ends the job (else the job is a service that goes on)."""
    max_state_bytes: int
    ledger: CompiledLedger | None = None
    live_inputs: dict[str, list[int]] = {}
    """Live input → the agents that get what it brings."""


def compile_job(spec: JobSpec, *, revision: int = CURRENT_REVISION) -> CompiledJob:
    """Return the job ready to run.

    Raises: AgentUnsupportedError, GraphInvalidError, EngineTooOldError.
    """
    if revision > CURRENT_REVISION:
        raise EngineTooOldError(
            f"the job needs engine revision {revision}, this mnedge has {CURRENT_REVISION}",
            hint="update mnedge on this node, or let a newer node run the job",
        )
    _check_kinds(spec)
    index_of = {agent.agent_id: index for index, agent in enumerate(spec.agents)}
    paths: set[str] = {"agent_id", *child_paths(spec.workflow)}
    for agent in spec.agents:
        paths.update(paths_asked(agent.kind, agent.config))
    routes = _routes(spec, index_of, paths)
    service = spec.job_type in ("service", "system")
    sinks = {index_of[agent.agent_id] for agent in spec.agents if ends_run(agent.config)}
    ledger = compile_ledger(spec.workflow, index_of, spec.edges, sinks)
    limit = whole(spec.policies.get("max_state_bytes"), at_least=1)
    entrypoints = list(dict.fromkeys(_index(index_of, name) for name in spec.entrypoints))
    return CompiledJob(
        spec=spec,
        revision=revision,
        agents=[
            _agent(spec, index, agent, routes.get(index, {}), ledger, revision)
            for index, agent in enumerate(spec.agents)
        ],
        index_of=index_of,
        entrypoints=entrypoints,
        body_paths=tuple(sorted({ending for path in paths for ending in suffixes(path)})),
        service=service,
        completes_by_agent=not service or spec.generation == "A",
        max_state_bytes=MAX_STATE_BYTES if limit is None else limit,
        ledger=ledger,
        live_inputs={
            live.name: [_index(index_of, name) for name in live.to] or entrypoints
            for live in spec.live_inputs
        },
    )


def _check_kinds(spec: JobSpec) -> None:
    refused = [agent for agent in spec.agents if agent.kind not in _RUNNABLE]
    if refused:
        names = ", ".join(f"{agent.agent_id} ({agent.kind})" for agent in refused)
        raise AgentUnsupportedError(
            f"these agents cannot be run yet: {names}",
            hint="use router, executor, aggregator, sensor or module agents",
            details={"agents": [agent.agent_id for agent in refused]},
        )


def _index(index_of: dict[str, int], name: str) -> int:
    index = index_of.get(name)
    if index is None:
        raise GraphInvalidError(
            f"there is no agent {name!r}",
            hint="run `mnedge blueprint validate` on the bundle",
            details={"agent_id": name},
        )
    return index


def _routes(
    spec: JobSpec, index_of: dict[str, int], paths: set[str]
) -> dict[int, dict[str, Route]]:
    """Return the routes of each agent that has edges; the type "" stands for all others."""
    leaving: dict[int, list[Edge]] = {}
    for edge in spec.edges:
        leaving.setdefault(_index(index_of, edge.sender), []).append(edge)
    return {index: _routes_of(edges, index_of, paths) for index, edges in leaving.items()}


def _routes_of(edges: list[Edge], index_of: dict[str, int], paths: set[str]) -> dict[str, Route]:
    links = [(edge.message_type, _link(edge, index_of, paths)) for edge in edges]
    types = dict.fromkeys(message_type for message_type, _ in links if message_type != "*")
    table = {
        wanted: _route([link for message_type, link in links if message_type in (wanted, "*")])
        for wanted in types
    }
    table[""] = _route([link for message_type, link in links if message_type == "*"])
    return table


def _link(edge: Edge, index_of: dict[str, int], paths: set[str]) -> Link:
    condition = compile_condition(edge.conditions)
    paths.update(condition.paths)
    return Link(
        target=_index(index_of, edge.target),
        target_id=edge.target,
        edge_id=edge.edge_id,
        suffix=f":{edge.sender}:{edge.target}:0:{edge.edge_id}".encode("utf-8", "surrogatepass"),
        holds=condition.holds,
        mode=edge.routing_mode,
        message_type=edge.message_type,
    )


def _route(links: list[Link]) -> Route:
    plain = all(link.holds is None and link.mode == "broadcast" for link in links)
    return Route(tuple(links), plain)


def _agent(
    spec: JobSpec,
    index: int,
    agent: Agent,
    routes: dict[str, Route],
    ledger: CompiledLedger | None,
    revision: int,
) -> CompiledAgent:
    config = agent.config
    asks = revision >= 2 and agent.kind is AgentKind.ROUTER and "approval_mode" in config
    return CompiledAgent(
        index=index,
        agent_id=agent.agent_id,
        kind=agent.kind,
        agent=agent,
        routes={name: route for name, route in routes.items() if name},
        elsewhere=routes.get("", Route()),
        bounds=bounds_of(config),
        restart=restart_policy(spec, agent),
        emits=_emits(agent),
        is_plain_router=ledger is None and not asks and _is_plain_router(agent, routes),
        target=named(config.get("target_node")) if agent.kind is AgentKind.ROUTER else None,
        completes=_completes(agent),
        on_message=truthy(config.get("complete_on_message")),
        threshold=_threshold(agent),
        failure_type=named(config.get("failure_message_type")),
        startup_delay_s=(whole(config.get("startup_delay_ms")) or 0) / 1000,
        needs_review=_needs_review(spec, config),
        ends_run=ends_run(config),
        completes_step="workflow_complete_step" not in config
        or truthy(config["workflow_complete_step"]),
        asks=asks,
    )


def _is_plain_router(agent: Agent, routes: dict[str, Route]) -> bool:
    return (
        agent.kind is AgentKind.ROUTER
        and named(agent.config.get("target_node")) is None
        and all(route.plain for route in routes.values())
    )


def _emits(agent: Agent) -> str | None:
    config = agent.config
    match agent.kind:
        case AgentKind.ROUTER:
            return named(config.get("emit_type"))
        case AgentKind.SENSOR:
            return named(config.get("output_message_type")) or "sensor_ready"
        case AgentKind.EXECUTOR:
            if "output_message_type" not in config:
                return "executor_result"
    return named(config.get("output_message_type"))


def ends_run(config: dict[str, Any]) -> bool:
    """Tell whether an agent's completion is the run's."""
    return truthy(config.get("terminal_sink")) and truthy(config.get("complete_run"))


def _completes(agent: Agent) -> bool:
    config = agent.config
    if ends_run(config):
        return True
    if "complete_job" in config:
        return truthy(config["complete_job"])
    newer = "terminal_sink" in config or "complete_run" in config
    return agent.kind is AgentKind.AGGREGATOR and not newer and "output_message_type" not in config


def _threshold(agent: Agent) -> int | None:
    value = agent.config.get("complete_after")
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value.strip()[:18])
    found = whole(value, at_least=1)
    return found or (1 if agent.kind is AgentKind.SENSOR else None)


def _needs_review(spec: JobSpec, config: dict[str, Any]) -> bool:
    if spec.recovery_mode == "manual_recover":
        return True
    effect = config.get("side_effect")
    if not isinstance(effect, str) or effect in ("", "none", "read"):
        return False
    return not any(config.get(key) for key in _SAFETY_KEYS)
