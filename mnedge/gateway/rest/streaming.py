"""Server-sent events: a stream that notices when its reader hangs up, or takes nothing.

While the socket takes bytes, a piece is sent as soon as there is one, and a heartbeat where there
is none. A reader that is lagged gets `event: lagged` as the last thing; one whose socket does not
even take that within `GRACE_S` is cut in the middle.
"""

from collections.abc import Awaitable, Callable

import trio
from starlette.requests import Request
from starlette.responses import Response

from mnedge.gateway.connection import Receive, Send, until_gone
from mnedge.gateway.connection import Scope as AsgiScope
from mnedge.gateway.rest.routing import EVENT_STREAM
from mnedge.store.runs.places import Told

HEARTBEAT_S = 15.0
TOGETHER_S = 5.0
"""Heartbeats come so much early at most, so that those of all streams wake the node once."""
HEARTBEAT = b": heartbeat\n\n"
GRACE_S = 10.0
"""How long a lagged reader's socket may take for what was sent to it last."""
STUCK_S = 60.0
"""How long a socket may take nothing at all, however little comes."""
HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)
RETRY = b"retry: 1000\n\n"

Write = Callable[[bytes], Awaitable[None]]
Tell = Callable[[Write, "Pulse"], Awaitable[None]]


class Pulse:
    """What a stream is told of its reader."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    def cut_soon_after(self, lagged: trio.Event) -> None:
        """When the reader is lagged, give its socket a while to take what it was given last."""
        self._nursery.start_soon(self._cut, lagged)

    async def _cut(self, lagged: trio.Event) -> None:
        await lagged.wait()
        await trio.sleep(GRACE_S)
        self._nursery.cancel_scope.cancel()


def frame(data: bytes, *, event: str = "", mark: str = "") -> bytes:
    """Return one event of a stream; `data` holds no newline."""
    head = (f"id: {_line(mark)}\n" if mark else "") + (f"event: {_line(event)}\n" if event else "")
    return head.encode() + b"data: " + data + b"\n\n"


def told_frame(told: Told, mark: str = "") -> bytes:
    """Return a record as an event of a stream."""
    if mark:
        return frame(told.line, event=told.head.type, mark=mark)
    if not told.framed:
        told.framed = frame(told.line, event=told.head.type, mark=str(told.mark))
    return told.framed


def _line(text: str) -> str:
    """Return the text without what would end its line: workers choose types."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "_" for c in text)


class EventStream(Response):
    """An answer that goes on. `tell` writes pieces; the stream is over when it returns."""

    media_type = EVENT_STREAM

    def __init__(self, tell: Tell, *, heartbeat: bytes = HEARTBEAT) -> None:
        super().__init__(b"", 200)
        self._tell = tell
        self._heartbeat = heartbeat
        self._sending = trio.Lock()
        self._sent_at = 0.0

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Send the stream until it is over or nobody takes it."""
        await send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        whole = False
        async with trio.open_nursery() as nursery:

            async def write(piece: bytes) -> None:
                async with self._sending:
                    with trio.CancelScope(deadline=trio.current_time() + STUCK_S) as patience:
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                    self._sent_at = trio.current_time()
                if patience.cancelled_caught:
                    nursery.cancel_scope.cancel()
                    await trio.lowlevel.checkpoint()

            nursery.start_soon(until_gone, receive, nursery.cancel_scope)
            nursery.start_soon(self._beat, write)
            await write(RETRY)
            await self._tell(write, Pulse(nursery))
            whole = True
            nursery.cancel_scope.cancel()
        if whole:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _beat(self, write: Write) -> None:
        while True:
            due = max(self._sent_at, trio.current_time() - 1) + HEARTBEAT_S
            await trio.sleep_until(due - due % TOGETHER_S)
            if trio.current_time() - self._sent_at >= HEARTBEAT_S - TOGETHER_S - 1:
                await write(self._heartbeat)


def wants_stream(request: Request) -> bool:
    """Tell whether the client asks for a stream of events."""
    return EVENT_STREAM in request.headers.get("accept", "")
