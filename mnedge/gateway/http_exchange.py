"""One request and its answer: an application's `receive` and `send`, with an end.

The application is cancelled when the client leaves before the answer is whole, and refused more
patience when the request trickles in.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from mnedge.errors import UsageError
from mnedge.gateway.connection import App, Message, Scope
from mnedge.gateway.problems import BrokenAnswerError

QUEUE = 16
"""Pieces of a body that wait for the application."""
SLOWEST_BYTES_PER_S = 16 << 10
"""A client that sends its body slower is given up after the request timeout."""
_LAST_WORD_S = 2.0
_log = logging.getLogger("mnedge.gateway")


class RequestTooSlowError(UsageError):
    """The request did not arrive in time."""

    code = "relay.too_slow"
    http_status = 408


class Exchange:
    """Runs the application on one request."""

    def __init__(
        self,
        app: App,
        scope: Scope,
        forward: Callable[[Any], Awaitable[None]],
        *,
        timeout_s: float,
        over: Callable[["Exchange"], None],
    ) -> None:
        self._app = app
        self._scope = scope
        self._forward = forward
        self._patience_s = timeout_s
        self._over = over
        self._in, self._out = trio.open_memory_channel[Message](QUEUE)
        self._cancelling = trio.CancelScope()
        self._whole = False
        self._answered = False
        self._trailers = False
        self.endless = False
        """The answer is an event stream: it ends when somebody ends it."""

    async def run(self) -> None:
        """Run the application to its end."""
        try:
            with self._cancelling:
                await self._app(self._scope, self.receive, self.send)
        except BrokenAnswerError:
            pass  # the log has it; the server breaks the connection
        except Exception as error:
            _log.error("an application failed outside of its problems", exc_info=error)
        finally:
            self._out.close()
            self._over(self)
            with trio.move_on_after(_LAST_WORD_S, shield=True):
                await self._forward(None)

    def cut(self) -> None:
        """End it now: the server stops."""
        self._cancelling.cancel()

    async def put(self, event: Any) -> None:
        """Take what came in; waits while the application has not read what came before."""
        if event["type"] == "http.disconnect":
            self._in.close()
            if not self._answered:
                self._cancelling.cancel()
            return
        try:
            await self._in.send(event)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the answer is given; nobody reads the rest

    async def receive(self) -> Message:
        """Return the next piece of the request, or that the client left.

        Raises: RequestTooSlowError.
        """
        try:
            message = await self._next()
        except trio.EndOfChannel:
            return {"type": "http.disconnect"}
        if message["type"] == "http.request":
            self._whole = not message.get("more_body", False)
            self._patience_s += len(message.get("body", b"")) / SLOWEST_BYTES_PER_S
        return message

    async def _next(self) -> Message:
        try:
            return self._out.receive_nowait()
        except trio.WouldBlock:
            pass
        if self._whole:
            return await self._out.receive()
        began = trio.current_time()
        with trio.move_on_after(self._patience_s):
            message = await self._out.receive()
            self._patience_s -= trio.current_time() - began
            return message
        raise RequestTooSlowError(
            "the request did not arrive in time", hint="send it faster, or in smaller pieces"
        )

    async def send(self, message: Message) -> None:
        """Pass on what the application says."""
        await trio.lowlevel.checkpoint_if_cancelled()  # one that only ever sends must end as well
        match message["type"]:
            case "http.response.start":
                self.endless = _is_event_stream(message)
                self._trailers = bool(message.get("trailers", False))
            case "http.response.body":
                self._answered |= not message.get("more_body", False) and not self._trailers
            case "http.response.trailers":
                self._answered |= not message.get("more_trailers", False)
            case _:
                pass
        await self._forward(message)


def _is_event_stream(message: Message) -> bool:
    return any(
        bytes(name).lower() == b"content-type" and bytes(value).startswith(b"text/event-stream")
        for name, value in message.get("headers", ())
    )
