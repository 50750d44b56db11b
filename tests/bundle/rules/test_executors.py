"""Executors that cannot work."""

import pytest

from mnedge.bundle.rules import executors
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check, setting


def without(key):
    return lambda p: p.settings("reader").pop(key)


def code_generator(p: Parts):
    p.agent("reader")["uses"] = "mn-agents.data_sandboxed_codegen@1.0.0"


AT = "nodes[1].config"

CASES = [
    Case("N-07", without("command"), f"{AT}.command", "reader requires a command", weight="E/s"),
    Case("N-09", setting(python_environment=[]), f"{AT}.python_environment", "must be an object"),
    Case(
        "N-09",
        setting(python_environment={"requirements": "../r.txt"}),
        f"{AT}.python_environment.requirements",
        "contains `..`",
    ),
    Case(
        "N-09",
        setting(python_environment={"requirements": "gone.txt"}),
        f"{AT}.python_environment.requirements",
        "not in payloads/",
    ),
    Case(
        "N-09",
        setting(python_environment={"packages": ["numpy", 3]}),
        f"{AT}.python_environment.packages",
        "list of texts",
    ),
    Case(
        "N-09",
        setting(python_environment={}, runner_module="MirrorNeuron.Runner.DockerWorker"),
        f"{AT}.python_environment",
        "needs the HostLocal runner",
        "MirrorNeuron.Runner.HostLocal",
    ),
    Case("N-10", setting(environment=["A=1"]), f"{AT}.environment", "must be an object"),
    Case("N-10", setting(environment={"A": {"b": 1}}), f"{AT}.environment.A", "must be a text, a"),
    Case("N-10", setting(environment={"A=B": "1"}), f"{AT}.environment.A=B", "no process can have"),
    Case("N-10", setting(environment={"A": "x\0y"}), f"{AT}.environment.A", "NUL"),
    Case("N-10", setting(pass_env="HOME"), f"{AT}.pass_env", "list of names"),
    Case("N-11", setting(timeout_seconds=-1), f"{AT}.timeout_seconds", "at least 0", "a number"),
    Case("N-11", setting(max_attempts="three"), f"{AT}.max_attempts", "at least 0"),
    Case("N-11", setting(pool_slots=True), f"{AT}.pool_slots", "at least 0"),
    Case(
        "N-11",
        lambda p: p.settings("sink").update(complete_after=0),
        "nodes[2].config.complete_after",
        "at least 1",
    ),
    Case(
        "N-18",
        lambda p: p.settings("reader").pop("beacon_enabled"),
        "agents.nodes[1].config",
        "reader does not say beacon_enabled",
        ["beacon_enabled"],
        weight="W",
        form="as_workflow",
    ),
    Case(
        "N-18",
        lambda p: p.step("check").pop("control"),
        "agents.nodes[2].config",
        "checker does not say timeout_seconds, max_attempts",
        weight="W",
        form="as_workflow",
        also=("W-15",),
    ),
    Case("N-12", without("runner_module"), f"{AT}.runner_module", "HostLocal is used", weight="W"),
    Case("N-14", without("workdir"), AT, "does not say workdir", ["workdir"], weight="W"),
    Case(
        "N-16",
        setting(command=["python3.987", "x.py"]),
        f"{AT}.command[0]",
        "not installed",
        weight="W",
    ),
    Case(
        "N-17",
        code_generator,
        f"{AT}.runner_module",
        "generated code without a sandbox",
        weight="W",
    ),
    Case(
        "N-19",
        setting(side_effect="external_write"),
        f"{AT}.side_effect",
        "no idempotency marker",
        weight="W",
    ),
    Case("N-41", setting(command={"run": "x"}), f"{AT}.command", "a text or a list of texts"),
    Case("N-41", setting(command=["python3", ["x"]]), f"{AT}.command", "a text or a list of texts"),
    Case("N-41", setting(upload_paths="reader"), f"{AT}.upload_paths", "objects with a source"),
    Case("N-41", setting(uploads=[{"target": "x"}]), f"{AT}.uploads", "objects with a source"),
    Case("N-42", setting(output_message_type=5), f"{AT}.output_message_type", "must be a text"),
    Case(
        "N-42",
        lambda p: p.settings("intake").update(emit_type=["a"]),
        "nodes[0].config.emit_type",
        "must be a text",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(executors, CASES)


@pytest.mark.parametrize("runner", ["DockerWorker", "OpenShell"])
def test_a_container_brings_its_own_command(runner):
    parts = Parts()
    parts.settings("reader")["runner_module"] = f"MirrorNeuron.Runner.{runner}"
    del parts.settings("reader")["command"]
    assert "N-07" not in {p.rule for p in parts.opened("strict").problems}


def test_numbers_may_be_written_as_texts():
    parts = Parts()
    parts.settings("reader").update(timeout_seconds="30", retry_backoff_ms="500")
    assert parts.opened("strict").problems == []


def test_a_message_type_may_be_null():
    parts = Parts()
    parts.settings("reader")["output_message_type"] = None
    assert parts.opened("strict").problems == []


def test_requirements_that_are_there_are_right():
    parts = Parts()
    parts.files["payloads/reader/requirements.txt"] = b"numpy"
    parts.settings("reader")["python_environment"] = {
        "requirements": "reader/requirements.txt",
        "packages": ["numpy>=2"],
    }
    assert parts.opened("strict").problems == []
