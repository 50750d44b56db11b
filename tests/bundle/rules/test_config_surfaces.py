"""Configs whose inputs, outputs or people cannot be reached."""

import pytest

from mnedge.bundle.rules import config_surfaces
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check, section

FILE = "config/default.json"


def no_adapters(p: Parts):
    p.config["interfaces"].pop("input_adapters")
    p.manifest["metadata"]["interfaces"].pop("input_adapters")
    p.manifest["metadata"]["input_contract"]["supported_adapters"] = ["mock"]


def human(**control):
    def edit(p: Parts):
        p.config["human_control"] = control
        del p.manifest["metadata"]["human_control"]

    return edit


def ports(*numbers):
    listed = [{"external_port": number} for number in numbers]
    return section("outputs", tcp={"enabled": True, "ports": listed})


def web(**web_ui):
    def edit(p: Parts):
        p.config["web_ui"] = web_ui
        p.config["interfaces"]["config_sections"] = [*p.config]

    return edit


APPROVAL = {
    "mode": "approval_required",
    "allowed_decisions": ["approve", "reject"],
    "timeout_seconds": 60,
    "default_action": "reject",
    "blocked_actions": [],
}

CASES = [
    Case(
        "C-05",
        no_adapters,
        "interfaces.input_adapters",
        "adapters json, file, env_json",
        ["mock", "json", "file", "env_json"],
        file=FILE,
        weight="E/s",
    ),
    Case(
        "C-06",
        section("outputs", adapter="local_files"),
        "outputs.adapter",
        "local run store",
        "local_run_store",
        file=FILE,
        weight="E/s",
    ),
    Case(
        "C-06",
        section("outputs", write_run_store=False),
        "outputs.write_run_store",
        "local run store",
        True,
        file=FILE,
        weight="E/s",
    ),
    Case(
        "C-06",
        lambda p: p.config["outputs"].pop("adapter"),
        "outputs.adapter",
        "is not set",
        file=FILE,
        weight="W",
    ),
    Case(
        "C-07",
        human(mode="sometimes"),
        "human_control.mode",
        "unknown human_control",
        ["disabled", "notice_only", "approval_required"],
        file=FILE,
    ),
    Case(
        "C-08",
        human(mode="disabled"),
        "human_control.reason",
        "needs a reason",
        file=FILE,
        weight="E/s",
    ),
    Case(
        "C-09",
        human(**{**APPROVAL, "timeout_seconds": 0}),
        "human_control.timeout_seconds",
        "needs timeout_seconds",
        file=FILE,
        weight="E/s",
    ),
    Case(
        "C-09",
        human(mode="approval_required"),
        "human_control.blocked_actions",
        "needs blocked_actions",
        file=FILE,
        weight="E/s",
    ),
    Case(
        "C-10",
        section("backpressure", drop_policy="drop_all"),
        "backpressure.drop_policy",
        "unknown drop_policy",
        ["block", "sample", "drop_oldest", "drop_newest", "skip_with_error"],
        file=FILE,
    ),
    Case(
        "C-12",
        section("inputs", adapter="drive"),
        "inputs.adapter",
        "mock is used",
        ["mock", "json", "file", "env_json"],
        file=FILE,
        weight="E/s",
    ),
    Case(
        "C-13",
        section("inputs", payload=[1]),
        "inputs.payload",
        "must be a JSON object",
        "an object",
        file=FILE,
    ),
    Case(
        "C-13",
        section("inputs", payload=None),
        "inputs.payload",
        "must be a JSON object",
        file=FILE,
    ),
    Case(
        "C-15",
        section("outputs", tcp={"ports": {}}),
        "outputs.tcp.ports",
        "must be a list",
        file=FILE,
    ),
    Case(
        "C-15",
        ports(0),
        "outputs.tcp.ports[0].external_port",
        "must be a port",
        "1 to 65535",
        file=FILE,
    ),
    Case(
        "C-15", ports(9000), "outputs.tcp.ports[0].external_port", "must be 8080 or 8081", file=FILE
    ),
    Case("C-15", ports(8080, 8080), "outputs.tcp.ports[1].external_port", "taken twice", file=FILE),
    Case(
        "C-41",
        section("logging", level="LOUD"),
        "logging.level",
        "no known level",
        file=FILE,
        weight="W",
    ),
    Case(
        "C-41",
        section("logging", redact_fields=[]),
        "logging.redact_fields",
        "lists nothing",
        file=FILE,
        weight="W",
    ),
    Case(
        "C-42",
        web(output={"adapter": "static_report"}),
        "web_ui.output.adapter",
        "read as static_html",
        "static_html",
        file=FILE,
        weight="W",
    ),
    Case(
        "C-43",
        ports(8080, 8081, 8082),
        "outputs.tcp.ports",
        "more TCP ports",
        file=FILE,
        weight="W",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(config_surfaces, CASES)


def test_a_complete_approval_is_right():
    parts = Parts()
    human(**APPROVAL)(parts)
    assert parts.opened("strict").problems == []


def test_the_two_fixed_ports_are_right():
    parts = Parts()
    ports(8080, 8081)(parts)
    assert parts.opened("strict").problems == []
