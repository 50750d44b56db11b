"""Alert expressions: a small part of PromQL, read once and evaluated over our own series.

Operands are a selector with matchers, `rate`, `increase` or `avg_over_time` of one with a range,
each perhaps inside `sum` or `sum by (…)`, or a number. There may be one arithmetic operator between
two operands, and there has to be one comparison. Values are those that Prometheus computes.
Source: platform 9; Prometheus 2.42 for extrapolation.
"""

import math
import operator
import re
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

from msgspec import Struct

from mnedge.errors import UsageError
from mnedge.observe.metrics import Sample

Labels = tuple[tuple[str, str], ...]
Vector = dict[Labels, float]
Value = Vector | float

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+)(?![A-Za-z_0-9])
    | (?P<duration>(?:[0-9]+(?:ms|[smhdw]))+)
    | (?P<name>[A-Za-z_:][A-Za-z0-9_:]*)
    | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<sign>=~|!~|!=|==|>=|<=|[-+*/><=(){}\[\],])
    )""",
    re.VERBOSE,
)
_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
COUNTERS = ("_total", "_count", "_bucket", "_sum")
"""How the names of figures end that only grow."""
_FUNCTIONS = ("rate", "increase", "avg_over_time")
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_OTHERS_KEYWORDS = frozenset(
    {"and", "or", "unless", "on", "ignoring", "group_left", "group_right", "offset", "bool",
     "without", "by"}
)  # fmt: skip


class ExpressionUnsupportedError(UsageError):
    """An expression that only Prometheus can evaluate, or nobody."""

    code = "alert.expression_unsupported"


class Matcher(NamedTuple):
    """What a label has to be."""

    label: str
    sign: str
    value: str

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Tell whether the labels do; an absent label is empty."""
        found = labels.get(self.label, "")
        match self.sign:
            case "=":
                return found == self.value
            case "!=":
                return found != self.value
            case "=~":
                return re.fullmatch(self.value, found) is not None
            case _:
                return re.fullmatch(self.value, found) is None


class Operand(Struct, frozen=True):
    """A number, or series: selected, perhaps over a range, perhaps summed."""

    number: float = 0.0
    metric: str = ""
    matchers: tuple[Matcher, ...] = ()
    function: str = ""
    range_s: float = 0.0
    summed_by: tuple[str, ...] | None = None
    """Labels that stay after `sum`; None: no sum."""


class Side(Struct, frozen=True):
    """What stands on one side of the comparison."""

    first: Operand
    sign: str = ""
    second: Operand | None = None

    def operands(self) -> tuple[Operand, ...]:
        """Return all of it."""
        return (self.first,) if self.second is None else (self.first, self.second)


class Expression(Struct, frozen=True):
    """A condition on series."""

    text: str
    left: Side
    comparison: str
    right: Side

    @property
    def metrics(self) -> set[str]:
        """The series it looks at."""
        sides = (*self.left.operands(), *self.right.operands())
        return {operand.metric for operand in sides if operand.metric}

    @property
    def range_s(self) -> float:
        """How far it looks back."""
        return max(o.range_s for o in (*self.left.operands(), *self.right.operands()))


class History:
    """What series were, as far back as anybody asks; after `lookback_s` one counts as gone."""

    def __init__(self, names: Iterable[str], range_s: float, *, lookback_s: float = 300.0) -> None:
        self.names = set(names)
        self._range_s = max(range_s, lookback_s)
        self._lookback_s = lookback_s
        self._series: dict[str, dict[Labels, deque[tuple[float, float]]]] = {}
        self.began_at: float | None = None
        self._before: float | None = None

    def take(self, at: float, samples: Iterable[Sample]) -> None:
        """Keep the samples of a moment.

        A counter that was not there at the moment before stood at zero then: the first failure of
        all is a growth, though Prometheus, which may have missed its beginning, sees none.
        """
        if self.began_at is None:
            self.began_at = at
        for sample in samples:
            if sample.name in self.names:
                labels = tuple(sorted(sample.labels.items()))
                known = self._series.setdefault(sample.name, {}).setdefault(labels, deque())
                if not known and self._before is not None and sample.name.endswith(COUNTERS):
                    known.append((self._before, 0.0))
                if not known or at > known[-1][0]:
                    known.append((at, sample.value))
        self._before = at
        for series in self._series.values():
            for labels in list(series):
                known = series[labels]
                while known and known[0][0] < at - self._range_s - 1:
                    known.popleft()
                if not known:
                    del series[labels]

    def select(self, operand: Operand) -> Iterator[tuple[Labels, deque[tuple[float, float]]]]:
        """Yield the series that an operand means."""
        for labels, points in self._series.get(operand.metric, {}).items():
            named = dict(labels)
            if all(matcher.fits(named) for matcher in operand.matchers):
                yield labels, points

    def newest(self, points: deque[tuple[float, float]], at: float) -> float | None:
        """Return a series' value at a moment; None if it is gone."""
        for moment, value in reversed(points):
            if moment <= at:
                return value if moment > at - self._lookback_s else None
        return None


def evaluated(expression: Expression, history: History, at: float) -> Vector:
    """Return the series for which the condition holds, with the left side's values."""
    left, right = (_side(side, history, at) for side in (expression.left, expression.right))
    compare = _COMPARISONS[expression.comparison]
    if isinstance(left, float) and isinstance(right, float):
        return {(): left} if compare(left, right) else {}
    if isinstance(right, float):
        vector = left if isinstance(left, dict) else {}
        return {labels: value for labels, value in vector.items() if compare(value, right)}
    if isinstance(left, float):
        return {labels: value for labels, value in right.items() if compare(left, value)}
    return {
        labels: value
        for labels, value in left.items()
        if labels in right and compare(value, right[labels])
    }


def _side(side: Side, history: History, at: float) -> Value:
    first = _operand(side.first, history, at)
    if side.second is None:
        return first
    second = _operand(side.second, history, at)
    if isinstance(first, float) and isinstance(second, float):
        return _reckoned(side.sign, first, second)
    if isinstance(second, float):
        vector = first if isinstance(first, dict) else {}
        return {labels: _reckoned(side.sign, value, second) for labels, value in vector.items()}
    if isinstance(first, float):
        return {labels: _reckoned(side.sign, first, value) for labels, value in second.items()}
    return {
        labels: _reckoned(side.sign, value, second[labels])
        for labels, value in first.items()
        if labels in second
    }


def _reckoned(sign: str, first: float, second: float) -> float:
    match sign:
        case "+":
            return first + second
        case "-":
            return first - second
        case "*":
            return first * second
        case _ if second:
            return first / second
        case _:
            return math.nan if not first or math.isnan(first) else math.copysign(math.inf, first)


def _operand(operand: Operand, history: History, at: float) -> Value:
    if not operand.metric:
        return operand.number
    found: Vector = {}
    for labels, points in history.select(operand):
        value = _value(operand, points, history, at)
        if value is not None:
            found[labels] = value
    if operand.summed_by is None:
        return found
    summed: Vector = {}
    for labels, value in found.items():
        kept = tuple(pair for pair in labels if pair[0] in operand.summed_by)
        summed[kept] = summed.get(kept, 0.0) + value
    return summed


def _value(
    operand: Operand, points: deque[tuple[float, float]], history: History, at: float
) -> float | None:
    if not operand.function:
        return history.newest(points, at)
    start = at - operand.range_s
    known = list(points)
    first = bisect_left(known, (start, -math.inf))
    window = known[first : bisect_right(known, (at, math.inf))]
    if operand.function == "avg_over_time":
        return sum(value for _, value in window) / len(window) if window else None
    grown = extrapolated(window, start, at)
    if grown is None or operand.function == "increase":
        return grown
    return grown / operand.range_s


def extrapolated(window: list[tuple[float, float]], start: float, end: float) -> float | None:
    """Return by how much a counter grew between two moments, as Prometheus reckons it.

    Resets are made up for. The growth between the first and the last sample is drawn out to the
    borders if those are near, but never below zero. None with fewer than two samples.
    """
    if len(window) < 2:
        return None
    (first_at, first), (last_at, last) = window[0], window[-1]
    grown = last - first
    for (_, before), (_, after) in pairwise(window):
        if after < before:
            grown += before
    sampled_s = last_at - first_at
    to_start_s, to_end_s = first_at - start, end - last_at
    average_s = sampled_s / (len(window) - 1)
    if grown > 0 and first >= 0:
        to_zero_s = sampled_s * (first / grown)
        to_start_s = min(to_start_s, to_zero_s)
    near_s = average_s * 1.1
    covered_s = sampled_s
    covered_s += to_start_s if to_start_s < near_s else average_s / 2
    covered_s += to_end_s if to_end_s < near_s else average_s / 2
    return grown * (covered_s / sampled_s)


def parsed(text: str) -> Expression:
    """Return what an expression says.

    Raises: ExpressionUnsupportedError if it is more than the part of PromQL that we evaluate.
    """
    tokens = _Tokens(text)
    left = _read_side(tokens)
    kind, comparison = tokens.next()
    if kind != "sign" or comparison not in _COMPARISONS:
        raise tokens.unsupported("a comparison (> >= < <= == !=)", comparison)
    right = _read_side(tokens)
    if tokens.peek()[0] != "end":
        raise tokens.unsupported("the end", tokens.peek()[1])
    expression = Expression(text, left, comparison, right)
    if not expression.metrics:
        raise ExpressionUnsupportedError(f"{text!r} looks at no series")
    return expression


class _Tokens:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        self._position = 0
        at = 0
        while at < len(text.rstrip()):
            found = _TOKEN.match(text, at)
            if found is None or found.lastgroup is None:
                raise self.unsupported("something else", text[at:].strip()[:20])
            self._tokens.append((found.lastgroup, found[found.lastgroup]))
            at = found.end()

    def peek(self) -> tuple[str, str]:
        if self._position < len(self._tokens):
            return self._tokens[self._position]
        return ("end", "the end")

    def next(self) -> tuple[str, str]:
        token = self.peek()
        self._position += 1
        return token

    def taken(self, sign: str) -> bool:
        if self.peek() == ("sign", sign):
            self._position += 1
            return True
        return False

    def need(self, sign: str) -> None:
        if not self.taken(sign):
            raise self.unsupported(f"{sign!r}", self.peek()[1])

    def unsupported(self, expected: str, found: str) -> ExpressionUnsupportedError:
        return ExpressionUnsupportedError(
            f"{self._text!r}: expected {expected}, not {found!r}",
            hint="evaluated here: rate, increase, avg_over_time or a plain selector, sum by, one "
            "arithmetic operator, one comparison; the rest is for Prometheus",
        )


def _read_side(tokens: _Tokens) -> Side:
    first = _read_operand(tokens)
    kind, sign = tokens.peek()
    if kind == "sign" and sign in "+-*/":
        tokens.next()
        return Side(first, sign, _read_operand(tokens))
    return Side(first)


def _read_operand(tokens: _Tokens) -> Operand:
    if tokens.taken("("):
        inside = _read_operand(tokens)
        tokens.need(")")
        return inside
    negative = tokens.taken("-")
    kind, text = tokens.next()
    if kind == "number":
        return Operand(number=-float(text) if negative else float(text))
    if negative or kind != "name" or text in _OTHERS_KEYWORDS:
        raise tokens.unsupported("a number, a series or a function", text)
    if text == "sum":
        return _read_sum(tokens)
    if text in _FUNCTIONS and tokens.taken("("):
        selected = _read_selector(tokens, tokens.next())
        tokens.need("[")
        kind, duration = tokens.next()
        if kind != "duration":
            raise tokens.unsupported("a range such as [5m]", duration)
        tokens.need("]")
        tokens.need(")")
        return Operand(
            metric=selected.metric,
            matchers=selected.matchers,
            function=text,
            range_s=_duration_s(duration),
        )
    if tokens.peek() == ("sign", "("):
        raise tokens.unsupported("rate, increase, avg_over_time or sum", text)
    return _read_selector(tokens, ("name", text))


def _read_sum(tokens: _Tokens) -> Operand:
    kept = _read_by(tokens)
    tokens.need("(")
    inside = _read_operand(tokens)
    tokens.need(")")
    kept = _read_by(tokens) if kept is None else kept
    if not inside.metric or inside.summed_by is not None:
        raise tokens.unsupported("a sum over series", "a sum over something else")
    return Operand(
        metric=inside.metric,
        matchers=inside.matchers,
        function=inside.function,
        range_s=inside.range_s,
        summed_by=kept or (),
    )


def _read_by(tokens: _Tokens) -> tuple[str, ...] | None:
    if tokens.peek() != ("name", "by"):
        return None
    tokens.next()
    tokens.need("(")
    kept: list[str] = []
    while not tokens.taken(")"):
        kind, label = tokens.next()
        if kind != "name":
            raise tokens.unsupported("a label", label)
        kept.append(label)
        if tokens.peek() != ("sign", ")"):
            tokens.need(",")
    return tuple(kept)


def _read_selector(tokens: _Tokens, named: tuple[str, str]) -> Operand:
    kind, metric = named
    if kind != "name" or metric in _OTHERS_KEYWORDS:
        raise tokens.unsupported("the name of a series", metric)
    matchers: list[Matcher] = []
    if tokens.taken("{"):
        while not tokens.taken("}"):
            (kind, label), (_, sign), (value_kind, value) = (tokens.next() for _ in range(3))
            if kind != "name" or sign not in ("=", "!=", "=~", "!~") or value_kind != "text":
                raise tokens.unsupported('a matcher such as status="500"', f"{label}{sign}{value}")
            matchers.append(Matcher(label, sign, _plain(tokens, sign, value)))
            if tokens.peek() != ("sign", "}"):
                tokens.need(",")
    return Operand(metric=metric, matchers=tuple(matchers))


def _plain(tokens: _Tokens, sign: str, quoted: str) -> str:
    value = re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), quoted[1:-1])
    if sign in ("=~", "!~"):
        value = quoted[1:-1].replace("\\\\", "\\")
        try:
            re.compile(value)
        except re.error as error:
            raise tokens.unsupported("a regular expression", quoted) from error
    return value


def _duration_s(text: str) -> float:
    return sum(
        int(count) * _UNITS_S[unit] for count, unit in re.findall(r"([0-9]+)(ms|[smhdw])", text)
    )
