"""Rules about what a bundle asks of the runtime: hardware, services, policies, schedules."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from mnedge.bundle.problem import At
from mnedge.bundle.rules.manifest import requirements_of
from mnedge.bundle.rules.registry import ERROR, Found, rule
from mnedge.bundle.subject import (
    JsonObject,
    Subject,
    is_count,
    is_number,
    is_text,
    listing,
    mapping,
    objects,
)

RECOVERY_MODES = ("auto", "local_restart", "cluster_recover", "manual_recover")
JOB_TYPES = ("batch", "service", "system", "sysbatch")
_DELAYS = ("constant", "exponential", "fibonacci")
_OPERATORS = (">", ">=", "==", "=")
_SIZE = re.compile(r"\s*[0-9]+(\.[0-9]+)?\s*([kmgt]i?b?|b)?\s*", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_MINIMUM = {
    "cpu": ("min_cores", "cores", "min"),
    "gpu": ("min_count", "count", "min"),
    "memory": ("min_gb", "gb", "min_mb", "mb", "min"),
    "disk": ("min_gb", "gb", "min_mb", "mb", "min"),
}
_SHELL = set(";&|<>$`\n")

Wrong = Iterator[tuple[At, str, Any]]
"""Place below the part looked at, reason, what is expected."""


def _found(at: At, wrong: Wrong, document: Any) -> Iterator[Found]:
    """Yield a finding for each wrong place below `at`."""
    for below, reason, expected in wrong:
        actual = document
        for step in below:
            actual = (
                actual.get(step)
                if isinstance(actual, dict)
                else actual[step]
                if isinstance(actual, list) and isinstance(step, int) and step < len(actual)
                else None
            )
        path = ".".join(str(step) for step in (*at, *below))
        yield Found(at=(*at, *below), message=f"{path} {reason}", expected=expected, actual=actual)


@rule(
    "R-01",
    ERROR,
    "*",
    "runtime.requirements",
    "requirements are malformed",
    help='write numbers, sizes such as "8 GB", or objects such as {"min_gb": 8}',
)
def requirements_can_be_read(subject: Subject) -> Iterator[Found]:
    """Yield what cannot be read as a hardware requirement."""
    needs = requirements_of(subject.manifest)
    if needs is None:
        return
    key = "requirements" if "requirements" in subject.manifest else "requirments"
    yield from _found((key,), _wrong_requirements(needs), needs)


def _wrong_requirements(needs: Any) -> Wrong:
    if not isinstance(needs, dict):
        yield (), "must be an object", "an object with cpu, gpu, memory and disk"
        return
    for key, names in _MINIMUM.items():
        if key in needs and not _is_amount(needs[key], names):
            yield (key,), "must be a number, a size or a minimum", f"a number, or {{{names[0]}: …}}"
    gpu = mapping(needs.get("gpu"))
    for key in ("vendor", "driver", "min_api_version", "enforcement"):
        if key in gpu and not is_text(gpu[key]):
            yield ("gpu", key), "must be a text", "a non-empty text"
    for key in ("api_version_operator", "memory_operator"):
        if key in gpu and gpu[key] not in _OPERATORS:
            yield ("gpu", key), "must be an operator", list(_OPERATORS)
    memory = gpu.get("min_memory_mb", 0)
    if not is_number(memory) or memory < 0:
        yield ("gpu", "min_memory_mb"), "must be a number of at least 0", "a number"
    if not isinstance(gpu.get("required_capabilities", []), list):
        yield ("gpu", "required_capabilities"), "must be a list", "a list of texts"


def _is_amount(value: Any, names: tuple[str, ...]) -> bool:
    if isinstance(value, dict):
        given = [value[name] for name in names if value.get(name) is not None]
        return not given or _is_amount(given[0], ())
    if isinstance(value, str):
        return _SIZE.fullmatch(value) is not None
    return is_number(value) and value >= 0


@rule(
    "R-02",
    ERROR,
    "*",
    "runtime.service",
    "a service declaration is malformed",
    help='write {"name", "address", "port", "checks": [{"type": "http", "url": "…"}]}',
)
def services_can_be_read(subject: Subject) -> Iterator[Found]:
    """Yield what is wrong with the services a job or an agent offers or needs."""
    for key in ("services", "required_services", "requiredServices"):
        if subject.manifest.get(key) is not None:
            services = subject.manifest[key]
            yield from _found((key,), _wrong_services(services), services)
    for agent in subject.agents:
        for key in ("services", "requires_services"):
            services = agent.raw.get(key)
            if services is not None:
                yield from _found((*agent.at, key), _wrong_services(services), services)


def _wrong_services(services: Any) -> Wrong:
    if not isinstance(services, list):
        yield (), "must be a list", "a list of objects"
        return
    for index, service in enumerate(services):
        if not isinstance(service, dict):
            yield (index,), "must be an object", "an object with a name"
            continue
        for at, reason, expected in _wrong_service(service):
            yield (index, *at), reason, expected


def _wrong_service(service: JsonObject) -> Wrong:
    name = service.get("name")
    if not is_text(name) or not _NAME.fullmatch(name):
        yield ("name",), "must be a name of letters, digits, `.`, `_` and `-`", "a name"
    for key in ("id", "address", "url"):
        if service.get(key) is not None and not isinstance(service[key], str):
            yield (key,), "must be a text", "a text"
    if service.get("port") is not None and not _is_port(service["port"]):
        yield ("port",), "must be a port", "1 to 65535, or ${config.…}"
    if not isinstance(service.get("tags", []), list):
        yield ("tags",), "must be a list", "a list of texts"
    if not isinstance(service.get("meta", {}), dict):
        yield ("meta",), "must be an object", "an object"
    if service.get("provider") not in (None, "mirror_neuron"):
        yield ("provider",), "must be mirror_neuron or left out", "mirror_neuron"
    if service.get("origin") not in (None, "internal", "external"):
        yield ("origin",), "must be internal or external", ["internal", "external"]
    if not isinstance(service.get("required", True), bool):
        yield ("required",), "must be a boolean", "true or false"
    yield from _wrong_checks(service.get("checks", []))


def _wrong_checks(checks: Any) -> Wrong:
    if not isinstance(checks, list):
        yield ("checks",), "must be a list", "a list of objects"
    for index, check in enumerate(listing(checks)):
        if not isinstance(check, dict):
            yield ("checks", index), "must be an object", "an object with a type"
            continue
        for at, reason, expected in _wrong_check(check):
            yield ("checks", index, *at), reason, expected


def _wrong_check(check: JsonObject) -> Wrong:
    kinds = ("http", "tcp", "script", "grpc")
    if check.get("type") not in kinds:
        yield ("type",), "must be a kind of check", list(kinds)
    for key in ("timeout_ms", "interval_ms", "failures_before_critical"):
        if key in check and not is_count(check[key], 1):
            yield (key,), "must be a whole number of at least 1", "a positive number"
    if check.get("port") is not None and not _is_port(check["port"]):
        yield ("port",), "must be a port", "1 to 65535, or ${config.…}"
    status = check.get("expected_status", 200)
    if not all(is_count(code, 100) for code in (status if isinstance(status, list) else [status])):
        yield ("expected_status",), "must be a status code or a list of them", 200
    if check.get("type") == "script":
        reason = _script_problem(check.get("command"))
        if reason:
            yield ("command",), reason, "a list of texts, or one command without shell signs"


def _script_problem(command: Any) -> str:
    if isinstance(command, list):
        words = command
        if not words or not all(is_text(word) for word in words):
            return "must be a list of texts"
    elif is_text(command):
        if set(command) & _SHELL:
            return "must not use shell signs"
        words = command.split()
    else:
        return "is required for a script check"
    shell = str(words[0]).rpartition("/")[2] in ("sh", "bash") if words else False
    return "must not go through a shell" if shell and "-c" in words[1:] else ""


def _is_port(value: Any) -> bool:
    if isinstance(value, str):
        if "${" in value:
            return True
        value = int(value) if value.isascii() and value.isdigit() and len(value) < 6 else 0
    return is_count(value, 1) and value <= 65535


@rule(
    "R-03",
    ERROR,
    "*",
    "runtime.resources",
    "resources of an agent are malformed",
    help="see the manual on resources: cpu_cores, memory_mb, disk_mb, devices, ports, volumes",
)
def resources_can_be_read(subject: Subject) -> Iterator[Found]:
    """Yield what is wrong with the resources an agent asks for."""
    for agent in subject.agents:
        resources = agent.raw.get("resources")
        if isinstance(resources, dict):
            yield from _found((*agent.at, "resources"), _wrong_resources(resources), resources)


def _wrong_resources(resources: JsonObject) -> Wrong:
    for key in ("cpu_cores", "memory_mb", "disk_mb"):
        value = resources.get(key)
        if value is not None and (not is_number(value) or value < 0):
            yield (key,), "must be a number of at least 0", "a number"
    if resources.get("gpu_count") is not None and not is_count(resources["gpu_count"]):
        yield ("gpu_count",), "must be a whole number of at least 0", "a whole number"
    if resources.get("runtime_driver") is not None and not is_text(resources["runtime_driver"]):
        yield ("runtime_driver",), "must be a text", ["host_local", "docker_worker", "openshell"]
    yield from _wrong_members(resources, "devices", _wrong_device, "")
    yield from _wrong_members(resources, "ports", _wrong_port, "label")
    yield from _wrong_members(resources, "volumes", _wrong_volume, "name")


def _wrong_members(
    resources: JsonObject, key: str, check: Callable[[JsonObject], Wrong], unique: str
) -> Wrong:
    """Yield what is wrong with a list of devices, ports or volumes."""
    items = resources.get(key)
    if items is None:
        return
    if not isinstance(items, list):
        yield (key,), "must be a list", "a list of objects"
        return
    seen: set[str] = set()
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            yield (key, index), "must be an object", "an object"
            continue
        for at, reason, expected in check(item):
            yield (key, index, *at), reason, expected
        name = item.get(unique)
        if is_text(name):
            if name in seen:
                yield (key, index, unique), "is taken already", f"a {unique} of its own"
            seen.add(name)


def _wrong_device(device: JsonObject) -> Wrong:
    if not is_text(device.get("kind")) and not is_text(device.get("type")):
        yield ("kind",), "must be a text", "a kind such as gpu"
    if not is_count(device.get("count", 1), 1):
        yield ("count",), "must be a whole number of at least 1", "a positive number"
    memory = device.get("min_memory_mb", 0)
    if not is_number(memory) or memory < 0:
        yield ("min_memory_mb",), "must be a number of at least 0", "a number"
    for key in ("memory_operator", "api_version_operator"):
        if device.get(key, ">=") not in _OPERATORS:
            yield (key,), "must be an operator", list(_OPERATORS)
    for key in ("capabilities", "ids"):
        if not isinstance(device.get(key, []), list):
            yield (key,), "must be a list", "a list of texts"


def _wrong_port(port: JsonObject) -> Wrong:
    protocols = ("tcp", "udp", "http", "grpc")
    if not is_text(port.get("label")):
        yield ("label",), "must be a text", "a label of its own"
    number = port.get("port")
    if not is_count(number, 1) or number > 65535:
        yield ("port",), "must be a port", "1 to 65535"
    if port.get("protocol", "tcp") not in protocols:
        yield ("protocol",), "must be a protocol", list(protocols)


def _wrong_volume(volume: JsonObject) -> Wrong:
    if not is_text(volume.get("name")):
        yield ("name",), "must be a text", "a name of its own"
    for key in ("source", "target"):
        path = volume.get(key)
        if not is_text(path) or not path.startswith("/") or ".." in path.split("/"):
            yield (key,), "must be an absolute path without `..`", "an absolute path"
    if volume.get("mode", "ro") not in ("ro", "rw"):
        yield ("mode",), "must be ro or rw", ["ro", "rw"]
    if volume.get("type", "host") != "host":
        yield ("type",), "must be host", "host"


def _policies(subject: Subject) -> Iterator[tuple[At, JsonObject]]:
    """Yield the policies of the job and of each agent, with their places."""
    if isinstance(subject.manifest.get("policies"), dict):
        yield ("policies",), subject.manifest["policies"]
    for agent in subject.agents:
        if isinstance(agent.raw.get("policies"), dict):
            yield (*agent.at, "policies"), agent.raw["policies"]


@rule(
    "R-04",
    ERROR,
    "*",
    "runtime.recovery_mode",
    "unsupported recovery_mode",
    help=f"use one of {', '.join(RECOVERY_MODES)}",
)
def recovery_mode_is_known(subject: Subject) -> Iterator[Found]:
    """Yield an unknown recovery mode."""
    mode = mapping(subject.manifest.get("policies")).get("recovery_mode")
    if mode is not None and mode not in RECOVERY_MODES:
        yield Found(
            at=("policies", "recovery_mode"),
            message=f"unsupported recovery_mode {str(mode)[:80]!r}",
            expected=list(RECOVERY_MODES),
            actual=mode,
        )


@rule(
    "R-05",
    ERROR,
    "*",
    "runtime.job_type",
    "unsupported job_type",
    help=f"use one of {', '.join(JOB_TYPES)}",
)
def job_type_is_known(subject: Subject) -> Iterator[Found]:
    """Yield an unknown job type, and a scheduler policy that is no object."""
    policies = mapping(subject.manifest.get("policies"))
    scheduler = policies.get("scheduler")
    if scheduler is not None and not isinstance(scheduler, dict):
        yield Found(
            at=("policies", "scheduler"),
            message="policies.scheduler must be an object",
            expected="an object",
            actual=scheduler,
        )
    places: tuple[tuple[At, Any], ...] = (
        (("policies", "job_type"), policies.get("job_type")),
        (("policies", "scheduler", "job_type"), mapping(scheduler).get("job_type")),
    )
    for at, kind in places:
        if kind is not None and (not isinstance(kind, str) or kind.lower() not in JOB_TYPES):
            yield Found(at=at, expected=list(JOB_TYPES), actual=kind)


@rule(
    "R-06",
    ERROR,
    "*",
    "runtime.restart",
    "a restart or reschedule policy is malformed",
    help='write {"attempts": 3, "interval_ms": 600000, "delay_ms": 1000, "mode": "fail"}',
)
def restarts_can_be_read(subject: Subject) -> Iterator[Found]:
    """Yield what is wrong with restart and reschedule policies."""
    for at, policies in _policies(subject):
        for key in ("restart", "reschedule"):
            if policies.get(key) is not None:
                policy = policies[key]
                yield from _found((*at, key), _wrong_restart(policy, key), policy)
        attempts = policies.get("max_agent_restart_attempts")
        if attempts is not None and not is_count(attempts):
            yield Found(
                at=(*at, "max_agent_restart_attempts"),
                message="max_agent_restart_attempts must be a whole number of at least 0",
                expected="a whole number",
                actual=attempts,
            )


def _wrong_restart(policy: Any, key: str) -> Wrong:
    if not isinstance(policy, dict):
        yield (), "must be an object", "an object"
        return
    if "attempts" in policy and not is_count(policy["attempts"]):
        yield ("attempts",), "must be a whole number of at least 0", "a whole number"
    interval = policy.get("interval_ms", 1)
    if not is_number(interval) or interval <= 0:
        yield ("interval_ms",), "must be a number above 0", "a positive number"
    for name in ("delay_ms", "max_delay_ms"):
        value = policy.get(name, 0)
        if not is_number(value) or value < 0:
            yield (name,), "must be a number of at least 0", "a number"
    if policy.get("delay_function", "constant") not in _DELAYS:
        yield ("delay_function",), "must be a delay function", list(_DELAYS)
    if key == "restart" and policy.get("mode", "fail") not in ("fail", "delay"):
        yield ("mode",), "must be fail or delay", ["fail", "delay"]
    if not isinstance(policy.get("unlimited", False), bool):
        yield ("unlimited",), "must be a boolean", "true or false"


@rule(
    "R-07",
    ERROR,
    "*",
    "runtime.update",
    "an update policy is malformed",
    help='write {"strategy": "rolling", "max_parallel": 1}',
)
def updates_can_be_read(subject: Subject) -> Iterator[Found]:
    """Yield what is wrong with the update policy."""
    policy = mapping(subject.manifest.get("policies")).get("update")
    if policy is not None:
        yield from _found(("policies", "update"), _wrong_update(policy), policy)
    deployment = subject.manifest.get("deployment")
    if deployment is not None and not isinstance(deployment, dict):
        yield Found(at=("deployment",), message="deployment must be an object", actual=deployment)


def _wrong_update(policy: Any) -> Wrong:
    if not isinstance(policy, dict):
        yield (), "must be an object", "an object"
        return
    strategies = ("rolling", "canary", "blue-green")
    if policy.get("strategy", "rolling") not in strategies:
        yield ("strategy",), "must be a strategy", list(strategies)
    for key, least in (
        ("max_parallel", 1),
        ("canary", 0),
        ("min_healthy_ms", 0),
        ("healthy_deadline_ms", 0),
        ("progress_deadline_ms", 0),
    ):
        if key in policy and not is_count(policy[key], least):
            yield (key,), f"must be a whole number of at least {least}", "a whole number"
    if policy.get("health_check", "checks") not in ("checks", "agent_states"):
        yield ("health_check",), "must be checks or agent_states", ["checks", "agent_states"]
    for key in ("auto_promote", "auto_revert"):
        if not isinstance(policy.get(key, False), bool):
            yield (key,), "must be a boolean", "true or false"


@rule(
    "R-09",
    ERROR,
    "*",
    "runtime.trigger",
    "an event trigger is malformed",
    help='write {"name", "event_type", "filters": {"path": {"prefix": "/data/"}}}',
)
def triggers_can_be_read(subject: Subject) -> Iterator[Found]:
    """Yield what is wrong with event triggers."""
    triggers = subject.manifest.get("triggers")
    if triggers is not None:
        yield from _found(("triggers",), _wrong_triggers(triggers), triggers)


def _wrong_triggers(triggers: Any) -> Wrong:
    if not isinstance(triggers, list):
        yield (), "must be a list", "a list of objects"
        return
    for index, trigger in enumerate(triggers):
        if not isinstance(trigger, dict):
            yield (index,), "must be an object", "an object with an event_type"
            continue
        if not is_text(trigger.get("event_type")):
            yield (index, "event_type"), "is required", "a non-empty text"
        if not isinstance(trigger.get("filters", {}), dict):
            yield (index, "filters"), "must be an object", "an object"


@rule(
    "R-10",
    ERROR,
    "*",
    "runtime.parameterized",
    "parameterized is malformed",
    help='write {"payload": "optional", "meta_required": [], "meta_optional": []}',
)
def parameters_can_be_read(subject: Subject) -> Iterator[Found]:
    """Yield what is wrong with the dispatch declaration."""
    declared = subject.manifest.get("parameterized")
    if declared is not None:
        yield from _found(("parameterized",), _wrong_parameters(declared), declared)


def _wrong_parameters(declared: Any) -> Wrong:
    if not isinstance(declared, dict):
        yield (), "must be an object", "an object"
        return
    payloads = ("optional", "required", "forbidden")
    if declared.get("payload", "optional") not in payloads:
        yield ("payload",), "must be optional, required or forbidden", list(payloads)
    for key in ("meta_required", "meta_optional"):
        names = declared.get(key, [])
        if not isinstance(names, list) or not all(is_text(name) for name in names):
            yield (key,), "must be a list of texts", "a list of texts"


@rule(
    "R-11",
    ERROR,
    "*",
    "runtime.response_service",
    "response_service is malformed",
    help='write {"enabled": true, "agent": {"kind": "bounded_mcp", …}}, or leave it out',
)
def response_service_can_be_read(subject: Subject) -> Iterator[Found]:
    """Yield what is wrong with the response service."""
    declared = subject.manifest.get("response_service")
    if declared is not None:
        yield from _found(("response_service",), _wrong_response(declared), declared)


def _wrong_response(declared: Any) -> Wrong:
    if not isinstance(declared, dict):
        yield (), "must be an object", "an object"
        return
    if declared.get("enabled") is not True:
        yield ("enabled",), "must be true", True
    for key in declared:
        if key not in ("enabled", "agent"):
            yield (key,), "is not allowed", ["enabled", "agent"]
    agent = declared.get("agent")
    if agent is None:
        return
    if not isinstance(agent, dict):
        yield ("agent",), "must be an object", "an object"
        return
    if agent.get("kind") != "bounded_mcp":
        yield ("agent", "kind"), "must be bounded_mcp", "bounded_mcp"
    memory = agent.get("memory")
    if isinstance(memory, dict):
        count = memory.get("max_active_records", 1)
        if not is_count(count, 1) or count > 500:
            yield ("agent", "memory", "max_active_records"), "must be 1 to 500", "1 to 500"


def services_in(subject: Subject) -> Iterator[JsonObject]:
    """Yield every well-formed service that the job or its agents need."""
    for key in ("required_services", "requiredServices"):
        for _, service in objects(subject.manifest.get(key)):
            yield service
