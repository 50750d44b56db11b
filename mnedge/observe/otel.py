"""Finished spans on their way to a collector: taken from a queue by one thread, in batches.

Whoever finishes a span only appends to a bounded queue. A collector that is away, slow or broken
costs one try for each backoff and the oldest spans; how many is counted exactly:
in = exported + dropped + queued. Needs the `otel` extra; without it nothing is queued at all.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import trio

from mnedge.config.settings import Otel, SecretRef
from mnedge.errors import MnedgeError, UnavailableError
from mnedge.observe.metrics import Registry
from mnedge.observe.outbox import Tell
from mnedge.observe.traces import Span, Spans
from mnedge.part import Part

QUEUE = 8192
BATCH = 512
EVERY_S = 5.0
TRY_S = 10.0
FIRST_REST_S = 1.0
LONGEST_REST_S = 300.0
SHUTDOWN_S = 2.0
GRPC_PORT = 4317


class OtelMissingError(UnavailableError):
    """Traces are to be sent, but what sends them is not installed."""

    code = "otel.missing"


class Sender(Protocol):
    """Sends a batch; called in the exporter's thread."""

    def send(self, spans: Sequence[Span], timeout_s: float) -> None:
        """Return when the collector has it.

        Raises: UnavailableError: try again; any other MnedgeError: never.
        """

    def close(self) -> None:
        """Let go of connections; a try that runs fails soon."""


class Exporter(Part):
    """Sends sampled spans while it runs."""

    def __init__(
        self,
        settings: Otel,
        spans: Spans,
        registry: Registry,
        *,
        sender: Callable[[], Sender],
        tell: Tell,
        every_s: float = EVERY_S,
        queue: int = QUEUE,
    ) -> None:
        self._settings = settings
        self._spans = spans
        self._make = sender
        self._tell = tell
        self._every_s = every_s
        self._most = queue
        self._queue: deque[Span] = deque()
        self._changed = threading.Condition()
        self._ending = False
        self._closed = False
        self.taken = 0
        self.exported = 0
        self.dropped = 0
        registry.gauge("mnedge_telemetry_spans", "Spans by what became of them.", ["state"]).asked(
            lambda: {
                ("in",): self.taken,
                ("exported",): self.exported,
                ("dropped",): self.dropped,
                ("queued",): self.queued,
            }
        )

    @property
    def queued(self) -> int:
        """Spans that wait, those on their way included."""
        return self.taken - self.exported - self.dropped

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send until cancelled; at the end what is left, for two seconds at most."""
        if self._settings.endpoint is None:
            task_status.started()
            await trio.sleep_forever()
        try:
            sender = self._make()
        except MnedgeError as error:
            self._tell("error", error.message, {"hint": error.hint})
            task_status.started()
            await trio.sleep_forever()
            return
        self._spans.listeners.append(self.take)
        ended, token = trio.Event(), trio.lowlevel.current_trio_token()

        def over() -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(ended.set)

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._in_thread, sender, over)
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._spans.listeners.remove(self.take)
            self._end()
            with trio.CancelScope(shield=True), trio.move_on_after(SHUTDOWN_S):
                await ended.wait()
            with self._changed:
                left = self.queued
                self._closed = True  # what a try that hangs comes to later is not counted again
                self._queue.clear()
                self.dropped += left
            sender.close()
            if left:
                self._tell("warning", "spans were not sent before the end", {"dropped": left})

    def take(self, span: Span) -> None:
        """Queue a span if it is sampled; the oldest makes room."""
        if not span.sampled or not sampled(span.trace_id, self._settings.ratio):
            return
        with self._changed:
            self.taken += 1
            if len(self._queue) >= self._most:
                self._queue.popleft()
                self.dropped += 1
            self._queue.append(span)
            if len(self._queue) == 1 or len(self._queue) >= BATCH:
                self._changed.notify()

    def stop(self) -> None:
        """Send what is left."""
        self._end()

    def _end(self) -> None:
        with self._changed:
            self._ending = True
            self._changed.notify()

    async def _in_thread(self, sender: Sender, over: Callable[[], None]) -> None:
        # Abandoned when cancelled: a try that hangs must not hold the node up; it ends by itself.
        await trio.to_thread.run_sync(
            self._drain, sender, over, abandon_on_cancel=True, limiter=trio.CapacityLimiter(1)
        )

    def _drain(self, sender: Sender, over: Callable[[], None]) -> None:
        rest_s = 0.0
        try:
            while batch := self._next(rest_s):
                if self._sent(sender, batch, is_down=rest_s > 0):
                    rest_s = 0.0
                elif self._ending:
                    return
                else:
                    rest_s = min(max(rest_s * 2, FIRST_REST_S), LONGEST_REST_S)
        finally:
            over()

    def _next(self, rest_s: float) -> list[Span]:
        """Wait for spans, after a failure for `rest_s`, and for company; empty at the end."""
        with self._changed:
            if rest_s:
                self._changed.wait_for(lambda: self._ending, rest_s)
            self._changed.wait_for(lambda: self._ending or self._queue)
            self._changed.wait_for(
                lambda: self._ending or len(self._queue) >= BATCH, 0 if rest_s else self._every_s
            )
            return [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]

    def _sent(self, sender: Sender, batch: list[Span], is_down: bool) -> bool:
        """Send a batch; put it back if the collector is away, as far as there is room."""
        timeout_s = 1.0 if self._ending else TRY_S
        try:
            sender.send(batch, timeout_s)
        except UnavailableError as error:
            if not is_down:
                self._tell("warning", "exporter.down", {"error": error.message})
            with self._changed:
                if self._closed:
                    return False
                room = self._most - len(self._queue)
                kept = batch[len(batch) - room :] if room < len(batch) else batch
                self.dropped += len(batch) - len(kept)
                self._queue.extendleft(reversed(kept))
            return False
        except Exception as error:  # a batch that cannot be sent must not end the sending
            self._tell("error", "spans were refused", {"error": str(error), "count": len(batch)})
            with self._changed:
                self.dropped += 0 if self._closed else len(batch)
            return True
        if is_down:
            self._tell("info", "exporter.up", {})
        with self._changed:
            self.exported += 0 if self._closed else len(batch)
        return True


def sampled(trace_id: str, ratio: float) -> bool:
    """Tell whether a trace is among the share that is sent: all its spans or none, on any node."""
    return int(trace_id[16:], 16) < ratio * (1 << 64)


class OtlpSender:
    """OTLP over HTTP, encoded by OpenTelemetry's own code."""

    def __init__(self, settings: Otel, node: str, secret: Callable[[SecretRef], str]) -> None:
        endpoint = (settings.endpoint or "").rstrip("/")
        if endpoint.endswith(f":{GRPC_PORT}"):
            raise OtelMissingError(
                f"{endpoint} is OTLP over gRPC, which is not spoken here",
                hint="name the collector's HTTP port, as in http://collector:4318",
            )
        try:
            import httpx
            from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
            from opentelemetry.sdk.resources import Resource
        except ImportError as error:
            raise OtelMissingError(
                "trace.otel.endpoint is set, but the otel extra is not installed",
                hint="pip install 'mnedge[otel]', or take trace.otel.endpoint out",
            ) from error
        self._url = endpoint if endpoint.endswith("/v1/traces") else f"{endpoint}/v1/traces"
        self._encode = encode_spans
        self._resource = Resource(
            {"service.name": settings.service_name, "service.instance.id": node}
        )
        headers = {
            name: value if isinstance(value, str) else secret(value)
            for name, value in settings.headers.items()
        }
        self._client = httpx.Client(headers=headers, trust_env=False, follow_redirects=False)

    def send(self, spans: Sequence[Span], timeout_s: float) -> None:
        """Post them."""
        import gzip

        import httpx

        content = self._encode([self._readable(span) for span in spans]).SerializeToString()
        try:
            answer = self._client.post(
                self._url,
                content=gzip.compress(content, 1),
                headers={
                    "content-type": "application/x-protobuf",
                    "content-encoding": "gzip",
                },
                timeout=timeout_s,
            )
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"the collector cannot be reached: {type(error).__name__}"
            ) from error
        if answer.status_code in (429, 502, 503, 504):
            raise UnavailableError(f"the collector answered {answer.status_code}")
        if not answer.is_success:
            raise MnedgeError(f"the collector refused them: {answer.status_code}")

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    def _readable(self, span: Span) -> Any:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
        from opentelemetry.trace.status import Status, StatusCode

        def context(span_id: str) -> SpanContext:
            flags = TraceFlags(TraceFlags.SAMPLED)
            return SpanContext(int(span.trace_id, 16), int(span_id, 16), False, flags)

        failed = span.status != "ok"
        return ReadableSpan(
            name=span.name,
            context=context(span.span_id),
            parent=context(span.parent_id) if span.parent_id else None,
            resource=self._resource,
            attributes=dict(span.attributes),
            links=[Link(context(span_id)) for span_id in span.links],
            kind=getattr(SpanKind, span.kind.upper()),
            status=Status(StatusCode.ERROR, span.status) if failed else Status(StatusCode.OK),
            start_time=int(span.started_at * 1e9),
            end_time=int(span.ended_at * 1e9),
        )
