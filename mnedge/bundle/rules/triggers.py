"""Rules about when steps start: trigger rules, joins, handlers of failures."""

from collections.abc import Iterator

from mnedge.bundle.layout import setting
from mnedge.bundle.rules.registry import ERROR, WARNING, Found, rule
from mnedge.bundle.rules.steps import definitions
from mnedge.bundle.rules.workflow import is_dynamic, known_edges, reached, step_ids
from mnedge.bundle.subject import (
    JsonObject,
    Subject,
    is_count,
    is_text,
    listing,
    mapping,
    objects,
)
from mnedge.bundle.triggers import (
    RULE_NAMES,
    Trigger,
    policy_named,
    rule_named,
    trigger_of,
)
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


def trigger(subject: Subject, step: JsonObject) -> Trigger:
    """Return when a step starts."""
    return trigger_of(step, setting(subject.graph, "join_default")[1])


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
