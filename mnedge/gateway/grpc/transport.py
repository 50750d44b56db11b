"""gRPC over HTTP/2, as an ASGI application.

A request is one message. While it is answered, the connection is listened to: a client that hangs
up or whose time is over ends the work for it. What is sent waits for the client's window, so a slow
one holds nothing but its own stream.
Source: the gRPC wire protocol over HTTP/2.
"""

import logging
import re
from collections.abc import Mapping
from typing import Any

import trio

from mnedge.errors import MnedgeError, UnavailableError, UsageError
from mnedge.gateway.backend import Backend
from mnedge.gateway.connection import Receive, Scope, Send, header
from mnedge.gateway.grpc.calls import Rpc, Values
from mnedge.gateway.grpc.frames import Frames, framed
from mnedge.gateway.grpc.status import (
    OK,
    End,
    NotOfferedError,
    Status,
    begin,
    end_of,
    finish,
)

REPLY_BYTES = 4 << 20
"""Of one message: a client takes no more unless told to."""
LINGER_S = 5.0
"""For the rest of a refused request to come, and for a slow client to take the end of an answer."""
_TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])")
_UNITS_S = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_CONTENT_TYPES = re.compile(rb"application/grpc(\+proto)?(;.*)?")
_ENCODINGS = [(b"grpc-accept-encoding", b"identity")]
_log = logging.getLogger("mnedge.gateway")


class ReplyTooLargeError(UsageError):
    """What was asked for is larger than a client takes."""

    code = "grpc.reply_too_large"
    http_status = 413


class Transport:
    """Answers the calls of a node's services."""

    def __init__(self, rpcs: Mapping[str, Rpc], backend: Backend) -> None:
        self._rpcs = rpcs
        self._backend = backend

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        if refusal := _not_grpc(scope):
            await _plainly(send, refusal)
            return
        limits = self._backend.config.relay.limits
        call = _Exchange(receive, send, limits.max_body, limits.request_timeout)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call.listen, nursery.cancel_scope)
            end = await self._answered(scope, call)
            if not call.gone:
                await call.end(end)
            nursery.cancel_scope.cancel()

    async def _answered(self, scope: Scope, call: "_Exchange") -> End:
        try:
            timeout_s = timeout_of(scope)
            with trio.CancelScope(deadline=trio.current_time() + timeout_s) as timed:
                await self._serve(scope, call)
                return OK
        except MnedgeError as error:
            return end_of(error)
        except trio.Cancelled:
            raise
        except Exception as error:
            if isinstance(error, ExceptionGroup):
                known, other = error.split(MnedgeError)
                if other is None and known is not None:
                    return end_of(_first(known))
            _log.exception("unforeseen error in %s", scope["path"])
            return End(
                Status.INTERNAL,
                "this should not happen; the daemon's log has the details",
                "internal.unforeseen",
            )
        if timed.cancelled_caught:
            return End(
                Status.DEADLINE_EXCEEDED,
                f"not done within {timeout_s:g} s; it may still come about",
                "grpc.deadline",
            )
        return OK

    async def _serve(self, scope: Scope, call: "_Exchange") -> None:
        rpc = self._rpcs.get(scope["path"])
        if rpc is None:
            method = scope["path"].rpartition("/")[2][:100]
            raise NotOfferedError(
                f"{method} is not offered by this node: no service here has a method of that name"
            )
        encoding = header(scope, b"grpc-encoding")
        if encoding not in (None, b"identity"):
            call.more = _ENCODINGS
            raise NotOfferedError(
                "compressed messages are not taken", hint="send them as they are: identity"
            )
        content = await call.message()
        response = rpc.method.response

        async def tell(values: Values) -> None:
            await call.tell(response.encode(values))

        await rpc.serve(self._backend, scope, content, tell)


class _Exchange:
    """The two directions of one call."""

    def __init__(self, receive: Receive, send: Send, most_bytes: int, within_s: float) -> None:
        self.gone = False
        """The client hung up."""
        self.more: list[tuple[bytes, bytes]] = []
        """Headers of the answer."""
        self._receive = receive
        self._send = send
        self._within_s = within_s
        self._most_bytes = most_bytes
        self._frames = Frames(most_bytes)
        self._fault: MnedgeError | None = None
        self._settled = trio.Event()
        """The request has come, or is known to be no good."""
        self._over = trio.Event()
        """All of the request has come."""
        self._begun = False

    async def listen(self, scope: trio.CancelScope) -> None:
        """Take what comes, also behind what was refused; cancel the scope if the client leaves."""
        while True:
            event = await self._receive()
            if event["type"] == "http.disconnect":
                self.gone = True
                scope.cancel()
                return
            if self._fault is None and not self._over.is_set():
                try:
                    self._frames.feed(event.get("body", b""))
                except MnedgeError as error:
                    self._fault = error
                    self._settled.set()
            if not event.get("more_body", False):
                self._over.set()
                self._settled.set()

    async def message(self) -> bytes:
        """Return the request's message.

        Raises: FrameError, TooLargeError, NotOfferedError; UnavailableError if it does not come.
        """
        with trio.move_on_after(self._within_s):
            await self._settled.wait()
            if self._fault is not None:
                raise self._fault
            return self._frames.only()
        raise UnavailableError(f"the request has not come within {self._within_s:g} s")

    async def tell(self, content: bytes) -> None:
        """Send one message.

        Raises: ReplyTooLargeError.
        """
        if len(content) > REPLY_BYTES:
            raise ReplyTooLargeError(
                f"the answer has {len(content)} bytes, and clients take {REPLY_BYTES}",
                hint="ask for less, or read it through REST",
            )
        if not self._begun:
            self._begun = True
            await begin(self._send, self.more)
        body = framed(content)
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self, end: End) -> None:
        """End the answer."""
        with trio.move_on_after(LINGER_S):
            await self._over.wait()
        with trio.move_on_after(LINGER_S):
            await finish(self._send, end, begun=self._begun, more=self.more)


def timeout_of(scope: Scope) -> float:
    """Return how long the client waits, in seconds; infinite if it does not say.

    Raises: UsageError.
    """
    given = header(scope, b"grpc-timeout")
    if given is None:
        return float("inf")
    match = _TIMEOUT.fullmatch(given)
    if match is None:
        raise UsageError(
            f"grpc-timeout {given[:20]!r} is no duration", hint="digits and one of H M S m u n"
        )
    return int(match[1]) * _UNITS_S[match[2]]


def _not_grpc(scope: Scope) -> tuple[int, str] | None:
    """Return the HTTP status and text for what cannot be answered in gRPC."""
    if scope["http_version"] != "2":
        return 426, "gRPC needs HTTP/2"
    if scope["method"] != "POST":
        return 405, "gRPC calls are POST requests"
    if _CONTENT_TYPES.fullmatch(header(scope, b"content-type") or b"") is None:
        return 415, "only application/grpc and application/grpc+proto are spoken here"
    if header(scope, b"te") != b"trailers":
        return 400, "gRPC needs `te: trailers`"
    return None


async def _plainly(send: Send, refusal: tuple[int, str]) -> None:
    status, text = refusal
    body = f"{text}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    if status == 426:
        headers.append((b"upgrade", b"h2c"))
    if status == 405:
        headers.append((b"allow", b"POST"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _first(group: ExceptionGroup[Any]) -> MnedgeError:
    for error in group.exceptions:
        if isinstance(error, MnedgeError):
            return error
        if isinstance(error, ExceptionGroup):
            return _first(error)
    raise group
