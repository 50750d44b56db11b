"""Calls of the published client's gRPC library, over the unix socket of a daemon.

Floor: the same calls to that library's own server, which answers the same bytes and does nothing.
"""

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import grpc
import trio
from mn_sdk.proto import (
    cluster_pb2,
    cluster_pb2_grpc,
    observability_pb2,
    observability_pb2_grpc,
)
from programs import config_of, daemon, environment, program
from rows import Row
from workloads import scratch, spread

from mnedge.daemon.clock import wall_clock
from mnedge.model.manifest import Agent, Edge, JobSpec
from mnedge.model.states import AgentKind
from mnedge.part import running
from mnedge.runtime.submission import submit_spec
from mnedge.store.sqlite import SqliteStore

ROUNDS = 5
CALLS = 300
AT_ONCE = 16
MESSAGES = 5000
_PLAIN = """
import sys
from concurrent.futures import ThreadPoolExecutor
import grpc
from mn_sdk.proto import cluster_pb2, cluster_pb2_grpc
class Plain(cluster_pb2_grpc.ClusterServiceServicer):
    def GetSystemSummary(self, request, context):
        return cluster_pb2.GetSystemSummaryResponse(summary_json="x" * 1500)
server = grpc.server(ThreadPoolExecutor(16))
cluster_pb2_grpc.add_ClusterServiceServicer_to_server(Plain(), server)
server.add_insecure_port(sys.argv[1])
server.start()
print("ready", file=sys.stderr, flush=True)
server.wait_for_termination()
"""


def main() -> list[Row]:
    """Return calls and events a second."""
    with scratch() as folder:
        environ = environment(folder)
        config = config_of(environ)
        plain = [sys.executable, "-c", _PLAIN, f"unix:{folder}/plain.sock"]
        with (
            daemon(environ),
            program(plain, environ),
            _channel(str(config.socket)) as ours,
            _channel(f"{folder}/plain.sock") as floor,
        ):
            figures = [_rates(channel) for channel in (ours, floor)]
            count, events = _events(ours, config)
    (serial, parallel), (serial_floor, parallel_floor) = figures
    return [
        _row("gRPC calls, one after the other", serial, serial_floor),
        _row(f"gRPC calls, {AT_ONCE} at once", parallel, parallel_floor),
        Row("gRPC events of a stored job", events, "events/s", note=f"{count} events"),
    ]


def _row(name: str, ours: list[float], floor: list[float]) -> Row:
    return Row(
        name,
        median(ours),
        "calls/s",
        median(floor),
        note=f"GetSystemSummary; min/median/max {spread(ours)}; floor: grpcio's own server",
    )


@contextmanager
def _channel(path: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"unix:{path}") as channel:
        grpc.channel_ready_future(channel).result(timeout=10)
        yield channel


def _rates(channel: grpc.Channel) -> tuple[list[float], list[float]]:
    stub = cluster_pb2_grpc.ClusterServiceStub(channel)
    request = cluster_pb2.GetSystemSummaryRequest(version=1)

    def one(_: int) -> None:
        stub.GetSystemSummary(request, timeout=30)

    def serial() -> None:
        for n in range(CALLS):
            one(n)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        one(0)
        found = [
            (_rate(serial), _rate(lambda: list(threads.map(one, range(CALLS)))))
            for _ in range(ROUNDS)
        ]
    return [first for first, _ in found], [second for _, second in found]


def _rate(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return CALLS / (time.perf_counter() - began)


def _events(channel: grpc.Channel, config: Any) -> tuple[int, float]:
    """Have a job of many events; return how many, and how many a second a replay tells."""

    async def submitted() -> None:
        async with running(SqliteStore(Path(config.data_dir))) as store:
            await submit_spec(store, config, _counted(), job_id="counted-1", now=wall_clock)

    trio.run(submitted)
    stub = observability_pb2_grpc.ObservabilityServiceStub(channel)
    live = observability_pb2.StreamEventsRequest(job_id="counted-1", follow=True)
    for _ in stub.StreamEvents(live, timeout=120):
        pass
    again = observability_pb2.StreamEventsRequest(job_id="counted-1")
    began = time.perf_counter()
    count = sum(1 for _ in stub.StreamEvents(again, timeout=120))
    return count, count / (time.perf_counter() - began)


def _counted() -> JobSpec:
    """Return a job that passes on what it begins with, and ends with the last of it."""
    return JobSpec(
        blueprint_id="bench_counted",
        graph_id="bench_counted_v1",
        job_name="bench-counted",
        agents=[
            Agent(agent_id="intake", kind=AgentKind.ROUTER, config={"emit_type": "go"}),
            Agent(agent_id="sink", kind=AgentKind.AGGREGATOR, config={"complete_after": MESSAGES}),
        ],
        edges=[Edge(edge_id="e", sender="intake", target="sink", message_type="go")],
        entrypoints=["intake"],
        seeds={"intake": [{"number": number} for number in range(MESSAGES)]},
    )
