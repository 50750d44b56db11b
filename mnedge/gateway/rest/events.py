"""What happens to jobs: pages, long polls, and streams that go on where a client was."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any

import msgspec
import trio
from msgspec import Meta
from starlette.responses import Response

from mnedge.gateway.backend import Backend
from mnedge.gateway.feed import Reader, place_after
from mnedge.gateway.rest import shapes
from mnedge.gateway.rest.checking import Query
from mnedge.gateway.rest.jobs import found_job
from mnedge.gateway.rest.routing import (
    EVENT_STREAM,
    JSON,
    Answer,
    Call,
    Route,
    json_reply,
)
from mnedge.gateway.rest.streaming import (
    EventStream,
    Pulse,
    Write,
    frame,
    told_frame,
    wants_stream,
)
from mnedge.model.records import JobRecord
from mnedge.model.states import TERMINAL
from mnedge.runtime import jobs
from mnedge.store.runs.places import Mark, Told

LAST_ID = "last-event-id"
END_S = 10.0
"""How long the end of a stream waits for the job's record to say so too."""

After = Annotated[
    str,
    Meta(description="Only what stands behind the event with this id."),
]


class EventsQuery(Query, frozen=True, kw_only=True):
    """Which events."""

    after: After = "0"
    limit: Annotated[int, Meta(ge=1, le=5000)] = 200
    type: Annotated[
        tuple[str, ...], Meta(description="Only these types; `*` and `?` stand for anything.")
    ] = ()
    agent: Annotated[str, Meta(description="Only events of this agent.")] = ""
    wait: Annotated[
        float, Meta(ge=0, le=30, description="Seconds to wait for an event where there is none.")
    ] = 0.0


class StreamQuery(Query, frozen=True, kw_only=True):
    """Which events."""

    after: After = "0"
    type: Annotated[tuple[str, ...], Meta(description="Only these types.")] = ()
    agent: Annotated[str, Meta(description="Only events of this agent.")] = ""


class AllQuery(Query, frozen=True, kw_only=True):
    """Which events of all jobs."""

    after: Annotated[str, Meta(description="The id of the last event: `<job_id>:<id>`.")] = ""
    type: Annotated[tuple[str, ...], Meta(description="Only these types.")] = ()


def wanted(told: Told, types: Sequence[str], agent: str) -> bool:
    """Tell whether a record is one of those asked for."""
    if agent and told.head.agent_id != agent:
        return False
    return not types or any(fnmatchcase(told.head.type, pattern) for pattern in types)


async def events(call: Call[EventsQuery, None]) -> Response:
    """Return events as a page, or as a stream to clients that accept one."""
    query = call.query
    record = await found_job(call)
    if wants_stream(call.request):
        return _stream(call, record, query.after, query.type, query.agent)
    found, last = await _page(call.backend, record.job_id, query)
    body = shapes.Records(data=[], next=str(last))
    lines = b",".join(told.line for told in found)
    data = msgspec.Raw(b"[" + lines + b"]")
    return json_reply({**msgspec.to_builtins(body), "data": data})


async def _page(backend: Backend, job_id: str, query: EventsQuery) -> tuple[list[Told], Mark]:
    """Return a page, and the mark of the last record that was looked at."""
    after = place_after(query.after)
    found, after = _there(backend, job_id, after, query)
    if not found and query.wait:
        with trio.move_on_after(query.wait):
            async with backend.feed.follow(job_id, after=after) as reader:
                found, after = await _first(reader, after, query)
    return found, after


def _there(
    backend: Backend, job_id: str, after: Mark, query: EventsQuery
) -> tuple[list[Told], Mark]:
    """Return what is on the disk already."""
    found: list[Told] = []
    while more := backend.feed.page(job_id, after=after, limit=1000):
        for told in more:
            after = told.mark
            if wanted(told, query.type, query.agent):
                found.append(told)
                if len(found) == query.limit:
                    return found, after
    return found, after


async def _first(reader: Reader, after: Mark, query: EventsQuery) -> tuple[list[Told], Mark]:
    """Return the first that come."""
    while batch := await reader.batch():
        found: list[Told] = []
        for told in batch:
            after = told.mark
            if wanted(told, query.type, query.agent):
                found.append(told)
                if len(found) == query.limit:
                    break
        if found:
            return found, after
    return [], after


async def stream(call: Call[StreamQuery, None]) -> Response:
    """Return events as a stream that ends when the job does."""
    query = call.query
    return _stream(call, await found_job(call), query.after, query.type, query.agent)


def _stream(
    call: Call[Any, Any], record: JobRecord, after: str, types: Sequence[str], agent: str
) -> Response:
    backend, job_id = call.backend, record.job_id
    mark = place_after(call.request.headers.get(LAST_ID) or after)
    if backend.feed.is_full:
        raise backend.feed.too_many()

    async def tell(write: Write, pulse: Pulse) -> None:
        last = mark
        async with backend.feed.follow(job_id, after=mark) as reader:
            pulse.cut_soon_after(reader.lagged)
            while batch := await reader.batch():
                last = batch[-1].mark
                piece = b"".join(told_frame(told) for told in batch if wanted(told, types, agent))
                if piece:
                    await write(piece)
            lagged = reader.lagged.is_set()
        if lagged:
            await write(frame(_lagged(str(last)), event="lagged"))
            return
        await write(frame(await _end(backend, job_id), event="end"))

    return EventStream(tell)


def _lagged(mark: str) -> bytes:
    return msgspec.json.encode(
        {
            "after": mark,
            "reason": "you took too long to read, and this stream ends",
            "hint": "come again with Last-Event-ID: nothing is lost",
        }
    )


async def _end(backend: Backend, job_id: str) -> bytes:
    """Return what the end says, once the job's record says it too."""
    record = await jobs.read_job(backend.store, job_id)
    if record.status not in TERMINAL:
        with trio.move_on_after(END_S):
            async for _ in backend.store.table.watch(jobs.JOBS + job_id):
                record = await jobs.read_job(backend.store, job_id)
                if record.status in TERMINAL:
                    break
    return msgspec.json.encode({"job_id": job_id, "status": record.status})


async def everything(call: Call[AllQuery, None]) -> Response:
    """Return the events of all jobs, as they come."""
    backend, types = call.backend, call.query.type
    after = call.request.headers.get(LAST_ID) or call.query.after
    if backend.feed.is_full:
        raise backend.feed.too_many()

    async def tell(write: Write, pulse: Pulse) -> None:
        last = after
        with backend.feed.everything(after=after) as watcher:
            pulse.cut_soon_after(watcher.lagged)
            if watcher.gap:
                said = {"after": after, "hint": "events behind this are not known here any more"}
                await write(frame(msgspec.json.encode(said), event="gap"))
            while batch := await watcher.batch():
                last = str(batch[-1])
                piece = b"".join(
                    told_frame(one.told, str(one)) for one in batch if wanted(one.told, types, "")
                )
                if piece:
                    await write(piece)
        await write(frame(_lagged(last), event="lagged"))

    return EventStream(tell)


_LAST = ((LAST_ID, "The id of the last event that the client has; as `after`, and before it."),)
_STREAM = Answer(media=(EVENT_STREAM,), explained="Events: `id`, `event` (its type), `data`.")
ROUTES = (
    Route(
        method="GET",
        path="/jobs/{job_id}/events",
        work=events,
        summary="Read the events of a job, page by page or as a stream",
        tag="events",
        query=EventsQuery,
        answers={200: Answer(body=shapes.Records, media=(JSON, EVENT_STREAM))},
        refuses=(404, 429),
        headers=_LAST,
    ),
    Route(
        method="GET",
        path="/jobs/{job_id}/events/stream",
        work=stream,
        summary="Follow the events of a job until it is over",
        tag="events",
        query=StreamQuery,
        answers={200: _STREAM},
        refuses=(404, 429),
        headers=_LAST,
    ),
    Route(
        method="GET",
        path="/events",
        work=everything,
        summary="Follow the events of all jobs",
        tag="events",
        query=AllQuery,
        answers={200: _STREAM},
        refuses=(429,),
        headers=_LAST,
    ),
)
