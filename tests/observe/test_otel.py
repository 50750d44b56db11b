import gzip
import sys
import threading
import time

import pytest
import trio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mnedge.config.settings import Otel, SecretRef
from mnedge.errors import UnavailableError, UsageError
from mnedge.observe.metrics import Registry
from mnedge.observe.otel import BATCH, Exporter, OtelMissingError, OtlpSender, sampled
from mnedge.observe.traces import Span, Spans
from mnedge.part import running
from tests.live.receiver import Receiver

pytestmark = pytest.mark.live


def span(n, **more):
    fields = {
        "trace_id": f"{n + 1:032x}", "span_id": f"{n + 1:016x}", "name": f"span {n}",
        "started_at": 1_700_000_000.5, "ended_at": 1_700_000_001.5,
    }  # fmt: skip
    return Span(**(fields | more))


class Collector:
    """A sender that does as it is told."""

    def __init__(self):
        self.got, self.tries, self.error = [], 0, None
        self.hang = threading.Event()
        self.hang.set()

    def send(self, spans, timeout_s):
        self.tries += 1
        self.hang.wait(timeout_s)
        if self.error is not None:
            raise self.error
        self.got += spans

    def close(self):
        pass


def exporter(spans, collector, said=None, **more):
    return Exporter(
        Otel(endpoint="http://collector:4318"),
        spans,
        Registry(),
        sender=lambda: collector,
        tell=lambda level, text, fields: said.append(text) if said is not None else None,
        **({"every_s": 0.02} | more),
    )


def exact(made):
    return made.taken == made.exported + made.dropped + made.queued


async def until(reached):
    with trio.fail_after(20):
        while not reached():
            await trio.sleep(0.01)


async def test_what_is_finished_is_sent_in_batches():
    spans, collector = Spans(), Collector()
    async with running(exporter(spans, collector)) as made:
        for n in range(BATCH * 2 + 7):
            spans.add(span(n))
        await until(lambda: made.exported == BATCH * 2 + 7)
        assert [s.name for s in collector.got] == [f"span {n}" for n in range(BATCH * 2 + 7)]
        assert collector.tries <= 5
        assert exact(made)


async def test_a_collector_that_is_down_loses_the_oldest_exactly_counted_and_then_recovers():
    spans, collector, said = Spans(), Collector(), []
    collector.error = UnavailableError("refused")
    async with running(exporter(spans, collector, said, queue=1000)) as made:
        for n in range(5000):
            spans.add(span(n))
        await until(lambda: collector.tries >= 1)
        assert exact(made)
        assert made.queued <= 1000 + BATCH
        collector.error = None
        await until(lambda: made.queued == 0)
        assert made.exported == len(collector.got)
        assert made.exported + made.dropped == made.taken == 5000
        assert collector.got[-1].name == "span 4999", "the newest are kept"
    assert said[0] == "exporter.down"
    assert "exporter.up" in said


async def test_a_collector_that_hangs_slows_nobody_and_the_end_takes_two_seconds_at_most():
    spans, collector = Spans(), Collector()
    collector.hang.clear()
    async with running(exporter(spans, collector)) as made:
        spans.add(span(0))
        await until(lambda: collector.tries == 1)
        began = time.perf_counter()
        for n in range(20_000):
            spans.add(span(n))
        assert (time.perf_counter() - began) / 20_000 < 50e-6
        assert exact(made)
        stopped = time.monotonic()
    assert time.monotonic() - stopped < 3.5
    assert made.queued == 0
    assert made.taken == made.exported + made.dropped == 20_001
    collector.hang.set()


async def test_what_is_left_is_sent_at_the_end():
    spans, collector = Spans(), Collector()
    async with running(exporter(spans, collector, every_s=60.0)) as made:
        spans.add(span(1))
    assert made.exported == len(collector.got) == 1


async def test_what_the_collector_refuses_is_dropped_and_the_next_goes():
    spans, collector = Spans(), Collector()
    collector.error = UsageError("400")
    async with running(exporter(spans, collector)) as made:
        spans.add(span(1))
        await until(lambda: made.dropped == 1)
        collector.error = None
        spans.add(span(2))
        await until(lambda: made.exported == 1)
        assert exact(made)


async def test_only_sampled_traces_are_sent_all_of_each():
    spans, collector = Spans(), Collector()
    async with running(exporter(spans, collector)) as made:
        spans.add(span(1, sampled=False))
        assert made.taken == 0
    shares = [sampled(f"{0:016x}{n * (1 << 54):016x}", 0.25) for n in range(1024)]
    assert shares.count(True) == 256
    assert sampled("0" * 16 + "f" * 16, 1.0)


async def test_without_an_endpoint_nothing_runs():
    spans = Spans()
    made = Exporter(Otel(), spans, Registry(), sender=Collector, tell=lambda *_: None)
    async with running(made):
        assert spans.listeners == []


async def test_a_missing_extra_is_said_and_nothing_is_queued():
    spans, said = Spans(), []

    def missing():
        raise OtelMissingError("it is not there")

    made = Exporter(
        Otel(endpoint="http://c:4318"), spans, Registry(), sender=missing,
        tell=lambda level, text, fields: said.append((level, text)),
    )  # fmt: skip
    async with running(made):
        spans.add(span(1))
        assert made.taken == 0
    assert said == [("error", "it is not there")]


def test_grpc_is_refused_with_a_hint():
    with pytest.raises(OtelMissingError) as raised:
        OtlpSender(Otel(endpoint="http://c:4317"), "n", str)
    assert "4318" in raised.value.hint


def test_the_core_does_not_load_what_sends():
    import subprocess

    code = "import sys, mnedge.observe.otel; print('opentelemetry' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


async def test_a_real_request_carries_what_a_span_says():
    with Receiver() as receiver:
        settings = Otel(
            endpoint=receiver.url,
            headers={"x-team": "a", "authorization": SecretRef(name="env", key="K")},
            service_name="edge",
        )
        sender = OtlpSender(settings, "node-1", lambda reference: f"secret of {reference.key}")
        child = span(1, parent_id="b" * 16, links=["c" * 16], status="lost", kind="server",
                     attributes={"mnedge.launch": 2, "mnedge.agent_id": "w"})  # fmt: skip
        await trio.to_thread.run_sync(sender.send, [span(0), child], 5.0)
        (posted,) = receiver.posted
        receiver.answer = lambda posted: 503
        with pytest.raises(UnavailableError):
            await trio.to_thread.run_sync(sender.send, [child], 5.0)
        receiver.answer = lambda posted: 0
        with pytest.raises(UnavailableError):
            await trio.to_thread.run_sync(sender.send, [child], 0.2)
        sender.close()
    assert posted.path == "/v1/traces"
    assert posted.headers["authorization"] == "secret of K"
    request = ExportTraceServiceRequest.FromString(gzip.decompress(posted.body))
    (resource,) = request.resource_spans
    about = {a.key: a.value.string_value for a in resource.resource.attributes}
    assert (about["service.name"], about["service.instance.id"]) == ("edge", "node-1")
    told = {one.name: one for one in resource.scope_spans[0].spans}["span 1"]
    assert told.trace_id.hex() == child.trace_id
    assert told.parent_span_id.hex() == "b" * 16
    assert told.links[0].span_id.hex() == "c" * 16
    assert told.end_time_unix_nano - told.start_time_unix_nano == 1_000_000_000
    assert {a.key for a in told.attributes} == {"mnedge.launch", "mnedge.agent_id"}
    assert told.status.code == 2
