"""Rules about single steps: when they start, how often they are tried, what their failure means."""

from collections.abc import Iterator
from typing import Any

from mnedge.bundle.layout import Placed, source_of
from mnedge.bundle.lower import job_type_of
from mnedge.bundle.problem import At
from mnedge.bundle.rules.registry import ERROR, STRICT, WARNING, Found, rule
from mnedge.bundle.steps import agent_ids_of
from mnedge.bundle.subject import (
    JsonObject,
    Subject,
    as_number,
    is_count,
    is_number,
    is_text,
    listing,
    mapping,
)
from mnedge.bundle.triggers import (
    POLICY_NAMES,
    policy_named,
)
from mnedge.bundle.workflow import placed_templates
from mnedge.model.states import FailurePolicy


def definitions(subject: Subject) -> list[Placed]:
    """Return the steps and the templates of steps, with their places."""
    return [*subject.steps, *placed_templates(subject.graph)]


@rule(
    "W-13",
    WARNING,
    "BCS",
    "workflow.failure_policy",
    "unknown failure_policy; it is read as fail_workflow",
    help=f"use one of {', '.join(policy.value for policy in FailurePolicy)}",
)
def failure_policies_are_known(subject: Subject) -> Iterator[Found]:
    """Yield each failure policy that nobody knows."""
    for at, step in definitions(subject):
        policy = mapping(step.get("control")).get("failure_policy")
        if policy is not None and policy_named(policy) is None:
            yield Found(at=(*at, "control", "failure_policy"), expected=POLICY_NAMES, actual=policy)


@rule(
    "W-14",
    ERROR,
    "BCS",
    "workflow.control",
    "a step's control is malformed",
    help='write {"timeout_seconds": 60, "retry": {"max_attempts": 2, "backoff_seconds": 1}}',
)
def controls_hold_numbers(subject: Subject) -> Iterator[Found]:
    """Yield each number of a step's control that it cannot be."""
    for at, step in definitions(subject):
        control = step.get("control")
        if control is None:
            continue
        if not isinstance(control, dict):
            yield Found(at=(*at, "control"), message="control must be an object", actual=control)
            continue
        retry = control.get("retry")
        if retry is not None and not isinstance(retry, dict):
            yield Found(at=(*at, "control", "retry"), message="retry must be an object")
        for key, reason, expected, weight in _wrong_numbers(control):
            place: At = (*at, "control", *key)
            yield Found(
                at=place,
                message=f"{'.'.join(key)} of step {step['id']} {reason}",
                expected=expected,
                actual=_at(control, key),
                severity=weight,
            )


def _wrong_numbers(control: JsonObject) -> Iterator[tuple[tuple[str, ...], str, str, str]]:
    timeout = control.get("timeout_seconds")
    if timeout is not None and not (is_number(timeout) and timeout > 0):
        weight = STRICT if is_number(timeout) and timeout == 0 else ERROR
        yield ("timeout_seconds",), "must be above 0", "a number of seconds", weight
    for key in (("retry", "max_attempts"), ("max_attempts",)):
        attempts = _at(control, key)
        if attempts is not None and not is_count(attempts, 1):
            yield key, "must be a whole number of at least 1", "a number of attempts", ERROR
    for key in (("retry", "backoff_seconds"), ("retry_backoff_ms",)):
        delay = _at(control, key)
        if delay is not None and not (is_number(delay) and delay >= 0):
            yield key, "must be at least 0", "a number", ERROR
    for key in (("retry", "backoff_multiplier"), ("beacon_timeout_ms",)):
        factor = _at(control, key)
        if factor is not None and not (is_number(factor) and factor > 0):
            yield key, "must be above 0", "a number", ERROR
    required = control.get("required")
    if required is not None and not isinstance(required, bool):
        yield ("required",), "must be a boolean", "true or false", ERROR
    least = _at(control, ("uncertainty", "min_confidence"))
    if least is not None and not (is_number(least) and 0 <= least <= 1):
        yield ("uncertainty", "min_confidence"), "must be from 0 to 1", "a number", ERROR


def _at(control: JsonObject, key: tuple[str, ...]) -> Any:
    holder: Any = control
    for name in key:
        holder = mapping(holder).get(name)
    return holder


@rule(
    "W-15",
    STRICT,
    "BCS",
    "workflow.unbounded",
    "bounded control policy required",
    help='add "control": {"timeout_seconds", "retry": {"max_attempts", "backoff_seconds"},'
    ' "failure_policy"}',
)
def steps_are_bounded(subject: Subject) -> Iterator[Found]:
    """Yield each step that leaves open how long, how often or what then."""
    open_ended = source_of(subject.graph) if job_type_of(subject.graph) == "service" else None
    for at, step in subject.steps:
        control = mapping(step.get("control"))
        retry = mapping(control.get("retry"))
        said = {
            "timeout_seconds": (as_number(control.get("timeout_seconds")) or 0) > 0
            or step["id"] == open_ended,
            "retry.max_attempts": retry.get("max_attempts") is not None
            or control.get("max_attempts") is not None,
            "retry.backoff_seconds": retry.get("backoff_seconds") is not None
            or control.get("retry_backoff_ms") is not None,
            "failure_policy": is_text(control.get("failure_policy")),
        }
        missing = [name for name, there in said.items() if not there]
        if missing:
            yield Found(
                at=(*at, "control"),
                message=f"step {step['id']} does not say {', '.join(missing)}",
                expected=missing,
            )


@rule(
    "W-29",
    WARNING,
    "BCS",
    "workflow.emits",
    "a step says that it emits a type which no edge of its agents carries",
    help="add an agent edge with this message_type, or correct emits",
)
def emitted_types_are_carried(subject: Subject) -> Iterator[Found]:
    """Yield each emitted type without an edge."""
    carried: dict[str, set[str]] = {}
    for _, edge in subject.edges:
        if is_text(edge.get("from_node")) and is_text(edge.get("message_type")):
            carried.setdefault(edge["from_node"], set()).add(edge["message_type"])
    for at, step in subject.steps:
        names = [*agent_ids_of(step, subject.agent_ids), step.get("end_agent_id")]
        ours = [name for name in names if is_text(name) and name in subject.agent_ids]
        types = set().union(*(carried.get(name, set()) for name in ours))
        emits = step.get("emits")
        for kind in [emits] if isinstance(emits, str) else listing(emits):
            if ours and is_text(kind) and kind not in types and "*" not in types:
                yield Found(
                    at=(*at, "emits"),
                    message=f"step {step['id']} emits {kind!r}, but no edge of its agents"
                    " carries it"[:300],
                    actual=kind,
                )


@rule(
    "W-34",
    WARNING,
    "BCS",
    "workflow.budget",
    "a step may take longer than the whole run",
    help="lower its timeout_seconds, or raise budgets.max_runtime_seconds",
)
def timeouts_fit_the_budget(subject: Subject) -> Iterator[Found]:
    """Yield each step whose timeout exceeds the budget of the run."""
    budget = subject.section("budgets").get("max_runtime_seconds")
    if not is_number(budget) or budget <= 0:
        return
    for at, step in subject.steps:
        timeout = mapping(step.get("control")).get("timeout_seconds")
        if is_number(timeout) and timeout > budget:
            yield Found(
                at=(*at, "control", "timeout_seconds"),
                message=f"step {step['id']} may take {timeout} s, the run {budget} s",
                expected=budget,
                actual=timeout,
            )


@rule(
    "W-32",
    WARNING,
    "BCS",
    "workflow.beacons",
    "beacons are too rare, or waited for too long",
    help="make beacon_interval_ms less than beacon_timeout_ms, and that less than the timeout",
)
def beacons_come_in_time(subject: Subject) -> Iterator[Found]:
    """Yield intervals that reach their timeout, and beacon timeouts beyond the step's."""
    for agent in subject.agents:
        interval = as_number(agent.config.get("beacon_interval_ms"))
        timeout = as_number(agent.config.get("beacon_timeout_ms"))
        if interval and timeout and interval >= timeout:
            yield Found(
                at=(*agent.at, "config", "beacon_interval_ms"),
                message=f"{agent.label} sends a beacon every {interval:.0f} ms, and is given up"
                f" after {timeout:.0f} ms",
                actual=interval,
            )
    for at, step in subject.steps:
        control = mapping(step.get("control"))
        beacon = as_number(control.get("beacon_timeout_ms"))
        limit = as_number(control.get("timeout_seconds"))
        if beacon and limit and beacon > limit * 1000:
            yield Found(
                at=(*at, "control", "beacon_timeout_ms"),
                message=f"step {step['id']} waits {beacon:.0f} ms for a beacon, but only"
                f" {limit:.0f} s altogether",
                actual=beacon,
            )
