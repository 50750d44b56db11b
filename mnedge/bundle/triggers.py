"""When a step may start, and what its failure means, freed of the words of other ages.

Source: bundle format 2.4.2, 3.7.
"""

from typing import Any, NamedTuple

from mnedge.bundle.subject import JsonObject, is_count, is_text, mapping
from mnedge.model.states import FailurePolicy, TriggerRule

RULE_ALIASES = {
    "all_required": TriggerRule.ALL_SUCCESS,
    "any_success": TriggerRule.ONE_SUCCESS,
    "any_done": TriggerRule.ONE_DONE,
    "any_failed": TriggerRule.ONE_FAILED,
    "partial_success": TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
    "quorum": TriggerRule.QUORUM_SUCCESS,
    "min_success": TriggerRule.QUORUM_SUCCESS,
}
RULE_NAMES = [*(rule.value for rule in TriggerRule), *RULE_ALIASES]
POLICY_ALIASES = {
    "fail": FailurePolicy.FAIL_WORKFLOW,
    "fail_closed": FailurePolicy.FAIL_WORKFLOW,
    "fail_run": FailurePolicy.FAIL_WORKFLOW,
    "partial": FailurePolicy.CONTINUE_PARTIAL,
    "continue": FailurePolicy.CONTINUE_PARTIAL,
}
POLICY_NAMES = [*(policy.value for policy in FailurePolicy), *POLICY_ALIASES]


class Trigger(NamedTuple):
    """What a step says about its start."""

    rule: TriggerRule | None
    """None: the name is unknown."""
    quorum: int | None
    """None: none is needed, or none that can be used is given."""
    named: Any
    """The rule as it was written."""
    key: tuple[str, ...]
    """Where in the step it was written; empty if it comes from elsewhere."""


_LOOKED_AT = (
    ("trigger_rule",),
    ("control", "trigger_rule"),
    ("join", "trigger_rule"),
    ("join", "rule"),
    ("join", "mode"),
)


def trigger_of(step: JsonObject, join_default: Any = None) -> Trigger:
    """Return the trigger of a step; `join_default` is the workflow's."""
    named: Any = join_default
    key: tuple[str, ...] = ()
    for place in _LOOKED_AT:
        holder: Any = step
        for name in place:
            holder = mapping(holder).get(name)
        if holder is not None:
            named, key = holder, place
            break
    written: Any = named
    counts: list[Any] = []
    if isinstance(named, dict):
        written = next((named[k] for k in ("rule", "type", "mode") if named.get(k)), None)
        counts = [named.get(k) for k in ("quorum", "count", "minimum")]
    if named is None:
        written = TriggerRule.ALL_SUCCESS.value
    rule = rule_named(written)
    quorum = None
    if rule is TriggerRule.QUORUM_SUCCESS:
        join = mapping(step.get("join"))
        counts += [step.get("quorum"), mapping(step.get("control")).get("quorum")]
        counts += [join.get("quorum"), join.get("min_success")]
        quorum = next((n for n in map(_positive, counts) if n is not None), None)
    return Trigger(rule, quorum, written, key)


def rule_named(name: Any) -> TriggerRule | None:
    """Return the rule under any of its names, or None."""
    if not is_text(name):
        return None
    if name in RULE_ALIASES:
        return RULE_ALIASES[name]
    try:
        return TriggerRule(name)
    except ValueError:
        return None


def policy_named(name: Any) -> FailurePolicy | None:
    """Return the failure policy under any of its names, or None."""
    if not is_text(name):
        return None
    if name in POLICY_ALIASES:
        return POLICY_ALIASES[name]
    try:
        return FailurePolicy(name)
    except ValueError:
        return None


def _positive(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        value = int(value)
    return value if is_count(value, 1) else None
