"""Which runner carries an agent's work, which stand-in may, and which devices it takes. Pure.

Source: worker contract 3.12.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from mnedge.execution.environment import truthy
from mnedge.execution.refusal import RefusedError
from mnedge.model.device_asks import asks_of
from mnedge.model.manifest import Agent, JobSpec
from mnedge.model.resources import DeviceAsk
from mnedge.ports import Runner

HOST_LOCAL = "host_local"
OPENSHELL, DOCKER = "openshell", "docker"
WIRE_NAMES = {
    "MirrorNeuron.Runner.OpenShell": OPENSHELL,
    "MirrorNeuron.Sandbox.OpenShell": OPENSHELL,
    "MirrorNeuron.Runner.DockerWorker": DOCKER,
}
"""Runners that bundles name and that may be absent."""
LEVELS = ("none", "process", "sandbox", "vm")
"""Isolation, weakest first."""


class Chosen(Struct, frozen=True):
    """The runner, and the one that was asked for if this one stands in for it."""

    runner: Runner
    instead_of: str | None = None
    braces_doubled: bool = False
    """The command was written for a runner whose placeholders have two braces."""


def choose_runner(
    agent: Agent, spec: JobSpec, runners: Mapping[str, Runner], *, openshell_fallback: bool = True
) -> Chosen:
    """Return the runner for an agent's work.

    Raises: RefusedError if there is none that may do it.
    """
    named = agent.config.get("runner_module") or "MirrorNeuron.Runner.OpenShell"
    short = WIRE_NAMES.get(named, "")
    runner = runners.get(named)
    why = "it is not installed" if runner is None else runner.available()
    if runner is not None and why is None:
        _check_level(agent, runner)
        return Chosen(runner, braces_doubled=short == OPENSHELL)
    if short not in (OPENSHELL, DOCKER):
        raise RefusedError(f'runner "{named}" of agent {agent.agent_id} cannot be used: {why}')
    if "sandbox" in agent.config and _min_level(agent) is not None:
        raise RefusedError(
            f'agent {agent.agent_id} declares sandbox.min_level "{_min_level(agent)}", and'
            f" {short} cannot be used: {why}"
        )
    default = openshell_fallback if short == OPENSHELL else False
    if not _may_fall_back(spec, short, default=default):
        raise RefusedError(
            f"{short} cannot be used ({why}), and runners.{short}.fallback does not allow another"
        )
    local = runners.get(HOST_LOCAL)
    if local is None:
        raise RefusedError(f"{short} cannot be used ({why}), and there is no {HOST_LOCAL} runner")
    return Chosen(local, instead_of=short, braces_doubled=True)


def asks_in(agent: Agent) -> tuple[DeviceAsk, ...]:
    """Return which devices an agent asks for.

    Raises: RefusedError if that cannot be read.
    """
    try:
        return asks_of(agent.resources, agent.config)
    except ValueError as error:
        raise RefusedError(f"agent {agent.agent_id}: {error}", code="device.ask_invalid") from error


def _check_level(agent: Agent, runner: Runner) -> None:
    wanted = _min_level(agent)
    if wanted is None:
        return
    if wanted not in LEVELS:
        raise RefusedError(
            f'sandbox.min_level "{wanted}" of agent {agent.agent_id} is none of {", ".join(LEVELS)}'
        )
    given = runner.isolation if runner.isolation in LEVELS else LEVELS[0]
    if LEVELS.index(given) < LEVELS.index(wanted):
        raise RefusedError(
            f'agent {agent.agent_id} declares sandbox.min_level "{wanted}", and runner'
            f' {runner.name} gives "{given}"'
        )


def _min_level(agent: Agent) -> str | None:
    sandbox = agent.config.get("sandbox")
    level = sandbox.get("min_level") if isinstance(sandbox, dict) else None
    return level if isinstance(level, str) and level else None


def _may_fall_back(spec: JobSpec, short: str, *, default: bool) -> bool:
    """`runners.<name>.fallback` of the job's config; for OpenShell also what the node says."""
    place: Any = spec.config
    for key in ("runners", short, "fallback"):
        place = place.get(key) if isinstance(place, dict) else None
    if place is None:
        return default
    return truthy(place)
