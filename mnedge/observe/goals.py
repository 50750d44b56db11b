"""Goals: how many of their events were counted, and how people and programs read them."""

from typing import Any

from mnedge.observe.metrics import Registry
from mnedge.observe.slo import Counts, Goal, Verdict

DAY_S = 86400.0


def counted_so_far(goal: Goal, registry: Registry) -> Counts:
    """Return how many of a goal's events there were since this process began."""
    match goal.sli:
        case "job-success":
            results = {
                sample.labels["result"]: sample.value
                for sample in registry.samples(["mnedge_job_results_total"])
            }
            return Counts(results.get("completed", 0.0), results.get("failed", 0.0))
        case "availability":
            good = bad = 0.0
            for sample in registry.samples(["http_requests_total"]):
                if not sample.labels["route"].startswith(("/v1/", "/llm/")):
                    if sample.labels["status"].startswith("5"):
                        bad += sample.value
                    else:
                        good += sample.value
            return Counts(good, bad)
        case _:
            return _within(goal.threshold_s, registry)


def _within(threshold_s: float, registry: Registry) -> Counts:
    """Return how many requests took no longer, as far as their buckets can tell."""
    good: dict[tuple[str, ...], tuple[float, float]] = {}
    total = 0.0
    for sample in registry.samples(["http_request_duration_seconds"]):
        series = tuple(v for name, v in sample.labels.items() if name != "le")
        if sample.name.endswith("_count"):
            total += sample.value
        elif sample.name.endswith("_bucket"):
            bound = float(sample.labels["le"])
            if good.get(series, (0.0, 0.0))[0] < bound <= threshold_s * 1.000001:
                good[series] = (bound, sample.value)
    fine = sum(count for _, count in good.values())
    return Counts(fine, total - fine)


def span_text(seconds: float) -> str:
    """Return a duration as people write it: 5m, 1h, 5h36m, 3d."""
    if seconds > 3600 and seconds % 60 == 0 and seconds % 3600 and seconds < DAY_S:
        return f"{int(seconds // 3600)}h{int(seconds % 3600 // 60)}m"
    for unit, size_s in (("d", DAY_S), ("h", 3600.0), ("m", 60.0)):
        if seconds >= size_s and seconds % size_s == 0:
            return f"{seconds / size_s:g}{unit}"
    return f"{seconds:g}s"


def shown_goal(goal: Goal, verdict: Verdict | None) -> dict[str, Any]:
    """Return a goal and what it came to, as programs read them."""
    shown: dict[str, Any] = {
        "name": goal.name,
        "sli": goal.sli,
        "target": goal.target,
        "threshold_s": goal.threshold_s or None,
        "window": span_text(goal.window_s),
        "window_s": goal.window_s,
        "min_events": goal.min_events,
        "state": "unknown",
        "ratio": None,
        "good": 0,
        "bad": 0,
        "budget_remaining": None,
        "burn": [],
    }
    if verdict is None:
        return shown
    severities = verdict.severities()
    state = "page" if "page" in severities else "ticket" if severities else "fine"
    return shown | {
        "state": state,
        "ratio": verdict.ratio,
        "good": verdict.counts.good,
        "bad": verdict.counts.bad,
        "budget_remaining": verdict.budget_left,
        "burn": [
            {
                "severity": burning.pair.severity,
                "factor": burning.pair.factor,
                "long": span_text(burning.pair.long_s),
                "short": span_text(burning.pair.short_s),
                "long_rate": burning.long_rate,
                "short_rate": burning.short_rate,
                "bad": burning.bad,
                "fires": burning.fires,
            }
            for burning in verdict.pairs
        ],
    }
