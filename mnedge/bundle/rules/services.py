"""Rules about services that a job offers or needs."""

import re
from collections.abc import Iterator
from typing import Any

from mnedge.bundle.rules.registry import ERROR, Found, Wrong, each, rule
from mnedge.bundle.subject import (
    JsonObject,
    Subject,
    is_count,
    is_text,
    listing,
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_SHELL = set(";&|<>$`\n")


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
            yield from each((key,), _wrong_services(services), services)
    for agent in subject.agents:
        for key in ("services", "requires_services"):
            services = agent.raw.get(key)
            if services is not None:
                yield from each((*agent.at, key), _wrong_services(services), services)


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
