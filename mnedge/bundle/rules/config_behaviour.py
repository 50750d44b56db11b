"""Rules about how a blueprint behaves: errors, state, limits, privacy, handoffs."""

from collections.abc import Iterator
from typing import Any

from mnedge.bundle.problem import At
from mnedge.bundle.rules.config_sections import FILE
from mnedge.bundle.rules.registry import ERROR, STRICT, WARNING, Found, rule
from mnedge.bundle.subject import (
    JsonObject,
    Subject,
    is_count,
    is_number,
    is_text,
    mapping,
    objects,
)

ERROR_MODES = ("retry", "skip", "stop")
RESUME_MODES = ("none", "latest_checkpoint", "replay_events", "manual")
TRIGGER_TYPES = ("manual", "scheduled", "live_input", "webhook", "stream", "service", "batch")
CLASSES = ("public", "internal", "confidential", "regulated")
_BOUNDS = ("max_attempts", "max_elapsed_seconds", "max_consecutive_errors")


def _error_policies(subject: Subject) -> Iterator[tuple[At, JsonObject]]:
    policies = mapping(subject.section("error_handling").get("policies"))
    for name, policy in policies.items():
        if isinstance(policy, dict):
            yield ("error_handling", "policies", name), policy


@rule(
    "C-16",
    STRICT,
    "*",
    "config.error_mode",
    "unknown error mode",
    help=f"use one of {', '.join(ERROR_MODES)}",
)
def error_modes_are_known(subject: Subject) -> Iterator[Found]:
    """Yield each error mode outside the three."""
    default = subject.section("error_handling").get("default_mode")
    places: list[tuple[At, Any]] = [(("error_handling", "default_mode"), default)]
    places += [((*at, "mode"), policy.get("mode")) for at, policy in _error_policies(subject)]
    for at, mode in places:
        if mode is not None and mode not in ERROR_MODES:
            yield Found(file=FILE, at=at, expected=list(ERROR_MODES), actual=mode)


@rule(
    "C-17",
    ERROR,
    "*",
    "config.unbounded_retry",
    "retry must be bounded",
    help=f"add one of {', '.join(_BOUNDS)}",
)
def retries_are_bounded(subject: Subject) -> Iterator[Found]:
    """Yield each retry without an end."""
    for at, policy in _error_policies(subject):
        if policy.get("mode") == "retry" and not any(is_number(policy.get(key)) for key in _BOUNDS):
            yield Found(
                file=FILE,
                at=at,
                message=f"retry of {at[-1]} must be bounded",
                expected=list(_BOUNDS),
            )


@rule(
    "C-18",
    STRICT,
    "*",
    "config.resume_mode",
    "unknown state.resume_mode",
    help=f"use one of {', '.join(RESUME_MODES)}",
)
def resume_mode_is_known(subject: Subject) -> Iterator[Found]:
    """Yield an unknown way to resume, and none at all."""
    if isinstance(subject.config.get("state"), dict):
        mode = subject.section("state").get("resume_mode")
        if mode not in RESUME_MODES:
            yield Found(
                file=FILE, at=("state", "resume_mode"), expected=list(RESUME_MODES), actual=mode
            )


@rule(
    "C-19",
    STRICT,
    "*",
    "config.trigger_type",
    "unknown triggers.type",
    help=f"use one of {', '.join(TRIGGER_TYPES)}",
)
def trigger_type_is_known(subject: Subject) -> Iterator[Found]:
    """Yield an unknown trigger, and none at all."""
    if isinstance(subject.config.get("triggers"), dict):
        kind = subject.section("triggers").get("type")
        if kind not in TRIGGER_TYPES:
            yield Found(
                file=FILE, at=("triggers", "type"), expected=list(TRIGGER_TYPES), actual=kind
            )


@rule(
    "C-20",
    STRICT,
    "*",
    "config.privacy_class",
    "unknown privacy class",
    help=f"use one of {', '.join(CLASSES)}",
)
def privacy_classes_are_known(subject: Subject) -> Iterator[Found]:
    """Yield each class outside the four, and a missing default."""
    if not isinstance(subject.config.get("privacy"), dict):
        return
    privacy = subject.section("privacy")
    default = privacy.get("default_classification")
    if default not in CLASSES:
        yield Found(
            file=FILE,
            at=("privacy", "default_classification"),
            expected=list(CLASSES),
            actual=default,
        )
    for name in mapping(privacy.get("rules")):
        if name not in CLASSES:
            yield Found(
                file=FILE, at=("privacy", "rules", name), expected=list(CLASSES), actual=name
            )


@rule(
    "C-23",
    ERROR,
    "*",
    "config.limit",
    "a limit is negative or no number",
    help="write a number, or null for no limit",
)
def limits_are_numbers(subject: Subject) -> Iterator[Found]:
    """Yield each limit of budgets, backpressure and resources that cannot be one."""
    for at, value, above_zero in _limits(subject):
        if value is None:
            continue
        if not is_number(value) or value < 0 or (above_zero and value == 0):
            least = "above 0" if above_zero else "of at least 0"
            yield Found(
                file=FILE,
                at=at,
                message=f"{'.'.join(map(str, at))} must be a number {least}",
                expected="a number",
                actual=value,
            )


def _limits(subject: Subject) -> Iterator[tuple[At, Any, bool]]:
    for key, value in subject.section("budgets").items():
        if key.startswith("max_"):
            yield ("budgets", key), value, False
    pressure = subject.section("backpressure")
    for key in ("max_events_per_second", "queue_size", "max_concurrency"):
        yield ("backpressure", key), pressure.get(key), True
    for key in ("max_calls_per_minute", "max_concurrent_calls"):
        yield ("backpressure", "llm", key), mapping(pressure.get("llm")).get(key), True
    for name, limits in mapping(pressure.get("connectors")).items():
        for key in ("max_reads_per_minute", "max_writes_per_minute"):
            yield ("backpressure", "connectors", name, key), mapping(limits).get(key), True
    for key, value in subject.section("resources").items():
        if key.endswith(("_seconds", "_hours")):
            yield ("resources", key), value, False


@rule(
    "C-24",
    ERROR,
    "*",
    "config.handoff",
    "a handoff is malformed",
    help=f"use an error_policy of {', '.join(ERROR_MODES)}",
)
def handoffs_can_be_read(subject: Subject) -> Iterator[Found]:
    """Yield each handoff with an unknown error policy; free text is only warned about."""
    for name, handoff in mapping(subject.config.get("agent_handoffs")).items():
        at = ("agent_handoffs", name)
        if not isinstance(handoff, dict):
            yield Found(
                file=FILE,
                at=at,
                message=f"handoff {name} is no object",
                severity=WARNING,
                actual=handoff,
            )
        elif handoff.get("error_policy", "stop") not in ERROR_MODES:
            yield Found(
                file=FILE,
                at=(*at, "error_policy"),
                message=f"handoff {name} has no known error_policy",
                expected=list(ERROR_MODES),
                actual=handoff.get("error_policy"),
            )


@rule(
    "C-25",
    ERROR,
    "*",
    "config.openshell_port",
    "an OpenShell port is malformed",
    help='write {"name", "direction": "input", "container_port": 8080, "external_port": 8080}',
)
def openshell_ports_can_be_read(subject: Subject) -> Iterator[Found]:
    """Yield what is wrong with the ports of an OpenShell image."""
    ports = subject.section("openshell").get("ports")
    if ports is not None and not isinstance(ports, list):
        yield Found(file=FILE, at=("openshell", "ports"), message="must be a list", actual=ports)
    for index, port in objects(ports):
        at = ("openshell", "ports", index)
        if not is_text(port.get("name")):
            yield Found(file=FILE, at=(*at, "name"), message="an OpenShell port needs a name")
        if port.get("direction") not in ("input", "output", "bidirectional"):
            yield Found(
                file=FILE,
                at=(*at, "direction"),
                message="an OpenShell port needs a direction",
                expected=["input", "output", "bidirectional"],
                actual=port.get("direction"),
            )
        for key in ("container_port", "external_port", "host_port"):
            number = port.get(key)
            if number is not None and (not is_count(number, 1) or number > 65535):
                yield Found(
                    file=FILE,
                    at=(*at, key),
                    message=f"{key} must be a port",
                    expected="1 to 65535",
                    actual=number,
                )


@rule(
    "C-34",
    WARNING,
    "*",
    "config.error_handling",
    "error_handling.default_mode is not declared; stop is used",
    help='add "error_handling": {"default_mode": "stop"}',
)
def error_handling_is_declared(subject: Subject) -> Iterator[Found]:
    """Yield if nothing says what an error does."""
    if not subject.section("error_handling").get("default_mode"):
        yield Found(file=FILE, at=("error_handling", "default_mode"), expected=list(ERROR_MODES))


@rule(
    "C-38",
    WARNING,
    "*",
    "config.live_declarations",
    "a long-running blueprint leaves out what it needs to survive",
    help="add state, backpressure and triggers to the config",
)
def live_blueprints_are_prepared(subject: Subject) -> Iterator[Found]:
    """Yield each section that a service, stream or live input should declare and does not."""
    streams = mapping(subject.config.get("streams")).values()
    skills = mapping(subject.config.get("input_skills")).values()
    service = str(subject.manifest.get("type", "")).lower() == "service"
    live = service or subject.manifest.get("daemon") is True
    live = live or any(isinstance(entry, dict) for entry in streams)
    live = live or any(mapping(entry).get("live") is True for entry in skills)
    if live:
        for name in ("state", "backpressure", "triggers"):
            if not subject.config.get(name):
                yield Found(
                    file=FILE,
                    at=(name,),
                    message=f"a service, stream or live input should declare {name}",
                )


@rule(
    "C-39",
    WARNING,
    "A",
    "config.handoff_ends",
    "a handoff names what the graph does not have",
    help="name agents of the manifest, and a message type on an edge between them",
)
def handoffs_follow_edges(subject: Subject) -> Iterator[Found]:
    """Yield each handoff whose ends are no agents, or whose type no edge between them carries."""
    known = subject.agent_ids
    carried = {
        (edge.get("from_node"), edge.get("to_node"), edge.get("message_type"))
        for _, edge in subject.edges
        if all(is_text(edge.get(key)) for key in ("from_node", "to_node", "message_type"))
    }
    for name, handoff in mapping(subject.config.get("agent_handoffs")).items():
        if not isinstance(handoff, dict):
            continue
        ends = []
        for key in ("producer", "consumer"):
            end = handoff.get(key)
            ends.append(end)
            if end is not None and (not is_text(end) or end not in known):
                yield Found(
                    file=FILE,
                    at=("agent_handoffs", name, key),
                    message=f"handoff {name} names {str(end)[:80]!r}, which is no agent",
                    actual=end,
                )
        kind = handoff.get("message_type")
        both = all(is_text(end) and end in known for end in ends)
        if is_text(kind) and both and not {(*ends, kind), (*ends, "*")} & carried:
            yield Found(
                file=FILE,
                at=("agent_handoffs", name, "message_type"),
                message=f"no edge from {ends[0]} to {ends[1]} carries {kind!r}",
                actual=kind,
            )
