"""What jobs log, and what their workers write, in the order of time.

Records come from two places: the run's log stream, and the journal, which has what workers wrote. A
mark `12.34` says how many lines of the first and facts of the second a client has seen.
"""

from collections import deque
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
import trio
from msgspec import Meta
from starlette.responses import Response

from mnedge.gateway.backend import Backend
from mnedge.gateway.feed import place_after
from mnedge.gateway.rest import shapes
from mnedge.gateway.rest.checking import Query
from mnedge.gateway.rest.events import LAST_ID, After
from mnedge.gateway.rest.jobs import found_job, plain
from mnedge.gateway.rest.routing import EVENT_STREAM, JSON, Answer, Call, Route, json_reply
from mnedge.gateway.rest.streaming import EventStream, Pulse, Write, frame, wants_stream
from mnedge.model.records import JobRecord
from mnedge.model.states import TERMINAL
from mnedge.runtime import jobs
from mnedge.runtime.written import Reader
from mnedge.store.runs.places import BEGINNING, START, Mark
from mnedge.store.runs.readers import record_of

LOOK_S = 0.5
"""Between two looks for those who follow: workers log without a word to us."""
PIECE_BYTES = 64 << 10
"""Sent at once; a record may be much larger, and is sent in several pieces."""


class LogsQuery(Query, frozen=True, kw_only=True):
    """Which records."""

    after: After = "0"
    limit: Annotated[int, Meta(ge=1, le=5000)] = 500
    agent: Annotated[str, Meta(description="Only what this agent logged or wrote.")] = ""
    follow: Annotated[bool, Meta(description="In a stream: go on until the job is over.")] = True


class Logs:
    """Reads the log records of one job on."""

    def __init__(self, backend: Backend, record: JobRecord, agents: list[str], after: Mark) -> None:
        self._places = backend.feed.places(record.job_id, "logs")
        self._written = Reader(backend.store, record.job_id, agents, after=after.nth)
        self._place, self._mark = BEGINNING, START
        self._lines = 0
        self._skip = after.seq
        self._facts = after.nth

    @property
    def mark(self) -> str:
        """What a client that has all of it gives back."""
        return f"{self._lines}.{self._facts}"

    async def look(self) -> list[tuple[str, dict[str, Any]]]:
        """Return what is new, each with its mark."""
        found: list[tuple[str, bool, int, dict[str, Any]]] = []
        line = self._lines
        while more := self._places.read(self._place, self._mark):
            self._place, self._mark = more[-1].end, more[-1].mark
            for told in more:
                line += 1
                if line > self._skip:
                    record = record_of(told.line, "")
                    found.append((str(record.get("ts") or ""), False, line, record))
        for seq, written in await self._written.numbered():
            record = written.record()
            found.append((str(record["ts"]), True, seq, record))
        facts = self._written.after
        found.sort(key=lambda one: one[0])
        marked = []
        for _, is_fact, number, record in found:
            if is_fact:
                self._facts = max(self._facts, number)
            else:
                self._lines = max(self._lines, number)
            marked.append((self.mark, record))
        self._lines, self._facts = max(line, self._lines), max(facts, self._facts)
        return marked


async def logs(call: Call[LogsQuery, None]) -> Response:
    """Return log records as a page, or as a stream to clients that accept one."""
    if wants_stream(call.request):
        return await stream(call)
    query = call.query
    source = await _logs(call, await found_job(call), place_after(query.after))
    data: list[dict[str, Any]] = []
    last = query.after
    for mark, record in await source.look():
        last = mark
        if _is_wanted(record, query.agent):
            data.append(record)
            if len(data) == query.limit:
                break
    else:
        last = source.mark
    return json_reply(plain(shapes.Records(data=data, next=last)))


async def _logs(call: Call[Any, Any], record: JobRecord, after: Mark) -> Logs:
    spec = await jobs.read_spec(call.backend.store, record.job_id)
    return Logs(call.backend, record, [one.agent_id for one in spec.agents], after)


def _is_wanted(record: dict[str, Any], agent: str) -> bool:
    return not agent or agent in (record.get("agent_id"), record.get("component"))


async def stream(call: Call[LogsQuery, None]) -> Response:
    """Return log records as a stream that ends when the job does."""
    backend, query = call.backend, call.query
    record = await found_job(call)
    source = await _logs(
        call, record, place_after(call.request.headers.get(LAST_ID) or query.after)
    )

    async def tell(write: Write, pulse: Pulse) -> None:
        del pulse  # nothing is kept for a slow reader: what it has not seen stays on the disk
        with backend.feed.counted():
            async for marked in _following(backend, record.job_id, source, follow=query.follow):
                pieces = pieces_of(marked, query.agent)
                del marked  # a reader may take for ever: as bytes they take a third of the room
                while pieces:
                    await write(pieces.popleft())
        await write(frame(msgspec.json.encode({"job_id": record.job_id}), event="end"))

    return EventStream(tell)


def pieces_of(marked: list[tuple[str, dict[str, Any]]], agent: str) -> deque[bytes]:
    """Return the records as events of a stream, in pieces of one size."""
    whole = b"".join(
        frame(msgspec.json.encode(one, enc_hook=str), event="log", mark=mark)
        for mark, one in marked
        if _is_wanted(one, agent)
    )
    return deque(whole[at : at + PIECE_BYTES] for at in range(0, len(whole), PIECE_BYTES))


async def _following(
    backend: Backend, job_id: str, source: Logs, *, follow: bool
) -> AsyncIterator[list[tuple[str, dict[str, Any]]]]:
    while True:
        over = not follow or (await jobs.read_job(backend.store, job_id)).status in TERMINAL
        yield await source.look()
        if over:
            return
        await trio.sleep(LOOK_S)


_LAST = ((LAST_ID, "The id of the last record that the client has."),)
ROUTES = (
    Route(
        method="GET",
        path="/jobs/{job_id}/logs",
        work=logs,
        summary="Read the logs of a job, page by page or as a stream",
        tag="logs",
        query=LogsQuery,
        answers={200: Answer(body=shapes.Records, media=(JSON, EVENT_STREAM))},
        refuses=(404, 429),
        headers=_LAST,
    ),
    Route(
        method="GET",
        path="/jobs/{job_id}/logs/stream",
        work=stream,
        summary="Follow the logs of a job until it is over",
        tag="logs",
        query=LogsQuery,
        answers={200: Answer(media=(EVENT_STREAM,), explained="Records: `id`, `event: log`.")},
        refuses=(404, 429),
        headers=_LAST,
    ),
)
