"""What an agent is, under any of the names that manifests give it."""

from mnedge.bundle.subject import JsonObject, is_text, mapping
from mnedge.model.states import AgentKind

KIND_ALIASES = {"relay": "router", "sandbox_worker": "executor", "collector": "aggregator"}
TYPE_ALIASES = {"accumulator": "reduce"}
_CONTAINERS = ("DockerWorker", "OpenShell", "openshell", "docker")


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


def runner_named(agent: JsonObject) -> str | None:
    """Return the runner that an executor names, or None."""
    name = mapping(agent.get("config")).get("runner_module")
    return name if is_text(name) else None


def in_container(agent: JsonObject) -> bool:
    """Tell whether it runs in a container that brings its own command."""
    return (runner_named(agent) or "").endswith(_CONTAINERS)


def is_on_host(agent: JsonObject) -> bool:
    """Tell whether it is an executor whose beacons are heard."""
    return kind_of(agent) is AgentKind.EXECUTOR and not in_container(agent)


def is_sink(agent: JsonObject) -> bool:
    """Tell whether its completion is the run's."""
    config = mapping(agent.get("config"))
    return bool(config.get("terminal_sink")) and bool(config.get("complete_run"))
