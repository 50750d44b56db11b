"""Finished spans of this node, the newest few thousand, and whoever wants to hear of each.

A span costs one small object and never waits: what is sent elsewhere is taken from a queue of its
own (`observe.otel`). Names and numbers only: no body, no config, no error text enters a span.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import SystemRandom

from msgspec import Struct, field

from mnedge.model import tracing
from mnedge.model.tracing import TraceParent
from mnedge.ports import Clock

RING = 4096

_random = SystemRandom()


class Span(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that took time. Ids are lower-case hex, moments seconds since 1970."""

    trace_id: str
    span_id: str
    name: str
    started_at: float
    ended_at: float
    parent_id: str = ""
    kind: str = "internal"
    """`internal`, `server`, `client`, `consumer`."""
    status: str = "ok"
    """`ok`, `error`, or `lost`: its process died before it ended."""
    sampled: bool = True
    attributes: dict[str, str | int | float | bool] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)
    """Spans of the same trace that it goes on from: the launch before."""


class Spans:
    """The newest finished spans."""

    def __init__(self, size: int = RING) -> None:
        self._ring: deque[Span] = deque(maxlen=size)
        self.listeners: list[Callable[[Span], None]] = []
        """Called with each span; they return at once."""

    def add(self, span: Span) -> None:
        """Keep a finished span; the oldest makes room."""
        self._ring.append(span)
        for listener in self.listeners:
            listener(span)

    def of_trace(self, trace_id: str) -> list[Span]:
        """Return what is kept of a trace, in the order in which it began."""
        found = [span for span in self._ring if span.trace_id == trace_id]
        return sorted(found, key=lambda span: span.started_at)

    def newest(self, limit: int = 100) -> list[Span]:
        """Return the spans that ended last, newest first."""
        return [span for span, _ in zip(reversed(self._ring), range(limit), strict=False)]


class Intent:
    """A request under way: the root of what it starts, or a child of its caller's span."""

    def __init__(self, name: str, asked: str, now: Clock) -> None:
        parent = tracing.parsed(asked)
        self.name = name
        self.parent_id = "" if parent is None else parent.span_id
        own = parent or TraceParent(f"{_random.getrandbits(128) or 1:032x}", "")
        self.context = own.at(f"{_random.getrandbits(64) or 1:016x}")
        """What a job that it makes is told as its `trace_parent`: `str(intent.context)`."""
        self.started_at = now()
        self.status = "ok"
        self.attributes: dict[str, str | int | float | bool] = {}


@contextmanager
def intent(spans: Spans, name: str, asked: str, now: Clock) -> Iterator[Intent]:
    """Have the span of a request (`name`: method and route, no ids); `asked`: its `traceparent`."""
    request = Intent(name, asked, now)
    try:
        yield request
    except BaseException:
        request.status = "error"
        raise
    finally:
        spans.add(
            Span(
                trace_id=request.context.trace_id,
                span_id=request.context.span_id,
                parent_id=request.parent_id,
                name=request.name,
                kind="server",
                started_at=request.started_at,
                ended_at=max(now(), request.started_at),
                status=request.status,
                sampled=bool(request.context.flags),
                attributes=request.attributes,
            )
        )
