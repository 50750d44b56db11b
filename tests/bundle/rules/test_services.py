"""Services that cannot be found or checked."""

import pytest

from mnedge.bundle.rules import services
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check


def needs(service):
    return lambda p: p.manifest.update(required_services=service)


def check_of(**changes):
    return needs([{"name": "db", "checks": [{"type": "tcp", **changes}]}])


AT = "required_services[0]"

CASES = [
    Case("R-02", needs({}), "required_services", "must be a list", "a list of objects"),
    Case("R-02", needs(["db"]), AT, "must be an object"),
    Case("R-02", needs([{"name": "-db"}]), f"{AT}.name", "must be a name"),
    Case("R-02", needs([{"name": "db", "port": 70000}]), f"{AT}.port", "must be a port"),
    Case("R-02", needs([{"name": "db", "port": "x"}]), f"{AT}.port", "must be a port"),
    Case("R-02", needs([{"name": "db", "address": 1}]), f"{AT}.address", "must be a text"),
    Case("R-02", needs([{"name": "db", "tags": "a"}]), f"{AT}.tags", "must be a list"),
    Case("R-02", needs([{"name": "db", "meta": []}]), f"{AT}.meta", "must be an object"),
    Case("R-02", needs([{"name": "db", "provider": "consul"}]), f"{AT}.provider", "mirror_neuron"),
    Case("R-02", needs([{"name": "db", "origin": "moon"}]), f"{AT}.origin", "internal or external"),
    Case("R-02", needs([{"name": "db", "required": "no"}]), f"{AT}.required", "must be a boolean"),
    Case("R-02", needs([{"name": "db", "checks": {}}]), f"{AT}.checks", "must be a list"),
    Case("R-02", needs([{"name": "db", "checks": [1]}]), f"{AT}.checks[0]", "must be an object"),
    Case(
        "R-02",
        check_of(type="ping"),
        f"{AT}.checks[0].type",
        "kind of check",
        ["http", "tcp", "script", "grpc"],
    ),
    Case("R-02", check_of(timeout_ms=0), f"{AT}.checks[0].timeout_ms", "at least 1"),
    Case("R-02", check_of(port=-1), f"{AT}.checks[0].port", "must be a port"),
    Case(
        "R-02", check_of(expected_status=["ok"]), f"{AT}.checks[0].expected_status", "status code"
    ),
    Case("R-02", check_of(type="script"), f"{AT}.checks[0].command", "is required"),
    Case(
        "R-02",
        check_of(type="script", command="ls | wc"),
        f"{AT}.checks[0].command",
        "must not use shell signs",
    ),
    Case(
        "R-02",
        check_of(type="script", command=["/bin/sh", "-c", "ls"]),
        f"{AT}.checks[0].command",
        "must not go through a shell",
    ),
    Case("R-02", check_of(type="script", command=[]), f"{AT}.checks[0].command", "list of texts"),
    Case(
        "R-02",
        lambda p: p.agent("reader").update(services=[{}]),
        "nodes[1].services[0].name",
        "must be a name",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(services, CASES)


def test_a_service_with_templates_and_checks_is_right():
    parts = Parts()
    parts.manifest["required_services"] = [
        {
            "name": "ollama",
            "origin": "external",
            "address": "${config.ollama.host}",
            "port": "${config.ollama.port}",
            "checks": [
                {"type": "http", "url": "${config.ollama.api_base}", "expected_status": 200}
            ],
        },
        {"name": "db", "port": "5432", "checks": [{"type": "script", "command": "pg_isready -q"}]},
    ]
    assert parts.opened("strict").problems == []
