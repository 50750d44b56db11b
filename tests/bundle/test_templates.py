"""Agents completed from their templates."""

import pytest

from mnedge.bundle.templates import (
    BUILT_IN,
    TemplateProblemError,
    is_pinned,
    is_rendered,
    liveness_settings,
    rendered,
    same_version,
    with_liveness,
)
from mnedge.model.states import AgentKind


def agent(uses, with_=None, **more):
    return {"node_id": "a", "uses": uses, "with": with_ or {}, **more}


def test_an_agent_without_a_template_is_rendered():
    plain = {"node_id": "a", "agent_type": "router"}
    assert rendered(plain) is plain


def test_with_is_never_merged_into_a_config_that_is_there():
    full = agent(
        "mn-agents.control_join@1.0.0",
        {"complete_on_message": True},
        agent_type="aggregator",
        config={"complete_after": 100},
    )
    assert is_rendered(full)
    assert rendered(full)["config"] == {"complete_after": 100}


def test_a_python_executor_gets_its_defaults():
    made = rendered(
        agent("mn-agents.data_python_executor@1.0.0", {"script": "run.py", "upload_path": "loop"})
    )
    assert (made["agent_type"], made["type"]) == ("executor", "generic")
    config = made["config"]
    assert config["command"] == ["python3", "run.py"]
    assert (config["upload_path"], config["upload_as"]) == ("loop", "loop")
    assert config["workdir"] == "/sandbox/job/loop"
    assert config["runner_module"] == "MirrorNeuron.Runner.HostLocal"
    assert config["agent_beacon_required"] is True
    assert config["beacon_timeout_ms"] == 45000
    assert "script" not in config
    assert "workdir_template" not in config


def test_what_the_agent_says_itself_wins():
    made = rendered(
        agent(
            "mn-agents.data_python_executor@1",
            {"script": "run.py", "upload_path": "loop", "pool": "big", "node_type": "map"},
            config={"pool": "small", "command": ["bash", "x.sh"], "beacon_enabled": False},
            role="mine",
        )
    )
    assert made["type"] == "map"
    assert made["role"] == "mine"
    assert made["config"]["pool"] == "small"
    assert made["config"]["command"] == ["bash", "x.sh"]
    assert made["config"]["beacon_enabled"] is False


def test_a_command_waives_the_script():
    assert rendered(
        agent("mn-agents.data_python_executor@1", {"upload_path": "x", "command": ["a"]})
    )["config"]["command"] == ["a"]


def test_a_stereotype_lies_below_with():
    sink = agent(
        "mn-agents.control.terminal_sink@1",
        {"stereotype": ["terminal_report_sink", "unknown"], "complete_run": False},
    )
    config = rendered(sink)["config"]
    assert config["complete_on_message"] is True
    assert config["complete_run"] is False
    assert rendered(sink)["role"] == "result_sink"


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_built_in_template_renders_an_agent_of_a_known_kind(name):
    template = BUILT_IN[name]
    given = dict.fromkeys((*template.required, *template.unless_command), "x")
    made = rendered(agent(f"mn-agents.{name}@1.0.0", given))
    assert AgentKind(made["agent_type"])
    assert made["type"] in ("generic", "map", "reduce", "stream", "batch")


@pytest.mark.parametrize(
    "uses, rule",
    [
        ("mn-agents.control_router", "T-01"),
        ("mn-agents.control_router@latest", "T-01"),
        ("@1", "T-01"),
        (None, "T-01"),
        ({}, "T-01"),
        ("mn-agents.control_router@2.0.0", "T-02"),
        ("mn-agents.wizard@1", "T-02"),
        ("mn-agents.data_module@1", "T-03"),
    ],
)
def test_what_cannot_be_rendered_names_its_rule(uses, rule):
    with pytest.raises(TemplateProblemError) as caught:
        rendered(agent(uses))
    assert caught.value.rule == rule


@pytest.mark.parametrize("with_", [None, [], "x", {"stereotype": {}}, {"stereotype": [3, None]}])
def test_an_odd_with_is_an_empty_one(with_):
    assert rendered({"uses": "mn-agents.control_router@1", "with": with_})["agent_type"] == "router"


@pytest.mark.parametrize(
    "uses, pinned", [("a@1", True), ("a@b@1", True), ("a@", False), (5, False)]
)
def test_a_reference_is_pinned_by_its_version(uses, pinned):
    assert is_pinned(uses) is pinned


@pytest.mark.parametrize(
    "one, other, same",
    [
        ("1", "1.0.0", True),
        ("v1", "1.0", True),
        ("1.2", "1.2.0", True),
        ("1", "2", False),
        ("10", "1", False),
        ("", "0", False),
    ],
)
def test_versions_are_one_whatever_zeros_they_end_in(one, other, same):
    assert same_version(one, other) is same


@pytest.mark.parametrize(
    "control, settings",
    [
        (
            {"liveness": {"interval_ms": 5, "timeout_ms": "9"}},
            {"beacon_interval_ms": 5, "beacon_timeout_ms": "9"},
        ),
        ({"liveness": {"required": False}}, {"agent_beacon_required": False}),
        ({"liveness": {"required": "yes", "interval_ms": 0}}, {}),
        ({"enabled": False, "liveness": {"interval_ms": 5}}, {}),
        ({}, {}),
    ],
)
def test_liveness_is_written_as_an_executor_has_it(control, settings):
    assert liveness_settings(control) == settings


def test_liveness_fills_only_what_is_absent():
    executor = {"node_id": "a", "config": {"beacon_interval_ms": 1}}
    made = with_liveness(executor, {"beacon_interval_ms": 5, "beacon_timeout_ms": 9})
    assert made["config"] == {
        "beacon_interval_ms": 1,
        "beacon_enabled": True,
        "beacon_timeout_ms": 9,
    }
    assert executor["config"] == {"beacon_interval_ms": 1}


def test_who_switched_beacons_off_is_not_waited_for():
    silent = {"node_id": "a", "config": {"beacon_enabled": False}}
    assert with_liveness(silent, {"beacon_timeout_ms": 9}) == silent
    host = agent(
        "mn-agents.worker.python_host@1",
        {"command": ["x"], "upload_path": "x", "beacon_enabled": False},
    )
    assert not {"beacon_timeout_ms", "agent_beacon_required"} & set(rendered(host)["config"])


def test_only_executors_take_the_timeout_of_their_step():
    control = {"timeout_seconds": 7}
    host = agent("mn-agents.worker.python_host@1", {"command": ["x"], "upload_path": "x"})
    assert rendered(host, control=control)["config"]["timeout_seconds"] == 7
    router = agent("mn-agents.control_router@1")
    assert "timeout_seconds" not in rendered(router, control=control)["config"]
    for odd in (0, -1, None, "x"):
        made = rendered(host, control={"timeout_seconds": odd})
        assert "timeout_seconds" not in made["config"]
