"""One connection, from the handshake to its end. Whatever breaks on it, breaks it alone."""

import logging
import ssl
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.worker_context import WorkerContext
from msgspec import Struct

from mnedge.gateway.connection import App, Connection, state_of
from mnedge.gateway.http_exchange import Exchange
from mnedge.gateway.strict_http import Protocol

MAX_RECV_BYTES = 64 << 10
SEND_S = 30.0
"""How long a peer may take none of what is sent to it."""
LINGER_S = 2.0
LINGER_BYTES = 4 << 20
"""What is read and dropped after an early answer, so that the peer gets to read it."""
HANDSHAKE_S = 10.0
_log = logging.getLogger("mnedge.gateway")

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class Patience(Struct, frozen=True):
    """How long is waited for a peer."""

    request_s: float
    idle_s: float


class ServedConnection:
    """Reads, feeds the protocol, writes what it says."""

    def __init__(
        self,
        app: App,
        config: Config,
        context: WorkerContext,
        socket: trio.SocketStream,
        connection: Connection,
        patience: Callable[[], Patience],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._app = app
        self._config = config
        self._context = context
        self._socket = socket
        self._stream: Stream = socket
        self._connection = connection
        self._patience = patience()
        self._tls = tls
        self._lock = trio.Lock()
        self._reading = trio.CancelScope()
        self._deadline = inf
        self._idle = True
        self._closing = False
        self._nursery: trio.Nursery
        self._protocol: Protocol
        self._exchanges: set[Exchange] = set()

    async def serve(self) -> None:
        """Serve until either side ends it."""
        try:
            http2 = await self._shaken_hands()
            await self._serve(http2)
        except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            pass
        except* Exception as error:
            _log.warning("a connection from %s broke", self._connection.address, exc_info=error)
        finally:
            with trio.move_on_after(LINGER_S, shield=True):
                await trio.aclose_forcefully(self._stream)

    def stop(self) -> None:
        """Take no further request; event streams end, other answers are finished."""
        for exchange in tuple(self._exchanges):
            if exchange.endless:
                exchange.cut()
        if self._idle:
            self._deadline = self._reading.deadline = -inf

    def abort(self) -> None:
        """Let go at once, whatever is under way."""
        self._socket.socket.close()

    # What hypercorn's protocols call a task group.

    async def spawn_app(self, app: App, config: Config, scope: Any, send: Any) -> Any:
        """Start the application on a request; return where the request's pieces go."""
        del config
        exchange = Exchange(
            app,
            scope,
            send,
            timeout_s=self._patience.request_s,
            over=self._exchanges.discard,
        )
        self._exchanges.add(exchange)
        self._nursery.start_soon(exchange.run)
        return exchange.put

    def spawn(self, func: Any, *args: Any) -> None:
        """Start a task of the protocol."""
        self._nursery.start_soon(func, *args)

    async def _shaken_hands(self) -> bool:
        """Agree on TLS if this listener speaks it; return whether HTTP/2 was agreed on."""
        if self._tls is None:
            return False
        stream = trio.SSLStream(self._socket, self._tls, server_side=True, https_compatible=True)
        self._stream = stream
        with trio.fail_after(HANDSHAKE_S):
            await stream.do_handshake()
        return bool(stream.selected_alpn_protocol() == "h2")

    async def _serve(self, http2: bool) -> None:
        socket = self._socket.socket
        client = None if self._connection.local else socket.getpeername()[:2]
        server = None if self._connection.local else socket.getsockname()[:2]
        async with trio.open_nursery() as self._nursery:
            self._protocol = Protocol(
                (
                    self._app,
                    self._config,
                    self._context,
                    self,
                    state_of(self._connection),
                    self._tls is not None,
                    client,
                    server,
                ),
                self._send,
                http2=http2,
            )
            self._deadline = trio.current_time() + self._patience.request_s
            await self._protocol.initiate()
            await self._read()
            await self._protocol.end()
            self._nursery.cancel_scope.deadline = trio.current_time() + LINGER_S

    async def _read(self) -> None:
        dropped = 0
        while True:
            with trio.CancelScope(deadline=self._deadline) as self._reading:
                data = await self._stream.receive_some(MAX_RECV_BYTES)
            if self._reading.cancelled_caught:
                if self._idle and not self._closing:
                    await self._protocol.say_goodbye()
                return
            if self._closing:
                dropped += len(data)
                if not data or dropped > LINGER_BYTES:
                    return
                continue
            await self._protocol.handle(RawData(bytes(data)))
            if not data:
                return

    async def _send(self, event: Event) -> None:
        match event:
            case RawData():
                await self._write(event.data)
            case Closed():
                await self._close()
            case Updated():
                self._idle = event.idle
                self._wait_until(trio.current_time() + self._patience.idle_s if event.idle else inf)
                if event.idle and self._context.terminated.is_set():
                    self._wait_until(-inf)
            case _:
                pass

    async def _write(self, data: bytes) -> None:
        """Write all of it, even if whoever says it is cancelled: half a frame breaks the rest."""
        if self._closing:
            return
        with trio.CancelScope(shield=True):
            async with self._lock:
                try:
                    with trio.fail_after(SEND_S):
                        await self._stream.send_all(data)
                except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
                    self._closing = True
                    self._wait_until(-inf)
                    broken = True
                else:
                    broken = False
        if broken:
            await self._protocol.end()

    async def _close(self) -> None:
        """End our side; read on a little if the peer may be in the middle of sending."""
        linger = self._protocol.mid_request
        self._closing = True
        self._wait_until(trio.current_time() + LINGER_S if linger else -inf)
        if isinstance(self._stream, trio.SocketStream):
            with trio.move_on_after(LINGER_S, shield=True):
                async with self._lock:
                    with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                        await self._stream.send_eof()
        await self._protocol.end()

    def _wait_until(self, deadline: float) -> None:
        self._deadline = self._reading.deadline = deadline
