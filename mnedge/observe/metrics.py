"""Own figures: counters, gauges and histograms in dicts, written out as Prometheus reads them.

Counting is one dict update, so that it may stand on busy paths; whatever is only looked at is asked
for when somebody scrapes. A node has at most `MOST_SERIES` series: whatever comes after that
is counted under `other`, and said once.
Source: Prometheus text format 0.0.4; platform 9.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

MOST_SERIES = 2000
OTHER = "other"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DURATIONS_S = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0,
)  # fmt: skip

Labels = tuple[str, ...]


class Sample(NamedTuple):
    """One series as it is now."""

    name: str
    labels: Mapping[str, str]
    value: float


class Room:
    """How many series may still be made; shared by all figures of a node."""

    def __init__(self, most: int) -> None:
        self._left = most
        self.full = False
        """Whether something was counted under `other`."""

    def take(self, series: int) -> bool:
        """Tell whether there is room for so many more."""
        if self._left < series:
            self.full = True
            return False
        self._left -= series
        return True


class Metric:
    """What all kinds of figure have."""

    kind = "untyped"

    def __init__(self, name: str, explained: str, labels: Sequence[str], room: Room) -> None:
        self.name = name
        self.explained = explained
        self.labels = tuple(labels)
        self._room = room

    def samples(self) -> Iterator[Sample]:
        """Yield every series, in the order in which they appeared."""
        raise NotImplementedError

    def _admitted(
        self, labels: tuple[object, ...], known: Container[tuple[object, ...]], cost: int = 1
    ) -> Labels:
        """Return the labels under which a new series is kept: its own, or `other` without room."""
        if len(labels) != len(self.labels):
            raise TypeError(f"{self.name} has the labels {self.labels}, not {labels}")
        wanted = tuple(map(str, labels))
        if not wanted or wanted in known or self._room.take(cost):
            return wanted
        return tuple(OTHER for _ in wanted)

    def _named(self, labels: Labels) -> dict[str, str]:
        return dict(zip(self.labels, labels, strict=True))


class Counter(Metric):
    """Only grows."""

    kind = "counter"

    def __init__(self, name: str, explained: str, labels: Sequence[str], room: Room) -> None:
        super().__init__(name, explained, labels, room)
        self._values: dict[tuple[object, ...], float] = {} if self.labels else {(): 0}

    def add(self, n: float = 1, *labels: object) -> None:
        """Count `n` more."""
        try:
            self._values[labels] += n
        except KeyError:
            key = self._admitted(labels, self._values)
            self._values[key] = self._values.get(key, 0) + n

    def value(self, *labels: object) -> float:
        """Return what was counted so far."""
        return self._values.get(labels, 0)

    def samples(self) -> Iterator[Sample]:
        """Yield every series."""
        for labels, value in self._values.items():
            yield Sample(self.name, self._named(tuple(map(str, labels))), value)


class Gauge(Metric):
    """Goes up and down: set by whoever knows, or asked for at each scrape."""

    kind = "gauge"

    def __init__(self, name: str, explained: str, labels: Sequence[str], room: Room) -> None:
        super().__init__(name, explained, labels, room)
        self._values: dict[Labels, float] = {}
        self._ask: Callable[[], Mapping[Labels, float]] | None = None

    def set(self, value: float, *labels: object) -> None:
        """Say what it is now."""
        self._values[self._admitted(labels, self._values)] = value

    def asked(self, ask: Callable[[], Mapping[Labels, float]]) -> None:
        """From now on ask at each scrape: labels → value. Series that are not named are gone."""
        self._ask = ask

    def samples(self) -> Iterator[Sample]:
        """Yield every series; what cannot be asked now is left out."""
        if self._ask is not None:
            self._values.clear()
            try:
                found = self._ask()
            except Exception:  # one figure that cannot be had must not hide the others
                found = {}
            for labels, value in found.items():
                self._values[tuple(map(str, labels))] = value
        for labels, value in self._values.items():
            yield Sample(self.name, self._named(labels), value)


class AskedCounter(Gauge):
    """Only grows, but somebody else counts it: asked for at each scrape."""

    kind = "counter"


class Histogram(Metric):
    """How values are spread over buckets."""

    kind = "histogram"

    def __init__(
        self,
        name: str,
        explained: str,
        buckets: Sequence[float],
        labels: Sequence[str],
        room: Room,
    ) -> None:
        super().__init__(name, explained, labels, room)
        self.buckets = tuple(sorted(buckets))
        self._counts: dict[tuple[object, ...], list[int]] = {}
        self._sums: dict[tuple[object, ...], float] = {}
        if not self.labels:
            self._new(())

    def observe(self, value: float, *labels: object) -> None:
        """Count a value in its bucket."""
        if labels not in self._counts:
            labels = self._admitted(labels, self._counts, len(self.buckets) + 3)
            if labels not in self._counts:
                self._new(labels)
        self._counts[labels][bisect_left(self.buckets, value)] += 1
        self._sums[labels] += value

    def samples(self) -> Iterator[Sample]:
        """Yield the buckets, then sum and count, of every series."""
        for labels, counts in self._counts.items():
            named, total = self._named(tuple(map(str, labels))), 0
            for bound, count in zip((*self.buckets, math.inf), counts, strict=True):
                total += count
                yield Sample(f"{self.name}_bucket", named | {"le": number(bound)}, total)
            yield Sample(f"{self.name}_sum", named, self._sums[labels])
            yield Sample(f"{self.name}_count", named, total)

    def _new(self, labels: tuple[object, ...]) -> None:
        self._counts[labels] = [0] * (len(self.buckets) + 1)
        self._sums[labels] = 0.0


M = TypeVar("M", bound=Metric)


class Registry:
    """All figures of a node, by name."""

    def __init__(self, *, most_series: int = MOST_SERIES) -> None:
        self._metrics: dict[str, Metric] = {}
        self._room = Room(most_series)
        self.before_scrape: list[Callable[[], None]] = []
        """Called before the figures are read: for what is gathered in one go."""
        self._overflown = self.gauge(
            "mnedge_metrics_overflown", "1 if series were left out because there are too many."
        )
        self._overflown.set(0)

    def counter(self, name: str, explained: str, labels: Sequence[str] = ()) -> Counter:
        """Return the counter of this name, made if it is new; the name ends in `_total`."""
        return self._kept(Counter(name, explained, labels, self._room))

    def gauge(self, name: str, explained: str, labels: Sequence[str] = ()) -> Gauge:
        """Return the gauge of this name, made if it is new."""
        return self._kept(Gauge(name, explained, labels, self._room))

    def asked_counter(
        self,
        name: str,
        explained: str,
        ask: Callable[[], Mapping[Labels, float]],
        labels: Sequence[str] = (),
    ) -> None:
        """Have a counter read at each scrape from whoever counts."""
        self._kept(AskedCounter(name, explained, labels, self._room)).asked(ask)

    def histogram(
        self,
        name: str,
        explained: str,
        buckets: Sequence[float] = DURATIONS_S,
        labels: Sequence[str] = (),
    ) -> Histogram:
        """Return the histogram of this name, made if it is new."""
        return self._kept(Histogram(name, explained, buckets, labels, self._room))

    def samples(self, names: Iterable[str] | None = None) -> Iterator[Sample]:
        """Yield every series as it is now, or those of these metrics only."""
        for metric in self._gathered():
            if names is None or metric.name in names:
                yield from metric.samples()

    def exposition(self) -> bytes:
        """Return all of it as Prometheus reads it."""
        lines: list[str] = []
        for metric in self._gathered():
            lines.append(f"# HELP {metric.name} {_escaped_help(metric.explained)}")
            lines.append(f"# TYPE {metric.name} {metric.kind}")
            lines += map(_line, metric.samples())
        return ("\n".join(lines) + "\n").encode()

    def as_json(self) -> dict[str, object]:
        """Return all of it as plain values, for `GET /api/v1/metrics`."""
        return {
            metric.name: {
                "help": metric.explained,
                "type": metric.kind,
                "samples": [
                    {"name": sample.name, "labels": dict(sample.labels), "value": sample.value}
                    for sample in metric.samples()
                ],
            }
            for metric in self._gathered()
        }

    def _gathered(self) -> list[Metric]:
        for gather in self.before_scrape:
            gather()
        self._overflown.set(1 if self._room.full else 0)
        return list(self._metrics.values())

    def _kept(self, metric: M) -> M:
        known = self._metrics.setdefault(metric.name, metric)
        if type(known) is not type(metric) or known.labels != metric.labels:
            raise TypeError(f"{metric.name} is known with other labels, or as another kind")
        return known


def number(value: float) -> str:
    """Return a number as Prometheus writes it."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    whole = int(value)
    return str(whole) if whole == value and abs(whole) < 1 << 53 else repr(float(value))


def _line(sample: Sample) -> str:
    if not sample.labels:
        return f"{sample.name} {number(sample.value)}"
    labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in sample.labels.items())
    return f"{sample.name}{{{labels}}} {number(sample.value)}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _escaped_help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")
