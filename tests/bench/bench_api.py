"""The REST API over the unix socket of a daemon, and events of one job told to a hundred readers.

Floor: hypercorn and Starlette on trio with one route that answers as many bytes and does nothing,
and one that sends as large a body in pieces.
"""

import json
import sys
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

import trio
from programs import config_of, daemon, environment, program
from rows import Row
from workloads import scratch, spread

ROUNDS, CALLS, AT_ONCE = 5, 400, 16
SUBMISSIONS = 60
READERS, MESSAGES = 100, 500
FLOOR = """
import sys, trio
from hypercorn.config import Config
from hypercorn.trio import serve
from starlette.applications import Starlette
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
async def answer(request):
    await request.body()
    return Response(b"x" * int(request.query_params["bytes"]), media_type="application/json")
async def pieces(request):
    async def each():
        left = int(request.query_params["bytes"])
        while left > 0:
            yield b"x" * min(65536, left)
            left -= 65536
    return StreamingResponse(each(), media_type="text/event-stream")
app = Starlette(routes=[Route("/", answer, methods=["GET", "POST"]), Route("/pieces", pieces)])
config = Config()
config.bind = [f"unix:{sys.argv[1]}"]
config.loglevel = "ERROR"
async def main():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, app, config)
        while True:
            await trio.sleep(0.01)
            try:
                await (await trio.open_unix_socket(sys.argv[1])).aclose()
                break
            except OSError:
                continue
        print("ready", file=sys.stderr, flush=True)
trio.run(main)
"""
FLOW = {
    "manifest_version": "1.0",
    "graph_id": "bench",
    "job_name": "bench",
    "nodes": [
        {"node_id": "start", "agent_type": "router", "config": {"emit_type": "go"}},
        {"node_id": "end", "agent_type": "aggregator", "config": {"complete_after": 1}},
    ],
    "edges": [{"edge_id": "a", "from_node": "start", "to_node": "end", "message_type": "go"}],
    "entrypoints": ["start"],
    "initial_inputs": {"start": [{"n": 1}]},
}


class Caller:
    """One connection that is kept."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._rest = b""

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Return the status and the body of an answer whose length is told."""
        head = f"{method} {path} HTTP/1.1\r\nhost: n\r\ncontent-type: application/json\r\n"
        await self._stream.send_all(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        while b"\r\n\r\n" not in self._rest:
            self._rest += await self._more()
        told, _, self._rest = self._rest.partition(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2])
            for line in told.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        )
        while len(self._rest) < length:
            self._rest += await self._more()
        answer, self._rest = self._rest[:length], self._rest[length:]
        return int(told.split(b" ")[1]), answer

    async def stream(self, path: str) -> int:
        """Read an answer to its end; return its bytes."""
        await self._stream.send_all(f"GET {path} HTTP/1.1\r\nhost: n\r\n\r\n".encode())
        size, tail = 0, b""
        while not tail.endswith(b"\r\n0\r\n\r\n"):
            part = await self._more()
            size += len(part)
            tail = (tail + part)[-16:]
        return size

    async def _more(self) -> bytes:
        part = await self._stream.receive_some(1 << 16)
        if not part:
            raise ConnectionError("hung up")
        return bytes(part)


def main() -> list[Row]:
    """Return requests and events a second."""
    with scratch() as folder:
        environ = environment(folder)
        socket, plain = str(config_of(environ).socket), f"{folder}/plain.sock"
        with (
            daemon(environ),
            program([sys.executable, "-c", FLOOR, plain], environ),
        ):
            return trio.run(_rows, socket, plain)


async def _rows(socket: str, plain: str) -> list[Row]:
    caller = Caller(await trio.open_unix_socket(socket))
    status, told = await caller.ask("POST", "/api/v1/jobs", json.dumps(FLOW).encode())
    assert status == 201, told
    job = "/api/v1/jobs/" + json.loads(told)["job_id"]
    await caller.stream(f"{job}/events/stream")
    rows = []
    for name, path in (("GET health", "/api/v1/health"), ("GET job", job)):
        size = len((await caller.ask("GET", path))[1])
        ours, floor = [], []
        for _ in range(ROUNDS):
            ours.append(await _rate(socket, "GET", path, CALLS))
            floor.append(await _rate(plain, "GET", f"/?bytes={size}", CALLS))
        rows.append(_row(f"API {name}", ours, floor))
    body = json.dumps(FLOW).encode()
    ours, floor = [], []
    for _ in range(ROUNDS):
        ours.append(await _rate(socket, "POST", "/api/v1/jobs", SUBMISSIONS, body))
        floor.append(await _rate(plain, "POST", "/?bytes=1000", CALLS, body))
    rows.append(_row("API POST job", ours, floor))
    return [*rows, await _fan_out(socket, plain)]


def _row(name: str, ours: list[float], floor: list[float]) -> Row:
    note = f"{AT_ONCE} at once; min/median/max {spread(ours)}; floor: hypercorn and Starlette"
    return Row(name, median(ours), "requests/s", median(floor), note=note)


async def _rate(socket: str, method: str, path: str, calls: int, body: bytes = b"") -> float:
    callers = [Caller(await trio.open_unix_socket(socket)) for _ in range(AT_ONCE)]

    async def some(caller: Caller) -> None:
        for _ in range(calls // AT_ONCE):
            status, answer = await caller.ask(method, path, body)
            assert status < 300, answer

    return calls // AT_ONCE * AT_ONCE / await _timed([_of(some, caller) for caller in callers])


async def _fan_out(socket: str, plain: str) -> Row:
    """Return how many events a second a hundred readers of one job get together."""
    many = {
        **FLOW,
        "initial_inputs": {"start": [{"n": n} for n in range(MESSAGES)]},
        "nodes": [
            FLOW["nodes"][0],  # type: ignore[index]
            {
                "node_id": "end",
                "agent_type": "aggregator",
                "config": {"complete_after": MESSAGES},
            },
        ],
    }
    caller = Caller(await trio.open_unix_socket(socket))
    _, told = await caller.ask("POST", "/api/v1/jobs", json.dumps(many).encode())
    job = "/api/v1/jobs/" + json.loads(told)["job_id"]
    size = await caller.stream(f"{job}/events/stream")
    page = json.loads((await caller.ask("GET", f"{job}/events?limit=5000"))[1])
    count = len(page["data"])

    async def read(path: str, socket_: str) -> None:
        await Caller(await trio.open_unix_socket(socket_)).stream(path)

    ours, floor = [], []
    for _ in range(3):
        stream = f"{job}/events/stream"
        ours.append(count * READERS / await _timed([_of(read, stream, socket)] * READERS))
        pieces = f"/pieces?bytes={size}"
        floor.append(count * READERS / await _timed([_of(read, pieces, plain)] * READERS))
    note = f"{count} events of {size // count} bytes; floor: hypercorn sends as many bytes"
    name = f"events of one job to {READERS} readers"
    return Row(name, median(ours), "events/s", median(floor), note=note)


def _of(work: Callable[..., Awaitable[None]], *args: Any) -> Callable[[], Awaitable[None]]:
    async def call() -> None:
        await work(*args)

    return call


async def _timed(every: list[Callable[[], Awaitable[None]]]) -> float:
    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for work in every:
            nursery.start_soon(work)
    return time.perf_counter() - began
