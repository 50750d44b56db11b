"""Restart policies: defaults by kind of job, overrides, delays, the sliding window."""

import pytest

from mnedge.engine.restart_policy import RestartPolicy, recent, restart_policy
from tests.engine.jobs import agent, spec_of


def policy(job=None, own=None, **more) -> RestartPolicy:
    one = agent("a")
    if own is not None:
        one = type(one)(agent_id="a", kind=one.kind, policies={"restart": own})
    policies = {} if job is None else {"restart": job}
    return restart_policy(spec_of([one], policies=policies | more.pop("policies", {}), **more), one)


@pytest.mark.parametrize(
    "job_type,mode,attempts,interval_ms,recovery",
    [
        ("batch", "fail", 3, 86_400_000, "local_restart"),
        ("sysbatch", "fail", 3, 86_400_000, "local_restart"),
        ("service", "delay", 3, 600_000, "local_restart"),
        ("system", "delay", 3, 600_000, "auto"),
        ("service", "fail", 3, 600_000, "cluster_recover"),
        ("batch", "fail", 0, 86_400_000, "manual_recover"),
    ],
)
def test_defaults(job_type, mode, attempts, interval_ms, recovery):
    found = policy(job_type=job_type, policies={"recovery_mode": recovery})
    assert (found.mode, found.attempts, found.interval_ms) == (mode, attempts, interval_ms)
    assert (found.delay_ms, found.max_delay_ms) == (1000, 30_000)
    assert found.delay_function == "exponential"
    assert found.enabled is (attempts > 0)
    assert not found.declared


def test_the_agents_fields_come_before_the_jobs():
    found = policy(job={"attempts": 2, "delay_ms": 100}, own={"attempts": 5, "mode": "delay"})
    assert (found.attempts, found.delay_ms, found.mode) == (5, 100, "delay")
    assert found.declared


def test_the_old_policy_counts_only_without_the_new():
    assert policy(policies={"max_agent_restart_attempts": 7}).attempts == 7
    assert policy({"attempts": 2}, policies={"max_agent_restart_attempts": 7}).attempts == 2
    assert not policy(policies={"max_agent_restart_attempts": 7}).declared


@pytest.mark.parametrize("odd", [-1, "2", True, None, 1.5, [], {}])
def test_odd_values_give_the_defaults(odd):
    found = policy(dict.fromkeys(["attempts", "interval_ms", "delay_ms", "max_delay_ms"], odd))
    assert found == policy({"mode": "fail"})


def test_a_policy_may_be_switched_off():
    assert not policy({"enabled": False}).enabled
    assert not policy({"attempts": 0}).enabled


@pytest.mark.parametrize(
    "function,delays",
    [
        ("constant", [100, 100, 100, 100, 100]),
        ("exponential", [100, 200, 400, 800, 1000]),
        ("fibonacci", [100, 100, 200, 300, 500]),
        ("unheard of", [100, 200, 400, 800, 1000]),
    ],
)
def test_delays(function, delays):
    found = policy({"delay_function": function, "delay_ms": 100, "max_delay_ms": 1000})
    assert [found.delay_before(n) for n in range(1, 6)] == delays
    assert found.delay_before(10**6) <= 1000


def test_only_restarts_within_the_interval_count():
    assert recent([0.0, 5.0, 9.5], now=10.0, interval_ms=5000) == [9.5]
    assert recent([], now=10.0, interval_ms=5000) == []


def test_a_policy_is_shown_as_the_manifest_writes_it():
    assert policy({"attempts": 2}).shown() == {
        "enabled": True,
        "attempts": 2,
        "interval_ms": 86_400_000,
        "delay_ms": 1000,
        "delay_function": "exponential",
        "max_delay_ms": 30_000,
        "mode": "fail",
    }
