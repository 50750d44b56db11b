"""Rules about agents: what a manifest lists under `nodes`."""

import re
import shutil
from collections.abc import Iterator
from typing import Any

from mnedge.bundle.files import tidy, unsafe_path
from mnedge.bundle.generation import Generation
from mnedge.bundle.lower import KIND_ALIASES, kind_of, template_of
from mnedge.bundle.rules.registry import ERROR, STRICT, WARNING, Found, rule
from mnedge.bundle.subject import (
    AgentEntry,
    Subject,
    as_number,
    is_text,
    listing,
    mapping,
    objects,
)
from mnedge.bundle.templates import is_pinned
from mnedge.model.states import AgentKind

TYPES = ("generic", "map", "reduce", "stream", "batch")
HOST_LOCAL = ("MirrorNeuron.Runner.HostLocal", "host_local")
SANDBOX_ROOTS = ("/sandbox", "/mn/job")
_PAIRS: dict[AgentKind, tuple[str, ...]] = {
    AgentKind.ROUTER: ("generic", "map"),
    AgentKind.EXECUTOR: TYPES,
    AgentKind.MODULE: TYPES,
    AgentKind.AGGREGATOR: ("generic", "reduce"),
    AgentKind.SENSOR: ("generic",),
    AgentKind.SERVICE: TYPES,
}
_GENERIC_IDS = frozenset({"ingress", "runtime", "router", "worker", "run", "visual_detector"})
_STAGED_ELSEWHERE = ("__mn_skill_dependencies", "mn-skills")
_NUMBERS = (
    "timeout_seconds",
    "max_attempts",
    "retry_backoff_ms",
    "pool_slots",
    "startup_delay_ms",
    "max_output_bytes",
    "beacon_interval_ms",
    "beacon_timeout_ms",
    "complete_after",
)
_WRITES = ("write", "external_write", "internal_write")
_MARKERS = ("idempotent", "safe_to_retry", "idempotency_key", "recovery_idempotency_key")


def executors(subject: Subject) -> Iterator[AgentEntry]:
    """Yield the agents that start work."""
    for agent in subject.agents:
        if kind_of(agent.rendered) is AgentKind.EXECUTOR:
            yield agent


def runner_of(agent: AgentEntry) -> str | None:
    """Return the runner an executor names, or None."""
    name = agent.config.get("runner_module")
    return name if is_text(name) else None


def is_container(agent: AgentEntry) -> bool:
    """Tell whether the executor runs in a container that brings its own command."""
    return (runner_of(agent) or "").endswith(("DockerWorker", "OpenShell", "openshell", "docker"))


@rule(
    "N-01",
    ERROR,
    "A",
    "agent.none",
    "nodes must not be empty",
    help="list at least one agent",
)
def there_are_agents(subject: Subject) -> Iterator[Found]:
    """Yield if the list is empty."""
    if subject.generation is Generation.A and not subject.manifest.get("nodes"):
        yield Found(at=("nodes",), expected="a list of agents", actual=[])


@rule(
    "N-02",
    ERROR,
    "A",
    "agent.no_id",
    "node_id is required for every node",
    help="give the agent a node_id, a non-empty text",
)
def agents_have_ids(subject: Subject) -> Iterator[Found]:
    """Yield each agent without an id, and each member that is no object."""
    for index, node in enumerate(listing(subject.manifest.get("nodes"))):
        if not isinstance(node, dict):
            yield Found(
                at=("nodes", index),
                message=f"node number {index + 1} must be an object with a node_id",
                expected="an object",
                actual=node,
            )
        elif not is_text(node.get("node_id")):
            yield Found(
                at=("nodes", index, "node_id"),
                message=f"node_id is required for every node; number {index + 1} has none",
                expected="a non-empty text",
                actual=node.get("node_id"),
            )


@rule(
    "N-03",
    ERROR,
    "A",
    "agent.duplicate_id",
    "duplicate node_id",
    help="give each agent an id of its own",
)
def ids_are_unique(subject: Subject) -> Iterator[Found]:
    """Yield each agent that takes the id of an earlier one."""
    first: dict[str, int] = {}
    for agent in subject.agents:
        name = agent.agent_id
        if name and first.setdefault(name, agent.index) != agent.index:
            yield Found(
                at=(*agent.at, "node_id"),
                message=f"duplicate node_id {name} (first at nodes[{first[name]}])",
                actual=name,
            )


@rule(
    "N-04",
    ERROR,
    "A",
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
                message=f'unsupported agent_type "{_shown(name)}" for node {_id(agent)}',
                expected=[*(kind.value for kind in _PAIRS), *KIND_ALIASES],
                actual=name,
            )


@rule(
    "N-05",
    ERROR,
    "A",
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
                message=f'unsupported template type "{_shown(name)}" for node {_id(agent)}',
                expected=list(TYPES),
                actual=name,
            )


@rule(
    "N-06",
    ERROR,
    "A",
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
                    message=f"{key} for node {_id(agent)} must be {wanted}",
                    expected=wanted,
                    actual=value,
                )


@rule(
    "N-07",
    STRICT,
    "A",
    "agent.no_command",
    "executor requires a command",
    help='add config.command, such as ["python3", "worker.py"]',
)
def executors_have_commands(subject: Subject) -> Iterator[Found]:
    """Yield each executor with nothing to start; container runners bring their own command."""
    for agent in executors(subject):
        config = agent.config
        if is_container(agent) or any(config.get(key) for key in ("command", "script", "handler")):
            continue
        yield Found(
            at=(*agent.at, "config", "command"),
            message=f"executor {_id(agent)} requires a command",
            expected="a list of texts, or one text",
        )


@rule(
    "N-08",
    ERROR,
    "A",
    "agent.path",
    "a path leaves the place it is relative to",
    help="use a relative path without `..`; absolute targets only below /sandbox",
)
def paths_stay_inside(subject: Subject) -> Iterator[Found]:
    """Yield each upload, target, policy or work folder that leaves payloads or workspace."""
    for agent in subject.agents:
        for at, path, rooted in _paths(agent):
            reason = _path_problem(agent, path, rooted=rooted)
            if reason:
                yield Found(
                    at=(*agent.at, "config", *at),
                    message=f"{'.'.join(map(str, at))} of {_id(agent)} {reason}",
                    expected="a path below /sandbox, or a relative one"
                    if rooted
                    else "a relative path inside payloads/",
                    actual=path,
                )


def _paths(agent: AgentEntry) -> Iterator[tuple[tuple[str | int, ...], Any, bool]]:
    """Yield each path of the config: where, what, and whether a sandbox path is allowed."""
    config = agent.config
    for key in ("upload_path", "policy", "module_source"):
        if config.get(key) not in (None, ""):
            yield (key,), config[key], False
    for key in ("upload_as", "workdir"):
        if config.get(key) not in (None, ""):
            yield (key,), config[key], True
    for key in ("upload_paths", "uploads"):
        for index, upload in objects(config.get(key)):
            if "source" in upload:
                yield (key, index, "source"), upload["source"], False
            if upload.get("target") not in (None, ""):
                yield (key, index, "target"), upload["target"], True


def _path_problem(agent: AgentEntry, path: Any, *, rooted: bool) -> str:
    if not isinstance(path, str):
        return "must be a text"
    if path.startswith("@/"):
        path = path[2:]
    if rooted and path.startswith("/"):
        own_root = agent.config.get("sandbox_upload_path")
        roots = (*SANDBOX_ROOTS, own_root) if is_text(own_root) else SANDBOX_ROOTS
        for root in roots:
            if path == root or path.startswith(root.rstrip("/") + "/"):
                path = path[len(root) :].strip("/") or "."
                break
        else:
            return f"is outside the sandbox: {_shown(path)}"
    reason = unsafe_path(path)
    return f"{reason}: {_shown(path)}" if reason else ""


@rule(
    "N-09",
    ERROR,
    "A",
    "agent.python_environment",
    "python_environment is malformed",
    help='write {"requirements": "<file below payloads/>", "packages": ["name==version"]}',
)
def environments_are_whole(subject: Subject) -> Iterator[Found]:
    """Yield what is wrong with each `python_environment`."""
    for agent in executors(subject):
        declared = agent.config.get("python_environment")
        if declared is None:
            continue
        at = (*agent.at, "config", "python_environment")
        if not isinstance(declared, dict):
            yield Found(
                at=at,
                message=f"python_environment of {_id(agent)} must be an object",
                actual=declared,
            )
            continue
        runner = runner_of(agent)
        if runner is not None and runner not in HOST_LOCAL:
            yield Found(
                at=at,
                message=f"python_environment of {_id(agent)} needs the HostLocal runner",
                expected=HOST_LOCAL[0],
                actual=runner,
            )
        yield from _requirements(subject, agent, declared.get("requirements"))
        packages = declared.get("packages")
        if packages is not None and not (
            isinstance(packages, list) and all(is_text(package) for package in packages)
        ):
            yield Found(
                at=(*at, "packages"),
                message=f"python_environment.packages of {_id(agent)} must be a list of texts",
                expected="a list of non-empty texts",
                actual=packages,
            )


def _requirements(subject: Subject, agent: AgentEntry, path: Any) -> Iterator[Found]:
    if path is None:
        return
    reason = unsafe_path(path) if isinstance(path, str) else "must be a text"
    if not reason and not subject.files.is_file(f"payloads/{tidy(path)}"):
        reason = "is not in payloads/"
    if reason:
        yield Found(
            at=(*agent.at, "config", "python_environment", "requirements"),
            message=f"python_environment.requirements of {_id(agent)} {reason}",
            expected="a relative path inside payloads/",
            actual=path,
        )


@rule(
    "N-10",
    ERROR,
    "A",
    "agent.environment",
    "environment and pass_env are malformed",
    help="environment maps names to texts, numbers or booleans; pass_env lists names",
)
def environments_hold_scalars(subject: Subject) -> Iterator[Found]:
    """Yield each environment value that cannot become text, and each bad `pass_env`."""
    for agent in subject.agents:
        at = (*agent.at, "config")
        environment = agent.config.get("environment")
        if environment is not None and not isinstance(environment, dict):
            yield Found(
                at=(*at, "environment"),
                message=f"environment of {_id(agent)} must be an object",
                expected="an object of texts",
                actual=environment,
            )
        for name, value in mapping(environment).items():
            reason = _variable_problem(name, value)
            if reason:
                yield Found(
                    at=(*at, "environment", name),
                    message=f"environment variable {name!r} of {_id(agent)} {reason}",
                    expected="a text, number or boolean",
                    actual="an object or a list" if isinstance(value, dict | list) else None,
                )
        names = agent.config.get("pass_env")
        if names is not None and not (
            isinstance(names, list) and all(is_text(name) for name in names)
        ):
            yield Found(
                at=(*at, "pass_env"),
                message=f"pass_env of {_id(agent)} must be a list of names",
                expected="a list of non-empty texts",
                actual=names,
            )


def _variable_problem(name: str, value: Any) -> str:
    if not name or "=" in name or "\0" in name:
        return "has a name that no process can have"
    if isinstance(value, dict | list):
        return "must be a text, a number or a boolean"
    if isinstance(value, str) and "\0" in value:
        return "contains a NUL character"
    return ""


@rule(
    "N-11",
    ERROR,
    "A",
    "agent.number",
    "a number of the config is negative or no number",
    help="write a number of at least 0, without quotes",
)
def numbers_are_numbers(subject: Subject) -> Iterator[Found]:
    """Yield each numeric setting of an agent that is negative or no number."""
    for agent in subject.agents:
        for key in _NUMBERS:
            value = agent.config.get(key)
            if value is None:
                continue
            number = as_number(value)
            if number is None or number < 0 or (key == "complete_after" and number < 1):
                yield Found(
                    at=(*agent.at, "config", key),
                    message=f"{key} of {_id(agent)} must be a number of at least "
                    f"{1 if key == 'complete_after' else 0}",
                    expected="a number",
                    actual=value,
                )


@rule(
    "N-12",
    WARNING,
    "A",
    "agent.no_runner",
    "executor without runner_module: it runs with HostLocal here, with OpenShell elsewhere",
    help="add config.runner_module, such as MirrorNeuron.Runner.HostLocal",
)
def executors_name_a_runner(subject: Subject) -> Iterator[Found]:
    """Yield each executor that leaves the runner open."""
    for agent in executors(subject):
        if runner_of(agent) is None:
            yield Found(
                at=(*agent.at, "config", "runner_module"),
                message=f"executor {_id(agent)} names no runner_module; HostLocal is used here",
                expected=HOST_LOCAL[0],
            )


@rule(
    "N-13",
    ERROR,
    "A",
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
                f'"{kind}" on node {_id(agent)}',
                expected=list(_PAIRS[kind]),
                actual=template,
            )


@rule(
    "N-14",
    WARNING,
    "A",
    "agent.implicit_executor",
    "an executor leaves its output type, work folder or uploads open",
    help="say output_message_type (null for none), workdir and upload_path",
)
def executors_are_explicit(subject: Subject) -> Iterator[Found]:
    """Yield each executor that relies on defaults for what it emits and where it works."""
    for agent in executors(subject):
        config = agent.config
        missing = [key for key in ("output_message_type", "workdir") if key not in config]
        if not any(config.get(key) for key in ("upload_path", "upload_paths", "uploads")):
            missing.append("upload_path")
        if missing:
            yield Found(
                at=(*agent.at, "config"),
                message=f"executor {_id(agent)} does not say {', '.join(missing)}",
                expected=missing,
            )


@rule(
    "N-15",
    WARNING,
    "A",
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
    "N-16",
    WARNING,
    "A",
    "agent.pinned_interpreter",
    "the command names a Python that is not installed here; another one is used",
    help="write python3, or install that version",
)
def interpreters_are_here(subject: Subject) -> Iterator[Found]:
    """Yield each executor whose first word is an absent python3.x; each version once looked up."""
    absent: dict[str, bool] = {}
    for agent in executors(subject):
        command = agent.config.get("command")
        first = command[0] if isinstance(command, list) and command else None
        if is_text(first) and re.fullmatch(r"python3\.[0-9]{1,3}", first):
            if first not in absent:
                absent[first] = shutil.which(first) is None
            if absent[first]:
                yield Found(
                    at=(*agent.at, "config", "command", 0),
                    message=f"{first}, which executor {_id(agent)} asks for, is not installed here",
                    actual=first,
                )


@rule(
    "N-17",
    WARNING,
    "A",
    "agent.unsandboxed_code",
    "a model's output is executed without a sandbox",
    help="run this agent with a sandboxed runner",
)
def generated_code_is_sandboxed(subject: Subject) -> Iterator[Found]:
    """Yield each executor made from the code-generation template that runs on the bare host."""
    for agent in executors(subject):
        uses = agent.raw.get("uses")
        if isinstance(uses, str) and "sandboxed_codegen" in uses:
            runner = runner_of(agent)
            if runner in (None, *HOST_LOCAL) and not agent.config.get("sandbox"):
                yield Found(
                    at=(*agent.at, "config", "runner_module"),
                    message=f"executor {_id(agent)} runs generated code without a sandbox",
                    actual=runner,
                )


@rule(
    "N-19",
    WARNING,
    "A",
    "agent.unmarked_write",
    "an executor writes outside without saying how a second run is safe",
    help="add idempotent, safe_to_retry or an idempotency_key; else a crash waits for a person",
)
def writes_are_marked(subject: Subject) -> Iterator[Found]:
    """Yield each executor with a write side effect and no idempotency marker."""
    for agent in executors(subject):
        effect = agent.config.get("side_effect")
        if effect in _WRITES and not any(agent.config.get(key) for key in _MARKERS):
            yield Found(
                at=(*agent.at, "config", "side_effect"),
                message=f"executor {_id(agent)} declares {effect} without an idempotency marker",
                expected=list(_MARKERS),
                actual=effect,
            )


@rule(
    "N-33",
    WARNING,
    "A",
    "agent.upload_missing",
    "an upload is not in payloads/",
    help="add the file or folder below payloads/, or correct the path",
)
def uploads_are_there(subject: Subject) -> Iterator[Found]:
    """Yield each upload source that the bundle does not hold."""
    for agent in subject.agents:
        for at, source in sources_of(agent):
            if unsafe_path(source):
                continue
            name = f"payloads/{tidy(source)}".rstrip("/")
            if not subject.files.is_file(name) and not subject.files.is_dir(name):
                elsewhere = source.split("/")[0] in _STAGED_ELSEWHERE
                yield Found(
                    at=(*agent.at, "config", *at),
                    message=f"upload {source} of {_id(agent)} is not in payloads/",
                    help="this skill package is staged by other launchers; copy it below payloads/"
                    if elsewhere
                    else "",
                    expected=name,
                )


def sources_of(agent: AgentEntry) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield every payload that the agent asks to have staged, with its place in the config.

    Source: worker contract 3.2: `upload_paths` (or `uploads`) where it is not empty, else
    `upload_path`.
    """
    config = agent.config
    for key in ("upload_paths", "uploads"):
        for index, upload in objects(config.get(key)):
            if is_text(upload.get("source")):
                yield (key, index, "source"), upload["source"]
    if not listing(config.get("upload_paths")) and is_text(config.get("upload_path")):
        yield ("upload_path",), config["upload_path"]
    if is_text(config.get("module_source")):
        yield ("module_source",), config["module_source"]


@rule(
    "N-40",
    ERROR,
    "A",
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
                message=f"module agent {_id(agent)} requires config.module",
                expected="python:package.module:Class",
                actual=agent.config.get("module"),
            )


@rule(
    "N-41",
    ERROR,
    "A",
    "agent.command",
    "the command is malformed",
    help="write a list of texts (run directly) or one text (run by bash)",
)
def commands_can_run(subject: Subject) -> Iterator[Found]:
    """Yield each command and each upload list that no runner could use."""
    for agent in subject.agents:
        at = (*agent.at, "config")
        command = agent.config.get("command")
        if command not in (None, "", []) and not _is_command(command):
            yield Found(
                at=(*at, "command"),
                message=f"command of {_id(agent)} must be a text or a list of texts",
                expected="a list of texts, or one text",
                actual=command,
            )
        for key in ("upload_paths", "uploads"):
            uploads = agent.config.get(key)
            if uploads is not None and not (
                isinstance(uploads, list)
                and all(isinstance(item, dict) and is_text(item.get("source")) for item in uploads)
            ):
                yield Found(
                    at=(*at, key),
                    message=f"{key} of {_id(agent)} must be a list of objects with a source",
                    help='write [{"source": "<below payloads/>", "target": "<in the workspace>"}]',
                    expected="a list of objects",
                    actual=uploads,
                )


def _is_command(command: Any) -> bool:
    words = command if isinstance(command, list) else [command]
    if not isinstance(command, list | str) or not is_text(words[0]):
        return False
    return not any(
        isinstance(word, dict | list) or word is None or (isinstance(word, str) and "\0" in word)
        for word in words
    )


@rule(
    "N-42",
    ERROR,
    "A",
    "agent.message_type",
    "a message type of the config is no text",
    help="write the type as a text, or null for no message",
)
def emitted_types_are_texts(subject: Subject) -> Iterator[Found]:
    """Yield each emitted type, target or pool that is no text."""
    for agent in subject.agents:
        for key in (
            "emit_type",
            "output_message_type",
            "failure_message_type",
            "target_node",
            "pool",
            "runner_module",
        ):
            value = agent.config.get(key)
            if value is not None and not isinstance(value, str):
                yield Found(
                    at=(*agent.at, "config", key),
                    message=f"{key} of {_id(agent)} must be a text",
                    expected="a text",
                    actual=value,
                )


@rule(
    "T-01",
    ERROR,
    "A",
    "template.version",
    "a template reference must pin a version",
    help="write <template>@<version>, not latest",
)
def templates_are_pinned(subject: Subject) -> Iterator[Found]:
    """Yield each `uses` without an exact version."""
    for agent in subject.agents:
        uses = agent.raw.get("uses")
        if uses is not None and not is_pinned(uses):
            yield Found(
                at=(*agent.at, "uses"),
                message=f"template {_shown(uses)} of {_id(agent)} must pin a version",
                expected="<template>@<version>",
                actual=uses,
            )


@rule(
    "T-02",
    ERROR,
    "A",
    "template.unknown",
    "agent template not found",
    help="give the agent agent_type and config of its own, or use a built-in template",
)
def templates_are_known(subject: Subject) -> Iterator[Found]:
    """Yield each agent that only an unknown template could complete."""
    yield from _template_problems(subject, "T-02")


@rule(
    "T-03",
    ERROR,
    "A",
    "template.input_missing",
    "missing required template fields",
    help="add the fields to `with`",
)
def template_inputs_are_given(subject: Subject) -> Iterator[Found]:
    """Yield each agent whose template needs more than `with` gives."""
    yield from _template_problems(subject, "T-03")


def _template_problems(subject: Subject, rule_id: str) -> Iterator[Found]:
    for agent in subject.agents:
        if agent.template_problem is not None and agent.template_problem[0] == rule_id:
            yield Found(
                at=(*agent.at, "uses"),
                message=f"{agent.label}: {agent.template_problem[1]}",
                actual=agent.raw.get("uses"),
            )


def _id(agent: AgentEntry) -> str:
    return agent.agent_id or f"number {agent.index + 1}"


def _shown(value: Any) -> str:
    return value[:200] if isinstance(value, str) else repr(value)[:80]
