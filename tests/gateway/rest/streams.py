"""A reader of one event stream, within this process: it takes what is sent only when it reads."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import trio

from mnedge.gateway.connection import App


class Said(NamedTuple):
    """One event of a stream."""

    event: str
    id: str
    data: str


class Listener:
    """What the stream said so far."""

    def __init__(self, pieces: Any) -> None:
        self._pieces = pieces
        self._rest = b""
        self.status = 0
        self.headers: dict[str, str] = {}
        self.comments = 0
        self.ended = False

    async def next(self) -> Said | None:
        """Return the next event; None at the end."""
        while True:
            while b"\n\n" in self._rest:
                block, _, self._rest = self._rest.partition(b"\n\n")
                if (said := self._said(block.decode())) is not None:
                    return said
            try:
                with trio.fail_after(90):
                    self._rest += await self._pieces.receive()
            except trio.EndOfChannel:
                return None

    def _said(self, block: str) -> Said | None:
        fields: dict[str, str] = {}
        for line in block.split("\n"):
            if line.startswith(":"):
                self.comments += 1
                continue
            name, _, value = line.partition(": ")
            fields[name] = value
        if "data" not in fields:
            return None
        return Said(fields.get("event", ""), fields.get("id", ""), fields["data"])

    async def rest(self) -> list[Said]:
        """Return all that comes until the end."""
        found = []
        while (said := await self.next()) is not None:
            found.append(said)
        return found


@asynccontextmanager
async def listening(
    app: App, path: str, query: str = "", headers: dict[str, str] | None = None
) -> AsyncIterator[Listener]:
    """Have a stream open while the block is; then hang up, and see that the answer ends."""
    send_piece, receive_piece = trio.open_memory_channel[bytes](1)
    listener = Listener(receive_piece)
    began, hung_up = trio.Event(), trio.Event()
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            listener.status = message["status"]
            listener.headers = {k.decode(): v.decode() for k, v in message["headers"]}
            began.set()
            return
        if message.get("body"):
            await send_piece.send(message["body"])
        if not message.get("more_body"):
            listener.ended = True

    given = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"node"), *given],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": {},
    }

    async def answer() -> None:
        async with send_piece:
            await app(scope, receive, send)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        await began.wait()
        yield listener
        hung_up.set()
        with trio.move_on_after(30):
            await listener.rest()
