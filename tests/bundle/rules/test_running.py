"""Bundles that are right, but cannot run here."""

import pytest

from mnedge.bundle.rules import running
from tests.bundle.making import Case, Parts, assert_every_rule_has_a_case, check


def runner(name):
    return lambda p: p.settings("reader").update(runner_module=f"MirrorNeuron.Runner.{name}")


def module(name):
    return lambda p: p.agent("reader").update(
        agent_type="module", config={"module": name, "output_message_type": "reading"}
    )


def generated(p: Parts):
    p.manifest["metadata"].update(
        python_source_mode=True, python_workflow={"module": "flow", "class": "Flow"}
    )


CASES = [
    Case(
        "X-01",
        module("MirrorNeuron.Examples.Tick"),
        "nodes[1].config.module",
        "module MirrorNeuron.Examples.Tick of agent 'reader'",
        "python:package.module:Class",
        weight="W",
    ),
    Case(
        "X-01",
        runner("DockerWorker"),
        "nodes[1].config.runner_module",
        "runners.docker.fallback allows no other",
        weight="W",
    ),
    Case(
        "X-01",
        runner("OpenShell"),
        "nodes[1].config.runner_module",
        "it runs without a sandbox on the host",
        weight="W",
    ),
    Case(
        "X-01",
        runner("Mainframe"),
        "nodes[1].config.runner_module",
        "is not installed here",
        weight="W",
    ),
    Case(
        "X-01",
        lambda p: p.settings("reader").update(command=["no-such-program-1"]),
        "nodes[1].config.command[0]",
        "no-such-program-1, which agent 'reader' starts",
        weight="W",
    ),
    Case(
        "X-01",
        lambda p: p.settings("reader").update(command=""),
        "nodes[1].config.command",
        "has no command to run",
        weight="W",
        also=("N-07",),
    ),
    Case(
        "X-01",
        generated,
        "metadata.python_source_mode",
        "generated from Python source (flow)",
        weight="W",
    ),
    Case(
        "X-01",
        lambda p: p.manifest["nodes"].append({"node_id": "api", "agent_type": "service"}),
        "nodes[3].agent_type",
        "is a service agent",
        weight="W",
    ),
    Case(
        "X-03",
        lambda p: p.manifest["policies"].update(recovery_mode="cluster_recover"),
        "policies.recovery_mode",
        "means local_restart",
        weight="W",
    ),
    Case(
        "X-03",
        lambda p: p.manifest["policies"].update(job_type="system"),
        "policies",
        "job type system",
        weight="W",
    ),
    Case(
        "X-04",
        lambda p: p.manifest.update(
            skill_dependencies=[{"source": "gar", "name": "gauge", "version": "1"}]
        ),
        "skill_dependencies[0]",
        "dependency gauge is not in payloads/",
        weight="W",
    ),
    Case(
        "X-05",
        lambda p: p.manifest["input_validation"].update(
            rules=[{"type": "command", "command": "true"}]
        ),
        "input_validation.rules[0]",
        "not run by this version",
        weight="W",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_broken_bundle_is_told_exactly(case: Case):
    check(case)


def test_every_rule_is_broken_by_some_case():
    assert_every_rule_has_a_case(running, CASES)


class Runner:
    def __init__(self, reason=None):
        self.reason = reason

    def available(self):
        return self.reason


def told(parts, runners, **more):
    subject = parts.opened().subject
    found = running.unrunnable(subject, subject.config, runners, **more)
    return [(one.severity or "X", one.message) for one in found]


def test_a_runner_that_is_there_is_taken():
    parts = Parts()
    runner("DockerWorker")(parts)
    assert told(parts, {"MirrorNeuron.Runner.DockerWorker": Runner()}) == []


def test_a_runner_that_is_not_available_says_why():
    parts = Parts()
    runners = {"MirrorNeuron.Runner.HostLocal": Runner("no /bin/sh")}
    assert "not available: no /bin/sh" in told(parts, runners)[0][1]


def test_openshell_falls_back_with_a_warning_unless_it_may_not():
    parts = Parts()
    runner("OpenShell")(parts)
    here = running.ALWAYS_HERE
    assert [weight for weight, _ in told(parts, here)] == ["W"]
    assert [weight for weight, _ in told(parts, here, openshell_fallback=False)] == ["X"]
    parts.config["runners"] = {"openshell": {"fallback": False}}
    assert [weight for weight, _ in told(parts, here)] == ["X"]


def test_what_declares_a_sandbox_level_never_falls_back():
    parts = Parts()
    runner("OpenShell")(parts)
    parts.settings("reader")["sandbox"] = {"min_level": "ns"}
    assert "sandbox.min_level allows no other" in told(parts, running.ALWAYS_HERE)[0][1]


def test_an_executor_without_a_runner_falls_back_in_silence():
    parts = Parts()
    del parts.settings("reader")["runner_module"]
    assert told(parts, running.ALWAYS_HERE) == []


@pytest.mark.parametrize(
    "name, runs",
    [
        ("python:pkg.mod:Class", True),
        ("python:mod:Class", True),
        ("pkg.mod:Class", False),
        ("python:mod", False),
        ("python:../mod:Class", False),
    ],
)
def test_a_python_class_can_run(name, runs):
    parts = Parts()
    module(name)(parts)
    assert (told(parts, running.ALWAYS_HERE) == []) is runs


@pytest.mark.parametrize(
    "changes",
    [
        {"command": ["python3.987", "x.py"]},
        {"command": ["./tool"]},
        {"command": "no-such-program-1 | wc"},
        {"command": ["no-such-program-1"], "environment": {"PATH": "/opt/bin"}},
        {"command": ["no-such-program-1"], "python_environment": {"packages": ["x"]}},
    ],
)
def test_a_program_that_may_yet_be_found_is_not_missed(changes):
    parts = Parts()
    parts.settings("reader").update(changes)
    assert told(parts, running.ALWAYS_HERE) == []


def test_a_dependency_with_a_copy_in_the_payloads_is_there():
    parts = Parts()
    parts.files["payloads/skills/gauge/x"] = b"."
    parts.manifest["skill_dependencies"] = [
        {"source": "payload", "name": "gauge", "version": "1", "path": "skills/gauge"}
    ]
    parts.manifest["agent_dependencies"] = [{"source": "gar", "name": "gauge", "version": "1"}]
    assert parts.opened("strict").problems == []
