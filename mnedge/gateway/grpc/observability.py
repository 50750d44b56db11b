"""mirrorneuron.observability.v1: what happens to a job, as it happens."""

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from mnedge.errors import OverloadedError
from mnedge.gateway.client_shapes import event_json
from mnedge.gateway.feed import Feed, Reader
from mnedge.gateway.grpc.calls import Call, Tell
from mnedge.model.body import json_bytes
from mnedge.model.message import iso_ms
from mnedge.runtime import jobs
from mnedge.store.runs.places import START, Mark, Told

PAGE = 500
MOST = 5000
"""Newest events that a client can ask for by number."""
HEARTBEAT_S = (0.25, 30.0)
DEFAULT_HEARTBEAT_S = 5.0
_ToldOne = Callable[[Told], Awaitable[None]]
_Beat = Callable[[], Awaitable[None]]


class LaggedError(OverloadedError):
    """A client reads so slowly that what came meanwhile is more than is kept for it."""

    code = "stream.lagged"


async def stream_events(call: Call, tell: Tell) -> None:
    """Tell a job's events, oldest first; with `follow` until it is over."""
    job_id = call.required("job_id")
    config, feed = call.backend.config, call.backend.feed
    await jobs.read_job(call.backend.store, job_id)
    limit = min(call.request["limit"], MOST)

    async def told(one: Told) -> None:
        await tell_event(tell, event_json(one, job_id, config))

    after = START
    if limit > 0:
        for one in feed.newest(job_id, limit):
            await told(one)
            after = one.mark
    if not call.request["follow"]:
        if limit <= 0:
            await _replay(feed, job_id, told)
        return
    every_s = heartbeat_s(call.request["heartbeat_interval_ms"])

    async def beat() -> None:
        await tell_event(tell, heartbeat(call, job_id=job_id))

    async with feed.follow(job_id, after=after) as reader:
        with trio.CancelScope() as cut:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cut_if_lagged, reader, cut)
                await _follow(reader, told, beat, every_s)
                nursery.cancel_scope.cancel()
        if reader.lagged.is_set():
            raise LaggedError(
                "the stream was cut: it was read too slowly", retry_after_s=1.0, hint="follow again"
            )


async def _replay(feed: Feed, job_id: str, told: _ToldOne) -> None:
    after: Mark = START
    while page := feed.page(job_id, after=after, limit=PAGE):
        for one in page:
            await told(one)
            after = one.mark


async def _follow(reader: Reader, told: _ToldOne, beat: _Beat, every_s: float) -> None:
    while True:
        found: list[Told] | None = None
        with trio.move_on_after(every_s):
            found = await reader.batch()
        if found is None:
            await beat()
        elif not found:
            return
        else:
            for one in found:
                await told(one)


async def _cut_if_lagged(reader: Reader, cut: trio.CancelScope) -> None:
    await reader.lagged.wait()
    cut.cancel()


def heartbeat_s(interval_ms: int) -> float:
    """Return how often a silent stream says that it lives."""
    if interval_ms <= 0:
        return DEFAULT_HEARTBEAT_S
    return min(max(interval_ms / 1000, HEARTBEAT_S[0]), HEARTBEAT_S[1])


def heartbeat(call: Call, **about: Any) -> dict[str, Any]:
    """Return the event that says nothing but that the stream lives."""
    return {"type": "stream_heartbeat", "timestamp": iso_ms(call.backend.now()), **about}


async def tell_event(tell: Tell, event: dict[str, Any]) -> None:
    """Send an event as it stands on the wire: JSON, with the version of its shape."""
    await tell({"event_json": json_bytes(event).decode(), "version": 1})
