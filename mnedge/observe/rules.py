"""Goals and alerts as a rule file for Prometheus: what a box judges by itself, judged there too."""

from typing import Any

import yaml

from mnedge.config.settings import Trace
from mnedge.errors import MnedgeError
from mnedge.observe import slo
from mnedge.observe.slo import Goal, Pair

_BAD = {
    "availability": (
        'sum(rate(http_requests_total{{status=~"5..",route!~"/(v1|llm)/.*"}}[{w}]))',
        'sum(rate(http_requests_total{{route!~"/(v1|llm)/.*"}}[{w}]))',
    ),
    "job-success": (
        'sum(rate(mnedge_job_results_total{{result="failed"}}[{w}]))',
        "sum(rate(mnedge_job_results_total[{w}]))",
    ),
    "latency": (
        "(sum(rate(http_request_duration_seconds_count[{w}])) - "
        'sum(rate(http_request_duration_seconds_bucket{{le="{le}"}}[{w}])))',
        "sum(rate(http_request_duration_seconds_count[{w}]))",
    ),
}


def rule_file(trace: Trace) -> str:
    """Return the rule file: error ratios by window, burn-rate alerts, and the alerts as written.

    Raises: SloInvalidError.
    """
    goals = [slo.goal_of(setting) for setting in trace.slos]
    recorded = [record for goal in goals for record in _recorded(goal)]
    burning = [rule for goal in goals for rule in _burning(goal)]
    groups: list[dict[str, Any]] = []
    if recorded:
        groups.append({"name": "mnedge-slo-ratios", "rules": recorded})
        groups.append({"name": "mnedge-slo-burn", "rules": burning})
    if trace.alerts:
        groups.append({"name": "mnedge-alerts", "rules": [_written(a) for a in trace.alerts]})
    text: str = yaml.safe_dump({"groups": groups}, sort_keys=False, width=100)
    return text


def unsupported(trace: Trace) -> list[str]:
    """Return the alerts that only Prometheus evaluates."""
    from mnedge.observe import expressions

    found: list[str] = []
    for alert in trace.alerts:
        try:
            expressions.parsed(alert.expr)
        except MnedgeError:
            found.append(alert.name)
    return found


def _windows(goal: Goal) -> list[float]:
    spans = [span for pair in slo.pairs_of(goal) for span in (pair.long_s, pair.short_s)]
    return sorted(set(spans))


def _recorded(goal: Goal) -> list[dict[str, Any]]:
    bad, total = _BAD[goal.sli]
    return [
        {
            "record": f"mnedge:slo_error_ratio:rate{_span(window)}",
            "expr": f"{bad} / {total}".format(w=_span(window), le=f"{goal.threshold_s:g}"),
            "labels": {"slo": goal.name},
        }
        for window in _windows(goal)
    ]


def _burning(goal: Goal) -> list[dict[str, Any]]:
    rules = []
    for severity in ("page", "ticket"):
        pairs = [pair for pair in slo.pairs_of(goal) if pair.severity == severity]
        rules.append(
            {
                "alert": goal.name,
                "expr": "\nor\n".join(_both(goal, pair) for pair in pairs),
                "labels": {"severity": severity, "slo": goal.name},
                "annotations": {"summary": f"{goal.name} spends its error budget too fast"},
            }
        )
    return rules


def _both(goal: Goal, pair: Pair) -> str:
    most = f"({pair.factor:g} * {goal.budget:.6g})"
    name = f'{{slo="{goal.name}"}}'
    return " and ".join(
        f"mnedge:slo_error_ratio:rate{_span(window)}{name} > {most}"
        for window in (pair.long_s, pair.short_s)
    )


def _written(alert: Any) -> dict[str, Any]:
    rule: dict[str, Any] = {"alert": alert.name, "expr": alert.expr}
    if alert.for_:
        rule["for"] = _span(alert.for_)
    return rule | {"labels": {"severity": alert.severity, **alert.labels}}


def _span(seconds: float) -> str:
    """Return a duration as Prometheus writes it: whole milliseconds at most."""
    whole = round(seconds)
    if abs(seconds - whole) > 1e-6:
        return f"{round(seconds * 1000)}ms"
    for unit, size_s in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole >= size_s and whole % size_s == 0:
            return f"{whole // size_s}{unit}"
    return f"{whole}s"
