"""Rules about executors: what they start, where, and with which environment."""

import re
import shutil
from collections.abc import Iterator
from typing import Any

from mnedge.bundle.files import tidy, unsafe_path
from mnedge.bundle.kinds import in_container, kind_of, runner_named
from mnedge.bundle.layout import source_of
from mnedge.bundle.lower import job_type_of
from mnedge.bundle.rules.agents import name_of
from mnedge.bundle.rules.registry import ERROR, STRICT, WARNING, Found, rule
from mnedge.bundle.steps import agent_ids_of
from mnedge.bundle.subject import AgentEntry, JsonObject, Subject, as_number, is_text, mapping
from mnedge.model.states import AgentKind

HOST_LOCAL = ("MirrorNeuron.Runner.HostLocal", "host_local")
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
    return runner_named(agent.rendered)


def is_container(agent: AgentEntry) -> bool:
    """Tell whether the executor runs in a container that brings its own command."""
    return in_container(agent.rendered)


@rule(
    "N-07",
    STRICT,
    "*",
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
            message=f"executor {name_of(agent)} requires a command",
            expected="a list of texts, or one text",
        )


@rule(
    "N-09",
    ERROR,
    "*",
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
                message=f"python_environment of {name_of(agent)} must be an object",
                actual=declared,
            )
            continue
        runner = runner_of(agent)
        if runner is not None and runner not in HOST_LOCAL:
            yield Found(
                at=at,
                message=f"python_environment of {name_of(agent)} needs the HostLocal runner",
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
                message=f"python_environment.packages of {name_of(agent)} must be a list of texts",
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
            message=f"python_environment.requirements of {name_of(agent)} {reason}",
            expected="a relative path inside payloads/",
            actual=path,
        )


@rule(
    "N-10",
    ERROR,
    "*",
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
                message=f"environment of {name_of(agent)} must be an object",
                expected="an object of texts",
                actual=environment,
            )
        for name, value in mapping(environment).items():
            reason = _variable_problem(name, value)
            if reason:
                yield Found(
                    at=(*at, "environment", name),
                    message=f"environment variable {name!r} of {name_of(agent)} {reason}",
                    expected="a text, number or boolean",
                    actual="an object or a list" if isinstance(value, dict | list) else None,
                )
        names = agent.config.get("pass_env")
        if names is not None and not (
            isinstance(names, list) and all(is_text(name) for name in names)
        ):
            yield Found(
                at=(*at, "pass_env"),
                message=f"pass_env of {name_of(agent)} must be a list of names",
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
    "*",
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
                    message=f"{key} of {name_of(agent)} must be a number of at least "
                    f"{1 if key == 'complete_after' else 0}",
                    expected="a number",
                    actual=value,
                )


@rule(
    "N-12",
    WARNING,
    "*",
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
                message=f"executor {name_of(agent)} names no runner_module; HostLocal is used here",
                expected=HOST_LOCAL[0],
            )


@rule(
    "N-14",
    WARNING,
    "*",
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
                message=f"executor {name_of(agent)} does not say {', '.join(missing)}",
                expected=missing,
            )


@rule(
    "N-16",
    WARNING,
    "*",
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
                    message=f"{first}, asked for by executor {name_of(agent)}, is not installed",
                    actual=first,
                )


@rule(
    "N-17",
    WARNING,
    "*",
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
                    message=f"executor {name_of(agent)} runs generated code without a sandbox",
                    actual=runner,
                )


@rule(
    "N-18",
    WARNING,
    "BCS",
    "agent.unwatched_step",
    "a Python worker of a step is not watched",
    help="add agent_beacon_required, beacon_enabled, timeout_seconds and max_attempts",
)
def step_workers_are_watched(subject: Subject) -> Iterator[Found]:
    """Yield each Python executor of a step that leaves open how its life is told."""
    controls: dict[str, JsonObject] = {}
    service = job_type_of(subject.graph) == "service"
    endless = source_of(subject.graph) if service else None
    for _, step in subject.steps:
        for name in agent_ids_of(step, subject.agent_ids):
            told: JsonObject = {"timeout_seconds": "none"} if step["id"] == endless else {}
            controls.setdefault(name, {**told, **mapping(step.get("control"))})
    for agent in executors(subject):
        control = controls.get(agent.agent_id)
        if control is None or not _is_python(agent.config.get("command")):
            continue
        said = {
            "agent_beacon_required": "agent_beacon_required" in agent.config,
            "beacon_enabled": "beacon_enabled" in agent.config,
            "timeout_seconds": agent.config.get("timeout_seconds") is not None
            or control.get("timeout_seconds") is not None,
            "max_attempts": agent.config.get("max_attempts") is not None
            or control.get("max_attempts") is not None
            or mapping(control.get("retry")).get("max_attempts") is not None,
        }
        missing = [name for name, there in said.items() if not there]
        if missing:
            yield Found(
                at=(*agent.at, "config"),
                message=f"executor {name_of(agent)} does not say {', '.join(missing)}",
                expected=missing,
            )


def _is_python(command: Any) -> bool:
    first = command[0] if isinstance(command, list) and command else command
    return is_text(first) and first.rpartition("/")[2].split(" ")[0].startswith("python")


@rule(
    "N-19",
    WARNING,
    "*",
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
                message=f"executor {name_of(agent)} declares {effect}, but no idempotency marker",
                expected=list(_MARKERS),
                actual=effect,
            )


@rule(
    "N-41",
    ERROR,
    "*",
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
                message=f"command of {name_of(agent)} must be a text or a list of texts",
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
                    message=f"{key} of {name_of(agent)} must be a list of objects with a source",
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
    "*",
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
                    message=f"{key} of {name_of(agent)} must be a text",
                    expected="a text",
                    actual=value,
                )
