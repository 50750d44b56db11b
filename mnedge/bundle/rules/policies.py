"""Rules about the policies of a job and of its agents."""

from collections.abc import Iterator
from typing import Any

from mnedge.bundle.problem import At
from mnedge.bundle.rules.registry import ERROR, Found, Wrong, each, rule
from mnedge.bundle.subject import (
    JsonObject,
    Subject,
    is_count,
    is_number,
    mapping,
)

RECOVERY_MODES = ("auto", "local_restart", "cluster_recover", "manual_recover")
JOB_TYPES = ("batch", "service", "system", "sysbatch")
_DELAYS = ("constant", "exponential", "fibonacci")


@rule(
    "R-04",
    ERROR,
    "*",
    "runtime.recovery_mode",
    "unsupported recovery_mode",
    help=f"use one of {', '.join(RECOVERY_MODES)}",
)
def recovery_mode_is_known(subject: Subject) -> Iterator[Found]:
    """Yield an unknown recovery mode."""
    mode = mapping(subject.manifest.get("policies")).get("recovery_mode")
    if mode is not None and mode not in RECOVERY_MODES:
        yield Found(
            at=("policies", "recovery_mode"),
            message=f"unsupported recovery_mode {str(mode)[:80]!r}",
            expected=list(RECOVERY_MODES),
            actual=mode,
        )


@rule(
    "R-05",
    ERROR,
    "*",
    "runtime.job_type",
    "unsupported job_type",
    help=f"use one of {', '.join(JOB_TYPES)}",
)
def job_type_is_known(subject: Subject) -> Iterator[Found]:
    """Yield an unknown job type, and a scheduler policy that is no object."""
    policies = mapping(subject.manifest.get("policies"))
    scheduler = policies.get("scheduler")
    if scheduler is not None and not isinstance(scheduler, dict):
        yield Found(
            at=("policies", "scheduler"),
            message="policies.scheduler must be an object",
            expected="an object",
            actual=scheduler,
        )
    places: tuple[tuple[At, Any], ...] = (
        (("policies", "job_type"), policies.get("job_type")),
        (("policies", "scheduler", "job_type"), mapping(scheduler).get("job_type")),
    )
    for at, kind in places:
        if kind is not None and (not isinstance(kind, str) or kind.lower() not in JOB_TYPES):
            yield Found(at=at, expected=list(JOB_TYPES), actual=kind)


@rule(
    "R-06",
    ERROR,
    "*",
    "runtime.restart",
    "a restart or reschedule policy is malformed",
    help='write {"attempts": 3, "interval_ms": 600000, "delay_ms": 1000, "mode": "fail"}',
)
def restarts_can_be_read(subject: Subject) -> Iterator[Found]:
    """Yield what is wrong with restart and reschedule policies."""
    for at, policies in _policies(subject):
        for key in ("restart", "reschedule"):
            if policies.get(key) is not None:
                policy = policies[key]
                yield from each((*at, key), _wrong_restart(policy, key), policy)
        attempts = policies.get("max_agent_restart_attempts")
        if attempts is not None and not is_count(attempts):
            yield Found(
                at=(*at, "max_agent_restart_attempts"),
                message="max_agent_restart_attempts must be a whole number of at least 0",
                expected="a whole number",
                actual=attempts,
            )


def _wrong_restart(policy: Any, key: str) -> Wrong:
    if not isinstance(policy, dict):
        yield (), "must be an object", "an object"
        return
    if "attempts" in policy and not is_count(policy["attempts"]):
        yield ("attempts",), "must be a whole number of at least 0", "a whole number"
    interval = policy.get("interval_ms", 1)
    if not is_number(interval) or interval <= 0:
        yield ("interval_ms",), "must be a number above 0", "a positive number"
    for name in ("delay_ms", "max_delay_ms"):
        value = policy.get(name, 0)
        if not is_number(value) or value < 0:
            yield (name,), "must be a number of at least 0", "a number"
    if policy.get("delay_function", "constant") not in _DELAYS:
        yield ("delay_function",), "must be a delay function", list(_DELAYS)
    if key == "restart" and policy.get("mode", "fail") not in ("fail", "delay"):
        yield ("mode",), "must be fail or delay", ["fail", "delay"]
    if not isinstance(policy.get("unlimited", False), bool):
        yield ("unlimited",), "must be a boolean", "true or false"


@rule(
    "R-07",
    ERROR,
    "*",
    "runtime.update",
    "an update policy is malformed",
    help='write {"strategy": "rolling", "max_parallel": 1}',
)
def updates_can_be_read(subject: Subject) -> Iterator[Found]:
    """Yield what is wrong with the update policy."""
    policy = mapping(subject.manifest.get("policies")).get("update")
    if policy is not None:
        yield from each(("policies", "update"), _wrong_update(policy), policy)
    deployment = subject.manifest.get("deployment")
    if deployment is not None and not isinstance(deployment, dict):
        yield Found(at=("deployment",), message="deployment must be an object", actual=deployment)


def _wrong_update(policy: Any) -> Wrong:
    if not isinstance(policy, dict):
        yield (), "must be an object", "an object"
        return
    strategies = ("rolling", "canary", "blue-green")
    if policy.get("strategy", "rolling") not in strategies:
        yield ("strategy",), "must be a strategy", list(strategies)
    for key, least in (
        ("max_parallel", 1),
        ("canary", 0),
        ("min_healthy_ms", 0),
        ("healthy_deadline_ms", 0),
        ("progress_deadline_ms", 0),
    ):
        if key in policy and not is_count(policy[key], least):
            yield (key,), f"must be a whole number of at least {least}", "a whole number"
    if policy.get("health_check", "checks") not in ("checks", "agent_states"):
        yield ("health_check",), "must be checks or agent_states", ["checks", "agent_states"]
    for key in ("auto_promote", "auto_revert"):
        if not isinstance(policy.get(key, False), bool):
            yield (key,), "must be a boolean", "true or false"


def _policies(subject: Subject) -> Iterator[tuple[At, JsonObject]]:
    """Yield the policies of the job and of each agent, with their places."""
    if isinstance(subject.manifest.get("policies"), dict):
        yield ("policies",), subject.manifest["policies"]
    for agent in subject.agents:
        if isinstance(agent.raw.get("policies"), dict):
            yield (*agent.at, "policies"), agent.raw["policies"]
