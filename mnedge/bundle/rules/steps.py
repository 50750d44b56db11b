"""Rules about single steps: when they start, how often they are tried, what their failure means."""

from collections.abc import Iterator
from typing import Any

from mnedge.bundle.layout import Placed, setting, source_of
from mnedge.bundle.lower import job_type_of
from mnedge.bundle.problem import At
from mnedge.bundle.rules.registry import ERROR, STRICT, WARNING, Found, rule
from mnedge.bundle.rules.workflow import is_dynamic, known_edges, reached, step_ids
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
    objects,
)
from mnedge.bundle.triggers import (
    POLICY_NAMES,
    RULE_NAMES,
    Trigger,
    policy_named,
    rule_named,
    trigger_of,
)
from mnedge.bundle.workflow import placed_templates
from mnedge.model.states import FailurePolicy, TriggerRule

_NEEDS_PARENTS = (
    TriggerRule.ONE_SUCCESS,
    TriggerRule.ONE_DONE,
    TriggerRule.ONE_FAILED,
    TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
    TriggerRule.QUORUM_SUCCESS,
)
_BRANCHING = ("branch", "choice", "decision")
_MOST_WAYS = 64
"""Ways of one branch that are followed; more of them tell nothing new."""


def definitions(subject: Subject) -> list[Placed]:
    """Return the steps and the templates of steps, with their places."""
    return [*subject.steps, *placed_templates(subject.graph)]


def trigger(subject: Subject, step: JsonObject) -> Trigger:
    """Return when a step starts."""
    return trigger_of(step, setting(subject.graph, "join_default")[1])


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
    "W-16",
    ERROR,
    "BCS",
    "workflow.trigger_rule",
    "invalid trigger rule",
    help=f"use one of {', '.join(name.value for name in TriggerRule)}",
)
def trigger_rules_are_known(subject: Subject) -> Iterator[Found]:
    """Yield each unknown rule, and each quorum rule without a number."""
    at, default = setting(subject.graph, "join_default")
    if default is not None and trigger_of({}, default).rule is None:
        yield Found(at=at, expected=RULE_NAMES, actual=default)
    for at, step in definitions(subject):
        found = trigger(subject, step)
        if found.rule is None and (found.key or default is None):
            yield Found(
                at=(*at, *found.key),
                message=f"step {step['id']} has an invalid trigger rule {found.named!r}"[:200],
                expected=RULE_NAMES,
                actual=found.named,
            )
        elif found.rule is TriggerRule.QUORUM_SUCCESS and found.quorum is None:
            yield Found(
                at=(*at, *(found.key or ("trigger_rule",))),
                message=f"step {step['id']} needs a positive quorum",
                expected='{"rule": "quorum_success", "quorum": 2}',
            )


@rule(
    "W-17",
    ERROR,
    "BCS",
    "workflow.quorum",
    "a trigger rule can never hold",
    help="lower the quorum, or add edges that lead to the step",
)
def trigger_rules_can_hold(subject: Subject) -> Iterator[Found]:
    """Yield each step that waits for more parents than it has."""
    parents = dict.fromkeys(step_ids(subject), 0)
    for _, _, target, _ in known_edges(subject):
        parents[target] += 1
    growing = _exits(subject)
    for at, step in subject.steps:
        found, count = trigger(subject, step), parents[step["id"]]
        if found.rule not in _NEEDS_PARENTS or step["id"] in growing:
            continue
        if count == 0:
            yield Found(
                at=(*at, *found.key),
                message=f"step {step['id']} starts by {found.rule.value}, but nothing leads to it",
                actual=found.named,
            )
        elif found.quorum is not None and found.quorum > count:
            yield Found(
                at=(*at, *found.key),
                message=f"quorum {found.quorum} of step {step['id']} exceeds its {count} upstream"
                " steps",
                expected=count,
                actual=found.quorum,
            )


def _exits(subject: Subject) -> set[str]:
    """Return the steps that may get more parents while the job runs."""
    if not is_dynamic(subject):
        return set()
    dynamic = mapping(setting(subject.graph, "dynamic")[1])
    leaves = (region.get("exit") for _, region in objects(dynamic.get("regions")))
    return {name for name in leaves if is_text(name)}


@rule(
    "W-18",
    ERROR,
    "BCS",
    "workflow.join",
    "join is malformed",
    help='write {"mode": "all_required"}, or {"mode": "min_success", "min_success": 2}',
)
def joins_are_known(subject: Subject) -> Iterator[Found]:
    """Yield each join that is no object, has an unknown mode or no usable number."""
    for at, step in definitions(subject):
        join = step.get("join")
        if join is None:
            continue
        if not isinstance(join, dict):
            yield Found(at=(*at, "join"), message="join must be an object", actual=join)
            continue
        for key in ("mode", "rule"):
            mode = join.get(key)
            named = mapping(mode).get("rule") if isinstance(mode, dict) else mode
            if mode is not None and rule_named(named) is None:
                yield Found(
                    at=(*at, "join", key),
                    message=f"join.{key} of step {step['id']} is no trigger rule",
                    expected=RULE_NAMES,
                    actual=mode,
                )
        least = join.get("min_success")
        if least is not None and not is_count(least, 1):
            yield Found(
                at=(*at, "join", "min_success"),
                message=f"join.min_success of step {step['id']} must be at least 1",
                expected="a whole number",
                actual=least,
            )


@rule(
    "W-26",
    WARNING,
    "BCS",
    "workflow.accepts_failed",
    "accepts lists failed, which all_success never takes",
    help="give the target a trigger_rule: one_failed, all_done, …",
)
def accepted_failures_have_a_rule(subject: Subject) -> Iterator[Found]:
    """Yield each edge that wants failures and leads to a step that wants success."""
    steps = {step["id"]: step for _, step in subject.steps}
    for at, _, target, edge in known_edges(subject):
        wants_success = trigger(subject, steps[target]).rule is TriggerRule.ALL_SUCCESS
        if "failed" in listing(edge.get("accepts")) and wants_success:
            yield Found(at=(*at, "accepts"), actual=edge["accepts"])


@rule(
    "W-27",
    WARNING,
    "BCS",
    "workflow.handler_unreachable",
    "a step waits for failures, but every failure before it ends the job",
    help="give the steps before it failure_policy continue_partial or skip",
)
def failures_can_be_handled(subject: Subject) -> Iterator[Found]:
    """Yield each handler of failures whose parents all fail the whole job."""
    steps = {step["id"]: step for _, step in subject.steps}
    parents: dict[str, list[str]] = {}
    for _, source, target, _ in known_edges(subject):
        parents.setdefault(target, []).append(source)
    for at, step in subject.steps:
        rule_ = trigger(subject, step).rule
        if rule_ not in (TriggerRule.ONE_FAILED, TriggerRule.ALL_DONE):
            continue
        before = parents.get(step["id"], [])
        if before and all(_fails_the_job(steps[name]) for name in before):
            yield Found(
                at=at,
                message=f"step {step['id']} starts by {rule_.value}, but a failure of "
                f"{', '.join(before[:5])} ends the job"[:300],
            )


def _fails_the_job(step: JsonObject) -> bool:
    control = mapping(step.get("control"))
    policy = policy_named(control.get("failure_policy")) or FailurePolicy.FAIL_WORKFLOW
    return control.get("required") is not False and policy is FailurePolicy.FAIL_WORKFLOW


@rule(
    "W-28",
    WARNING,
    "BCS",
    "workflow.join_after_branch",
    "a join after a branch waits for success of a way that may be skipped",
    help='use none_failed_min_one_success, or "accepts": ["done", "skipped"]',
)
def joins_take_skipped_ways(subject: Subject) -> Iterator[Found]:
    """Yield each edge into a join of two ways of a branch that does not accept skipping."""
    steps = {step["id"]: step for _, step in subject.steps}
    edges = known_edges(subject)
    ways = [(source, target) for _, source, target, _ in edges]
    parents: dict[str, int] = {}
    for _, target in ways:
        parents[target] = parents.get(target, 0) + 1
    for _, step in subject.steps:
        if step.get("kind") not in _BRANCHING:
            continue
        children = [target for source, target in ways if source == step["id"]]
        passed = [reached([child], ways) for child in children[:_MOST_WAYS]]
        for at, source, target, edge in edges:
            joined = sum(target in names for names in passed) > 1 and parents[target] > 1
            joined = joined and source != step["id"]
            wants_success = trigger(subject, steps[target]).rule is TriggerRule.ALL_SUCCESS
            if joined and wants_success and "skipped" not in listing(edge.get("accepts")):
                yield Found(
                    at=at,
                    message=f"step {target} waits for success of {source}, which the branch"
                    f" {step['id']} may skip"[:300],
                    actual=edge.get("accepts"),
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
    "W-30",
    WARNING,
    "BCS",
    "workflow.min_success",
    "the join mode min_success is a word of this and few other runtimes",
    help='write "trigger_rule": {"rule": "quorum_success", "quorum": 2}',
)
def min_success_is_rare(subject: Subject) -> Iterator[Found]:
    """Yield each step whose trigger is named min_success."""
    for at, step in definitions(subject):
        found = trigger(subject, step)
        if found.named == "min_success":
            yield Found(at=(*at, *found.key), expected="quorum_success", actual="min_success")


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
