"""What an agent is."""

import pytest

from mnedge.bundle.kinds import in_container, is_on_host, is_sink, kind_of, template_of
from mnedge.model.states import AgentKind


@pytest.mark.parametrize(
    "name, kind",
    [
        ("router", AgentKind.ROUTER),
        ("relay", AgentKind.ROUTER),
        ("sandbox_worker", AgentKind.EXECUTOR),
        ("collector", AgentKind.AGGREGATOR),
        ("wizard", None),
        (None, None),
        ({}, None),
    ],
)
def test_an_agent_type_has_one_kind(name, kind):
    assert kind_of({"agent_type": name}) is kind


@pytest.mark.parametrize(
    "name, template",
    [("map", "map"), ("accumulator", "reduce"), ("", "generic"), (None, "generic"), (5, "generic")],
)
def test_a_template_type_has_one_name(name, template):
    assert template_of({"type": name}) == template


def executor(**config):
    return {"agent_type": "executor", "config": config}


@pytest.mark.parametrize(
    "runner, contained",
    [
        ("MirrorNeuron.Runner.DockerWorker", True),
        ("MirrorNeuron.Runner.OpenShell", True),
        ("MirrorNeuron.Sandbox.OpenShell", True),
        ("MirrorNeuron.Runner.HostLocal", False),
        (None, False),
        (["docker"], False),
    ],
)
def test_only_executors_outside_containers_are_on_the_host(runner, contained):
    assert in_container(executor(runner_module=runner)) is contained
    assert is_on_host(executor(runner_module=runner)) is not contained
    assert not is_on_host({"agent_type": "module", "config": {}})


def test_a_sink_says_both_words():
    assert is_sink({"config": {"terminal_sink": True, "complete_run": True}})
    assert not is_sink({"config": {"terminal_sink": True}})
    assert not is_sink({"config": {"complete_run": True}})
    assert not is_sink({"config": []})
