"""Rules about what this machine can run: told when validating, refused when running."""

import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from mnedge.bundle.config import look_up
from mnedge.bundle.kinds import kind_of
from mnedge.bundle.lower import job_type_of
from mnedge.bundle.rules.executors import is_container, runner_of
from mnedge.bundle.rules.inputs import rules_in
from mnedge.bundle.rules.registry import RUN, WARNING, Found, rule
from mnedge.bundle.subject import AgentEntry, JsonObject, Subject, is_text, mapping, objects
from mnedge.model.states import AgentKind

ALWAYS_HERE = ("host_local", "MirrorNeuron.Runner.HostLocal")
_OPENSHELL = "MirrorNeuron.Runner.OpenShell"
_STAND_INS = {
    "MirrorNeuron.Runner.OpenShell": "openshell",
    "MirrorNeuron.Sandbox.OpenShell": "openshell",
    "MirrorNeuron.Runner.DockerWorker": "docker",
}
_PYTHON_CLASS = re.compile(r"python:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_PYTHON_COMMAND = re.compile(r"python(3(\.[0-9]+)?)?")


@rule(
    "X-01",
    RUN,
    "*",
    "runner.unsupported",
    "this agent cannot run here",
    help="give it a command and a runner that this machine has",
)
def agents_can_run(subject: Subject) -> Iterator[Found]:
    """Yield each agent that this version, on its own, could not run."""
    yield from unrunnable(subject, subject.config, ALWAYS_HERE)


def unrunnable(
    subject: Subject,
    config: JsonObject,
    runners: Collection[str],
    *,
    openshell_fallback: bool = True,
) -> Iterator[Found]:
    """Yield each agent that these runners cannot carry, and why.

    `runners` holds names; of a mapping the values may be asked whether they are available.
    """
    source_mode = subject.metadata.get("python_source_mode") is True
    if source_mode and not subject.is_compiled_python:
        workflow = mapping(subject.metadata.get("python_workflow")).get("module")
        yield Found(
            at=("metadata", "python_source_mode"),
            message=f"the agents are generated from Python source ({workflow or 'unnamed'}), which"
            " this version does not run",
            help="publish the generated manifest, with a command for every executor",
        )
    for agent in subject.agents:
        match kind_of(agent.rendered):
            case AgentKind.MODULE:
                yield from _module(agent)
            case AgentKind.EXECUTOR:
                yield from _executor(agent, config, runners, openshell_fallback)
            case AgentKind.SERVICE:
                yield Found(
                    at=(*agent.at, "agent_type"),
                    message=f"{agent.label} is a service agent, which this version does not run",
                    help="run the service outside, and list it under required_services",
                )
            case _:
                pass


def _module(agent: AgentEntry) -> Iterator[Found]:
    name = agent.config.get("module")
    if not is_text(name):
        yield Found(
            at=(*agent.at, "config", "module"),
            message=f"{agent.label} names no module",
            expected="python:package.module:Class",
        )
    elif not _PYTHON_CLASS.fullmatch(name):
        yield Found(
            at=(*agent.at, "config", "module"),
            message=f"module {name} of {agent.label} is native code of another runtime",
            help="port it to a Python class below payloads/ and name it python:module:Class",
            expected="python:package.module:Class",
            actual=name,
        )


def _executor(
    agent: AgentEntry, config: JsonObject, runners: Collection[str], openshell_fallback: bool
) -> Iterator[Found]:
    reason, weight = _runner_problem(agent, config, runners, openshell_fallback)
    if reason:
        yield Found(
            at=(*agent.at, "config", "runner_module"),
            message=f"{agent.label}: {reason}",
            severity=weight,
            expected=ALWAYS_HERE[1],
            actual=runner_of(agent),
        )
    command = agent.config.get("command")
    if not command and not is_container(agent):
        yield Found(
            at=(*agent.at, "config", "command"),
            message=f"{agent.label} has no command to run",
        )
    elif isinstance(command, list):
        yield from _program(agent, command[0])


def _runner_problem(
    agent: AgentEntry, config: JsonObject, runners: Collection[str], openshell_fallback: bool
) -> tuple[str, str]:
    """Return what is wrong with the runner, and how much it weighs (nothing: as the rule does)."""
    named = runner_of(agent) or _OPENSHELL
    why = _absence(named, runners)
    if not why:
        return "", ""
    short = _STAND_INS.get(named)
    if short is None:
        return f"its runner {named} {why}", ""
    if is_text(mapping(agent.config.get("sandbox")).get("min_level")):
        return f"its runner {named} {why}, and sandbox.min_level allows no other", ""
    allowed = look_up(config, f"runners.{short}.fallback")
    if allowed is None:
        allowed = short == "openshell" and openshell_fallback
    if str(allowed).lower() not in ("true", "1", "yes", "on"):
        return f"its runner {named} {why}, and runners.{short}.fallback allows no other", ""
    if runner_of(agent) is None:
        return "", ""  # rule N-12 tells it
    return f"its runner {named} {why}; it runs without a sandbox on the host", WARNING


def _absence(name: str, runners: Collection[str]) -> str:
    if name not in runners:
        return "is not installed here"
    runner: Any = runners[name] if isinstance(runners, Mapping) else None
    available = getattr(runner, "available", None)
    reason = available() if callable(available) else None
    return f"is not available: {reason}" if reason else ""


def _program(agent: AgentEntry, program: Any) -> Iterator[Found]:
    """Yield if the program is looked up on the PATH and is not there."""
    environment = mapping(agent.config.get("environment"))
    if (
        not is_text(program)
        or "/" in program
        or "{" in program
        or "PATH" in environment
        or agent.config.get("python_environment")
        or is_container(agent)
        or _PYTHON_COMMAND.fullmatch(program)
    ):
        return
    if shutil.which(program) is None:
        yield Found(
            at=(*agent.at, "config", "command", 0),
            message=f"{program}, which {agent.label} starts, is not installed here",
            help=f"install {program}, or put it on the PATH of mnedge",
            actual=program,
        )


@rule(
    "X-03",
    WARNING,
    "*",
    "runner.single_node",
    "this asks for a cluster; on one node it runs as well as it can",
    help="nothing has to change; join more nodes to get what it asks for",
)
def one_node_is_enough(subject: Subject) -> Iterator[Found]:
    """Yield if the policies speak of other nodes."""
    policies = mapping(subject.manifest.get("policies"))
    if policies.get("recovery_mode") == "cluster_recover":
        yield Found(
            at=("policies", "recovery_mode"),
            message="recovery_mode cluster_recover means local_restart on a single node",
            actual="cluster_recover",
        )
    kind = job_type_of(subject.manifest)
    if kind in ("system", "sysbatch"):
        yield Found(
            at=("policies",), message=f"job type {kind} runs one copy on a single node", actual=kind
        )


@rule(
    "X-04",
    RUN,
    "*",
    "dependency.unavailable",
    "a dependency comes from a registry that is not reachable from here",
    help="put the package below payloads/skills or payloads/agents and set source to payload",
)
def dependencies_are_here(subject: Subject) -> Iterator[Found]:
    """Yield each dependency on a private registry without a copy in the payloads."""
    copies: set[Any] = set()
    for key in ("skill_dependencies", "agent_dependencies"):
        for _, entry in objects(subject.manifest.get(key)):
            if entry.get("source") == "payload" and is_text(entry.get("name")):
                copies.add(entry["name"])
    for key in ("skill_dependencies", "agent_dependencies"):
        for index, entry in objects(subject.manifest.get(key)):
            name = entry.get("name")
            if entry.get("source") == "gar" and is_text(name) and name not in copies:
                yield Found(
                    at=(key, index),
                    message=f"dependency {name} is not in payloads/, and no registry is configured",
                    actual=name,
                )


@rule(
    "X-05",
    WARNING,
    "*",
    "runner.command_rule",
    "input rules of type command are not run by this version",
    help="check the inputs in the first worker, or use pattern rules",
)
def command_rules_are_not_run(subject: Subject) -> Iterator[Found]:
    """Yield each input rule that only a command could check."""
    for at, entry in rules_in(subject):
        if entry.get("type") == "command":
            yield Found(at=at)
