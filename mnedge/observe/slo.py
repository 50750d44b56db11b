"""Goals and how fast their error budget burns. Pure: moments and counts come from whoever ticks.

For a goal over 30 days a page fires at 14.4 times the sustainable rate over 1 h and 5 min, or 6
times over 6 h and 30 min; a ticket at 3 times over 1 d and 2 h, or once over 3 d and 6 h. Other
goals scale all windows alike, down to 5 min and 1 min. A pair fires when both of its windows exceed
the rate and clears when the short one falls. Without `min_events` bad ones in the long window
nobody is paged.
Source: platform 9.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from msgspec import Struct, field

from mnedge.config.settings import Slo
from mnedge.errors import UsageError

BUCKET_S = 15.0
FINE_FOR_S = 6 * 3600.0
COARSE = 20
"""Fine buckets in a coarse one: 5 minutes."""
COARSE_FOR_S = 35 * 86400.0
THIRTY_DAYS_S = 30 * 86400.0

_PERCENTILE = re.compile(r"(?:^|[^a-z0-9])p(\d{2}(?:\d|\.\d+)?)(?:$|[^a-z0-9])")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class SloInvalidError(UsageError):
    """A goal that cannot be understood."""

    code = "slo.invalid"


class Counts(NamedTuple):
    """How many went well, and how many did not."""

    good: float = 0.0
    bad: float = 0.0

    @property
    def total(self) -> float:
        """All of them."""
        return self.good + self.bad


class Goal(Struct, frozen=True, kw_only=True):
    """A goal as it is reckoned with."""

    name: str
    sli: str
    """What is counted: `availability`, `job-success`, `latency`."""
    target: float
    """The share that has to go well."""
    threshold_s: float = 0.0
    """For latency: how long a good one may take."""
    window_s: float = THIRTY_DAYS_S
    min_events: int = 10

    @property
    def budget(self) -> float:
        """The share that may go wrong."""
        return 1.0 - self.target


class Pair(NamedTuple):
    """Two windows and the rate that both have to exceed."""

    severity: str
    factor: float
    long_s: float
    short_s: float


PAIRS = (
    Pair("page", 14.4, 3600.0, 300.0),
    Pair("page", 6.0, 6 * 3600.0, 1800.0),
    Pair("ticket", 3.0, 86400.0, 2 * 3600.0),
    Pair("ticket", 1.0, 3 * 86400.0, 6 * 3600.0),
)
"""For a goal over 30 days."""


def goal_of(slo: Slo) -> Goal:
    """Return what a goal of the configuration means.

    Raises: SloInvalidError.
    """
    sli = slo.sli or _sli_of(slo.name)
    text = slo.target.strip()
    percentile = slo.percentile or _percentile_of(slo.name)
    duration = _DURATION.fullmatch(text)
    if sli not in ("availability", "job-success", "latency"):
        raise SloInvalidError(
            f"goal {slo.name}: nothing is known about what it counts",
            hint="set sli to availability, job-success or latency",
        )
    if (sli == "latency") != (duration is not None):
        raise SloInvalidError(
            f"goal {slo.name}: target {slo.target!r} does not fit its sli {sli}",
            hint="a latency has a duration as target (500ms), the others a share (99.9%)",
        )
    if duration is not None:
        if percentile is None:
            raise SloInvalidError(
                f"goal {slo.name}: which percentile is meant?",
                hint="say it in the name (relay-p95-latency) or with percentile: 95",
            )
        share, threshold_s = percentile / 100, float(duration[1]) * _UNITS_S[duration[2]]
    else:
        share, threshold_s = _share_of(slo.name, text), 0.0
    if not 0 < share < 1:
        raise SloInvalidError(
            f"goal {slo.name}: a target of {slo.target} leaves nothing to burn",
            hint="give a share above 0 % and below 100 %",
        )
    return Goal(
        name=slo.name,
        sli=sli,
        target=share,
        threshold_s=threshold_s,
        window_s=slo.window,
        min_events=slo.min_events,
    )


def pairs_of(goal: Goal, *, bucket_s: float = BUCKET_S) -> tuple[Pair, ...]:
    """Return the windows of a goal, none shorter than its buckets can tell."""
    scale = goal.window_s / THIRTY_DAYS_S
    return tuple(
        Pair(
            severity,
            factor,
            max(long_s * scale, bucket_s * COARSE),
            max(short_s * scale, bucket_s * 4),
        )
        for severity, factor, long_s, short_s in PAIRS
    )


class Buckets:
    """Counts by moment: fine for six hours, coarse for 35 days."""

    def __init__(self, bucket_s: float = BUCKET_S) -> None:
        self.bucket_s = bucket_s
        self.coarse_s = bucket_s * COARSE
        self._fine: dict[int, Counts] = {}
        self._coarse: dict[int, Counts] = {}
        self.unsaved: set[int] = set()
        """Coarse buckets that changed since they were kept last."""

    def add(self, at: float, counts: Counts, *, keep: bool = True) -> None:
        """Count what happened up to a moment; `keep`: worth a place on disk."""
        if not counts.total:
            return
        fine, coarse = int(at // self.bucket_s), int(at // self.coarse_s)
        self._fine[fine] = _plus(self._fine.get(fine), counts)
        self._coarse[coarse] = _plus(self._coarse.get(coarse), counts)
        if keep:
            self.unsaved.add(coarse)
        self._forget(at)

    def load(self, kept: Mapping[int, tuple[float, float]], now: float) -> None:
        """Take up coarse buckets from before a restart."""
        for bucket, (good, bad) in kept.items():
            counts = Counts(good, bad)
            self._coarse[bucket] = _plus(self._coarse.get(bucket), counts)
            at = bucket * self.coarse_s
            if at > now - FINE_FOR_S:
                fine = int(at // self.bucket_s)
                self._fine[fine] = _plus(self._fine.get(fine), counts)
        self._forget(now)

    def coarse(self, bucket: int) -> Counts:
        """Return a coarse bucket."""
        return self._coarse.get(bucket, Counts())

    def over(self, now: float, window_s: float) -> Counts:
        """Return what was counted in the last `window_s` seconds."""
        if window_s <= FINE_FOR_S:
            return _sum(self._fine, now, window_s, self.bucket_s)
        return _sum(self._coarse, now, window_s, self.coarse_s)

    def _forget(self, now: float) -> None:
        for buckets, width_s, keep_s in (
            (self._fine, self.bucket_s, FINE_FOR_S),
            (self._coarse, self.coarse_s, COARSE_FOR_S),
        ):
            first = int((now - keep_s) // width_s)
            while buckets and (oldest := next(iter(buckets))) < first:
                del buckets[oldest]


class Burning(Struct, frozen=True, kw_only=True):
    """One pair of windows of a goal, as it is now."""

    pair: Pair
    long_rate: float
    short_rate: float
    bad: float
    """In the long window."""
    fires: bool


class Verdict(Struct, frozen=True, kw_only=True):
    """A goal as it is now."""

    goal: Goal
    counts: Counts
    """Over the goal's whole window."""
    pairs: list[Burning] = field(default_factory=list)

    @property
    def ratio(self) -> float | None:
        """The share that went well; None if nothing happened."""
        return self.counts.good / self.counts.total if self.counts.total else None

    @property
    def budget_left(self) -> float:
        """What is left of the error budget: 1 is all of it, below 0 is missed."""
        if not self.counts.total:
            return 1.0
        return 1.0 - (self.counts.bad / self.counts.total) / self.goal.budget

    def severities(self) -> set[str]:
        """Return what fires."""
        return {burning.pair.severity for burning in self.pairs if burning.fires}


class Judge:
    """Follows one goal."""

    def __init__(self, goal: Goal, buckets: Buckets) -> None:
        self.goal = goal
        self.buckets = buckets
        self._pairs = pairs_of(goal, bucket_s=buckets.bucket_s)
        self._fires = [False] * len(self._pairs)

    def verdict(self, now: float) -> Verdict:
        """Return how it stands, and remember which pairs fire."""
        pairs = []
        for number, pair in enumerate(self._pairs):
            long, short = (self.buckets.over(now, s) for s in (pair.long_s, pair.short_s))
            long_rate, short_rate = (burn_rate(counts, self.goal) for counts in (long, short))
            over = short_rate > pair.factor
            if self._fires[number]:
                fires = over
            else:
                enough = pair.severity != "page" or long.bad >= self.goal.min_events
                fires = over and long_rate > pair.factor and enough
            self._fires[number] = fires
            pairs.append(
                Burning(
                    pair=pair,
                    long_rate=long_rate,
                    short_rate=short_rate,
                    bad=long.bad,
                    fires=fires,
                )
            )
        counts = self.buckets.over(now, self.goal.window_s)
        return Verdict(goal=self.goal, counts=counts, pairs=pairs)

    def resume(self, severities: Iterable[str]) -> None:
        """Go on with what fired before a restart: it clears like anything else."""
        for number, pair in enumerate(self._pairs):
            if pair.severity in severities:
                self._fires[number] = True


def burn_rate(counts: Counts, goal: Goal) -> float:
    """Return how many times faster than it may the budget was spent; 0 if nothing happened."""
    return counts.bad / counts.total / goal.budget if counts.total else 0.0


def _sum(buckets: dict[int, Counts], now: float, window_s: float, width_s: float) -> Counts:
    first = math.floor((now - window_s) / width_s) + 1
    good = bad = 0.0
    for bucket in reversed(buckets):
        if bucket < first:
            break
        good += buckets[bucket].good
        bad += buckets[bucket].bad
    return Counts(good, bad)


def _plus(before: Counts | None, more: Counts) -> Counts:
    return more if before is None else Counts(before.good + more.good, before.bad + more.bad)


def _sli_of(name: str) -> str:
    if _percentile_of(name) is not None or "latency" in name:
        return "latency"
    return "job-success" if "success" in name else "availability" if "availab" in name else ""


def _percentile_of(name: str) -> float | None:
    found = _PERCENTILE.search(name.lower())
    if found is None:
        return None
    text = found[1]
    return float(text if "." in text or len(text) < 3 else f"{text[:2]}.{text[2:]}")


def _share_of(name: str, text: str) -> float:
    try:
        return round(float(text[:-1]) / 100, 12) if text.endswith("%") else float(text)
    except ValueError:
        raise SloInvalidError(
            f"goal {name}: target {text!r} is no share", hint="write 99.9% or 0.999"
        ) from None
