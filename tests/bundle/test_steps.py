"""One step, of several places that may say a thing the first that does."""

import pytest

from mnedge.bundle.steps import MOST_S, Surroundings, agent_ids_of, agent_of, step_of
from mnedge.bundle.subject import AgentEntry
from mnedge.model.manifest import Step
from mnedge.model.states import FailurePolicy, TriggerRule


def entry(name, **config):
    raw = {"node_id": name, "agent_type": "executor", "config": config}
    return AgentEntry(index=0, at=(), raw=raw, rendered=raw)


def lowered(control=None, config=None, unbounded=None, repaired=None, **more):
    agents = {"a": entry("a", **(config or {})), "b": entry("b", timeout_seconds=7)}
    around = Surroundings(agents=agents, unbounded=unbounded)
    return step_of({"id": "a", "control": control or {}, **more}, around, repaired)


def test_a_step_that_says_nothing_has_the_defaults():
    assert lowered() == Step(
        step_id="a",
        label="a",
        run="a",
        agent_id="a",
        agent_ids=["a"],
        beacon_timeout_ms=300_000,
    )


def test_a_step_keeps_what_it_says():
    step = lowered(
        {
            "required": False,
            "timeout_seconds": 20,
            "retry": {"max_attempts": 3, "backoff_seconds": 0.5, "backoff_multiplier": 4},
            "failure_policy": "partial",
            "uncertainty": {"min_confidence": 0.7, "on_low_confidence": "human_review"},
        },
        label="A step",
        kind="sink",
        run="b",
        trigger_rule="all_done",
    )
    assert step == Step(
        step_id="a",
        label="A step",
        run="b",
        kind="sink",
        agent_id="b",
        agent_ids=["b"],
        required=False,
        failure_policy=FailurePolicy.CONTINUE_PARTIAL,
        rule=TriggerRule.ALL_DONE,
        max_attempts=3,
        retry_backoff_ms=500,
        retry_backoff_multiplier=4,
        timeout_s=20,
        beacon_timeout_ms=20_000,
        min_confidence=0.7,
        on_low_confidence="human_review",
    )
    assert step.optional


@pytest.mark.parametrize(
    "raw, agent, ids",
    [
        ({"id": "a"}, "a", ["a"]),
        ({"id": "x", "run": "b"}, "b", ["b"]),
        ({"id": "a", "run": "b"}, "b", ["b"]),
        ({"id": "a", "run": "gone"}, "a", ["a"]),
        ({"id": "x", "agent_id": "a", "run": "b"}, "a", ["a"]),
        ({"id": "x", "agent_id": "gone"}, None, ["gone"]),
        ({"id": "x", "run": "gone"}, None, ["gone"]),
        ({"id": "x"}, None, ["x"]),
        ({"id": "a", "agent_ids": ["b", "", 3, "a", "b"]}, "a", ["b", "a"]),
        ({"id": "a", "agent_ids": []}, "a", ["a"]),
    ],
)
def test_an_agent_is_looked_up_under_three_names(raw, agent, ids):
    agents = {"a": entry("a"), "b": entry("b")}
    found = agent_of(raw, agents)
    assert (found.agent_id if found else None) == agent
    assert agent_ids_of(raw, agents) == ids


@pytest.mark.parametrize(
    "control, config, timeout_s",
    [
        ({"timeout_seconds": 5}, {"timeout_seconds": 9}, 5),
        ({"timeout_seconds": None}, {"timeout_seconds": 9}, 9),
        ({}, {"timeout_seconds": "9"}, 9),
        ({"timeout_seconds": 0}, {"timeout_seconds": 9}, 300),
        ({"timeout_seconds": "x"}, {}, 300),
        ({}, {}, 300),
        ({"timeout_seconds": 1e300}, {}, MOST_S),
    ],
)
def test_the_timeout_is_the_steps_then_the_agents(control, config, timeout_s):
    assert lowered(control, config).timeout_s == timeout_s


def test_where_a_service_starts_is_unbounded_if_nothing_bounds_it():
    step = lowered(unbounded="a")
    assert (step.timeout_s, step.beacon_timeout_ms) == (None, None)
    assert lowered(config={"timeout_seconds": 9}, unbounded="a").timeout_s == 9
    assert lowered({"beacon_timeout_ms": 50}, unbounded="a").beacon_timeout_ms == 50
    assert lowered(unbounded="b").timeout_s == 300


@pytest.mark.parametrize(
    "control, config, most",
    [
        ({"retry": {"max_attempts": 2}, "max_attempts": 3}, {"max_attempts": 4}, 2),
        ({"max_attempts": 3}, {"max_attempts": 4}, 3),
        ({}, {"max_attempts": 4}, 4),
        ({"retry": {"max_attempts": 0}}, {}, 1),
        ({"retry": []}, {}, 1),
        ({"max_attempts": 1e300}, {}, 1_000_000),
    ],
)
def test_attempts_are_counted_by_the_first_that_counts(control, config, most):
    assert lowered(control, config).max_attempts == most


@pytest.mark.parametrize(
    "control, config, backoff_ms",
    [
        ({"retry_backoff_ms": 5, "retry": {"backoff_seconds": 9}}, {"retry_backoff_ms": 7}, 5),
        ({"retry": {"backoff_seconds": 9}}, {"retry_backoff_ms": "7"}, 7),
        ({"retry": {"backoff_seconds": 9}}, {}, 9000),
        ({"retry": {"backoff_seconds": 0}}, {}, 0),
        ({"retry_backoff_ms": 0}, {}, 0),
        ({"retry": {"backoff_seconds": -1}}, {}, 1000),
        ({}, {}, 1000),
    ],
)
def test_an_absent_backoff_is_a_second_and_an_explicit_zero_is_none(control, config, backoff_ms):
    assert lowered(control, config).retry_backoff_ms == backoff_ms


@pytest.mark.parametrize(
    "control, config, beacon_ms",
    [
        ({"beacon_timeout_ms": 5}, {"beacon_timeout_ms": 7}, 5),
        ({}, {"beacon_timeout_ms": 7}, 7),
        ({}, {"beacon_timeout_ms": 7, "runner_module": "MirrorNeuron.Runner.DockerWorker"}, 2000),
        ({}, {"beacon_timeout_ms": 7, "runner_module": "MirrorNeuron.Runner.OpenShell"}, 2000),
        ({}, {}, 2000),
    ],
)
def test_silence_is_bounded_by_the_step_the_agent_or_the_timeout(control, config, beacon_ms):
    assert lowered({"timeout_seconds": 2, **control}, config).beacon_timeout_ms == beacon_ms


def test_a_repaired_step_is_done_by_the_agent_that_was_found():
    step = lowered(repaired="b", run="gone")
    assert (step.agent_id, step.agent_ids, step.run, step.timeout_s) == ("b", ["b"], "gone", 7)


def test_a_multiplier_that_is_none_is_two():
    assert lowered({"retry": {"backoff_multiplier": 0}}).retry_backoff_multiplier == 2
    assert lowered({"retry": {"backoff_multiplier": 1.5}}).retry_backoff_multiplier == 1.5
