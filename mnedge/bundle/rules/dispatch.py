"""Rules about how a job is asked for: events, parameters, responses."""

from collections.abc import Iterator
from typing import Any

from mnedge.bundle.rules.registry import ERROR, Found, Wrong, each, rule
from mnedge.bundle.subject import (
    Subject,
    is_count,
    is_text,
)


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
        yield from each(("triggers",), _wrong_triggers(triggers), triggers)


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
        yield from each(("parameterized",), _wrong_parameters(declared), declared)


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
        yield from each(("response_service",), _wrong_response(declared), declared)


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
