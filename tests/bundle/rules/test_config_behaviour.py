"""Configs that promise what cannot be kept."""

import pytest

from mnedge.bundle.rules import config_behaviour
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check, section

FILE = "config/default.json"


def errors(**policies):
    return section("error_handling", policies=policies)


def openshell(**port):
    def edit(p: Parts):
        p.config["openshell"] = {"ports": [port]}
        p.config["interfaces"]["config_sections"] = [*p.config]

    return edit


def long_running(p: Parts):
    p.manifest["type"] = "service"
    del p.config["triggers"]


MODES = ["retry", "skip", "stop"]

CASES = [
    Case(
        "C-16",
        section("error_handling", default_mode="panic"),
        "error_handling.default_mode",
        "unknown error mode",
        MODES,
        file=FILE,
        weight="E/s",
    ),
    Case(
        "C-16",
        errors(llm_call={"mode": "fallback"}),
        "error_handling.policies.llm_call.mode",
        "unknown error mode",
        MODES,
        file=FILE,
        weight="E/s",
    ),
    Case(
        "C-17",
        errors(llm_call={"mode": "retry"}),
        "error_handling.policies.llm_call",
        "retry of llm_call must be bounded",
        file=FILE,
    ),
    Case(
        "C-18",
        section("state", resume_mode="checkpoint"),
        "state.resume_mode",
        "unknown state",
        ["none", "latest_checkpoint", "replay_events", "manual"],
        file=FILE,
        weight="E/s",
    ),
    Case(
        "C-19",
        section("triggers", type="daemon"),
        "triggers.type",
        "unknown triggers",
        file=FILE,
        weight="E/s",
    ),
    Case(
        "C-20",
        section("privacy", default_classification="secret"),
        "privacy.default_classification",
        "unknown privacy class",
        ["public", "internal", "confidential", "regulated"],
        file=FILE,
        weight="E/s",
    ),
    Case(
        "C-20",
        section("privacy", rules={"vip": {}}),
        "privacy.rules.vip",
        "unknown privacy class",
        file=FILE,
        weight="E/s",
    ),
    Case(
        "C-23",
        section("budgets", max_runtime_seconds=-1),
        "budgets.max_runtime_seconds",
        "of at least 0",
        "a number",
        file=FILE,
    ),
    Case(
        "C-23",
        section("backpressure", queue_size=0),
        "backpressure.queue_size",
        "above 0",
        file=FILE,
    ),
    Case(
        "C-23",
        section("backpressure", connectors={"a": {"max_reads_per_minute": "x"}}),
        "backpressure.connectors.a.max_reads_per_minute",
        "above 0",
        file=FILE,
    ),
    Case(
        "C-23",
        section("resources", sample_interval_seconds="10s"),
        "resources.sample_interval_seconds",
        "of at least 0",
        file=FILE,
    ),
    Case(
        "C-24",
        section("agent_handoffs", x={"error_policy": "hope"}),
        "agent_handoffs.x.error_policy",
        "no known error_policy",
        MODES,
        file=FILE,
    ),
    Case(
        "C-25", openshell(direction="input"), "openshell.ports[0].name", "needs a name", file=FILE
    ),
    Case(
        "C-25",
        openshell(name="x", direction="up"),
        "openshell.ports[0].direction",
        "needs a direction",
        file=FILE,
    ),
    Case(
        "C-25",
        openshell(name="x", direction="input", container_port=0),
        "openshell.ports[0].container_port",
        "must be a port",
        file=FILE,
    ),
    Case(
        "C-34",
        lambda p: p.config["error_handling"].pop("default_mode"),
        "error_handling.default_mode",
        "stop is used",
        file=FILE,
        weight="W",
    ),
    Case("C-38", long_running, "triggers", "should declare triggers", file=FILE, weight="W"),
    Case(
        "C-39",
        section("agent_handoffs", x={"producer": "gone"}),
        "agent_handoffs.x.producer",
        "'gone', which is no agent",
        file=FILE,
        weight="W",
    ),
    Case(
        "C-39",
        section(
            "agent_handoffs", x={"producer": "reader", "consumer": "sink", "message_type": "other"}
        ),
        "agent_handoffs.x.message_type",
        "no edge from reader to sink carries 'other'",
        file=FILE,
        weight="W",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(config_behaviour, CASES)


def test_a_handoff_in_free_text_is_only_warned_about():
    parts = Parts()
    parts.config["agent_handoffs"]["note"] = "the reader tells the sink"
    problem = next(p for p in parts.opened("strict").problems if p.rule == "C-24")
    assert problem.severity == "warning"


def test_a_limit_of_null_is_no_limit():
    parts = Parts()
    parts.config["budgets"]["max_runtime_seconds"] = None
    assert parts.opened("strict").problems == []


def test_bounded_retries_are_right():
    parts = Parts()
    errors(llm_call={"mode": "retry", "max_attempts": 3})(parts)
    assert parts.opened("strict").problems == []
