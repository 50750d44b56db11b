"""HTTP/1.1 and HTTP/2 as hypercorn speaks them, made strict.

HTTP/1.1: what two readers could understand differently is refused, not repaired: bare line feeds,
folded lines, two lengths, a length beside chunks, chunks in HTTP/1.0; no upgrades. HTTP/2: one
malformed or early-answered stream ends alone, never its connection, and a broken answer is reset so
that no client takes it for whole.
"""

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import h2.errors
import h2.events
import h2.exceptions
import h11
import msgspec
from h11._receivebuffer import ReceiveBuffer
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import StreamClosed
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H2ProtocolAssumedError, H11Protocol

MOST_HEADERS = 100
RESETS_ALLOWED = 200
"""Streams that a client may take back on one connection, beyond half of those it opened."""
_ALONE = re.compile(rb"(?<!\r)\n|\r(?!\n)")
_PATH = re.compile(rb"/[\x21-\x7e]*|\*")
_METHOD = re.compile(rb"[A-Z]{1,20}")
_PREFACE = b"PRI * HTTP/2.0\r\n\r\n"


def _refused(said: str, status: int = 400) -> h11.RemoteProtocolError:
    return h11.RemoteProtocolError(said, error_status_hint=status)


class StrictBuffer(ReceiveBuffer):
    """Gives h11 the lines of a head, if they can be understood in one way only."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__()
        self._most_bytes = most_bytes

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """Return the lines up to the first blank one; None if it has not come yet."""
        if self._data[:2] == b"\r\n":
            self._extract(2)
            return []
        end = self._data.find(b"\r\n\r\n", max(0, self._multiple_lines_search - 3))
        head = self._data[: len(self._data) if end < 0 else end]
        if len(head) > self._most_bytes:
            raise _refused("the head is too large", 431)
        if end < 0:
            self._multiple_lines_search = len(self._data)
            if _ALONE.search(head[:-1] if head[-1:] == b"\r" else head):
                raise _refused("lines must end with CR LF")
            return None
        if _ALONE.search(head):
            raise _refused("lines must end with CR LF")
        lines = bytes(head).split(b"\r\n")
        _refuse_ambiguous(lines)
        self._extract(end + 4)
        return [bytearray(line) for line in lines]


def _refuse_ambiguous(lines: list[bytes]) -> None:
    if len(lines) - 1 > MOST_HEADERS:
        raise _refused("too many headers", 431)
    names = [line.partition(b":")[0].lower() for line in lines[1:]]
    if any(line[:1] in (b" ", b"\t") for line in lines):
        raise _refused("folded lines are not understood")
    if names.count(b"content-length") > 1:
        raise _refused("more than one length")
    if b"transfer-encoding" in names:
        if b"content-length" in names:
            raise _refused("a length beside chunks")
        if lines[0].endswith(b"HTTP/1.0"):
            raise _refused("chunks in HTTP/1.0")


class StrictH11(H11Protocol):
    """HTTP/1.1 without upgrades; malformed requests get a problem document and the end."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        strict = StrictBuffer(self.config.h11_max_incomplete_size)
        self.connection._receive_buffer = strict  # type: ignore[union-attr]

    async def _check_protocol(self, event: h11.Request) -> None:
        if (event.method, event.target, event.http_version) == (b"PRI", b"*", b"2.0"):
            raise H2ProtocolAssumedError(_PREFACE + self.connection.trailing_data[0])

    async def _create_stream(self, request: h11.Request) -> None:
        if request.http_version not in (b"1.0", b"1.1"):
            await self._send_error_response(505)
            await self.send(Closed())
            return
        headers = [(name, value) for name, value in request.headers if name != b"upgrade"]
        if len(headers) != len(request.headers):
            request = h11.Request(
                method=request.method,
                target=request.target,
                headers=headers,
                http_version=request.http_version,
            )
        await super()._create_stream(request)

    async def _send_error_response(self, status_code: int) -> None:
        body = msgspec.json.encode(
            {
                "type": "urn:mnedge:error:http.malformed",
                "title": "Malformed request",
                "status": status_code,
                "detail": "this is no HTTP request that can be understood in one way only",
                "code": "http.malformed",
                "hint": "",
            }
        )
        await self._send_h11_event(
            h11.Response(
                status_code=status_code,
                headers=[
                    (b"content-type", b"application/problem+json"),
                    (b"content-length", str(len(body)).encode()),
                    (b"connection", b"close"),
                    *self.config.response_headers("h11"),
                ],
            )
        )
        await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())


class SafeH2(H2Protocol):
    """HTTP/2 whose streams fail one by one."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.connection.decoder.max_header_list_size = self.config.h2_max_header_list_size
        self._opened = 0
        self._resets = 0

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        for event in events:
            if await self._ours(event):
                await super()._handle_events([event])
        await self._flush()

    async def _ours(self, event: h2.events.Event) -> bool:
        """Tell whether hypercorn shall see it; handle here what would break the connection."""
        match event:
            case h2.events.RequestReceived():
                self._opened += 1
                if not _understood(event.headers or []):
                    self._reset(event.stream_id, h2.errors.ErrorCodes.PROTOCOL_ERROR)
                    return False
            case h2.events.DataReceived() if event.stream_id not in self.streams:
                # Answered before the body was in: give the window back, drop the bytes.
                with suppress(h2.exceptions.ProtocolError):
                    self.connection.acknowledge_received_data(
                        event.flow_controlled_length or 0, event.stream_id or 0
                    )
                return False
            case h2.events.StreamReset():
                self._resets += 1
                if self._resets > RESETS_ALLOWED + self._opened // 2:
                    self.connection.close_connection(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
                    await self._flush()
                    await self.send(Closed())
                    return False
            case h2.events.PriorityUpdated():
                return event.stream_id in self.streams and event.depends_on != event.stream_id
            case _:
                pass
        return True

    async def stream_send(self, event: StreamEvent) -> None:
        """Send what an application says; a stream that ends without an end is reset."""
        if isinstance(event, StreamClosed):
            buffer = self.stream_buffers.get(event.stream_id)
            if buffer is not None and not buffer._complete:
                self._reset(event.stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)
                await self._flush()
                await buffer.close()
        await super().stream_send(event)
        if isinstance(event, StreamClosed):
            await self._end_upload(event.stream_id)

    async def _send_data(self, stream_id: int) -> None:
        await super()._send_data(stream_id)
        await self._end_upload(stream_id)

    async def _end_upload(self, stream_id: int) -> None:
        """Tell a client that still sends a body which was answered already that it may stop."""
        if stream_id in self.streams or stream_id in self.stream_buffers:
            return
        stream = self.connection.streams.get(stream_id)
        if stream is not None and not stream.closed:
            self._reset(stream_id, h2.errors.ErrorCodes.NO_ERROR)
            await self._flush()

    async def go_away(self) -> None:
        """Say that no further request is taken, and that all taken ones were answered."""
        with suppress(h2.exceptions.ProtocolError):
            self.connection.close_connection()
        await self._flush()

    def _reset(self, stream_id: int | None, code: h2.errors.ErrorCodes) -> None:
        with suppress(h2.exceptions.ProtocolError):
            self.connection.reset_stream(stream_id or 0, code)


def _understood(headers: Any) -> bool:
    """Tell whether an application can be given this request."""
    pseudo = {name: value for name, value in headers if name[:1] == b":"}
    return (
        _METHOD.fullmatch(pseudo.get(b":method", b"")) is not None
        and pseudo[b":method"] != b"CONNECT"
        and _PATH.fullmatch(pseudo.get(b":path", b"")) is not None
    )


class Protocol:
    """Begins with what TLS agreed on, else HTTP/1.1, and becomes HTTP/2 where a client says so."""

    def __init__(
        self,
        parts: tuple[Any, ...],
        send: Callable[[Event], Awaitable[None]],
        *,
        http2: bool,
    ) -> None:
        """`parts`: what hypercorn's protocols take, up to `send`."""
        self._parts = (*parts, send)
        self._send = send
        self.spoken: StrictH11 | SafeH2 = (SafeH2 if http2 else StrictH11)(*self._parts)

    async def initiate(self) -> None:
        """Say hello, where the protocol does."""
        await self.spoken.initiate()

    async def handle(self, event: Event) -> None:
        """Take what came in."""
        try:
            await self.spoken.handle(event)
        except H2ProtocolAssumedError as error:
            self.spoken = SafeH2(*self._parts)
            await self.spoken.initiate()
            await self._send(Updated(idle=True))
            await self.spoken.handle(RawData(data=error.data))

    async def end(self) -> None:
        """Everybody who still works for this connection may stop."""
        await self.spoken.handle(Closed())

    async def say_goodbye(self) -> None:
        """Tell an idle peer that the connection ends, where the protocol can."""
        if isinstance(self.spoken, SafeH2):
            await self.spoken.go_away()

    @property
    def mid_request(self) -> bool:
        """True if the peer may still be sending a body that nobody wants."""
        spoken = self.spoken
        return isinstance(spoken, StrictH11) and spoken.connection.their_state is h11.SEND_BODY


def settings_of(*, header_bytes: int, streams: int, logger: Any) -> Config:
    """Return what hypercorn's protocols are told."""
    config = Config()
    config.h11_max_incomplete_size = header_bytes
    config.h2_max_header_list_size = header_bytes
    config.h2_max_concurrent_streams = streams
    config.keep_alive_max_requests = 1 << 31  # hypercorn cuts running streams when it is reached
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = logger
    return config
