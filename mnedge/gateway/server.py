"""The gateway's doors: one application on a unix socket and, when asked, on TCP.

hypercorn speaks the protocols; accepting, limits and endings are ours. A connection that breaks
never takes another with it.
"""

import logging
import resource
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import trio
from hypercorn.trio.worker_context import WorkerContext
from msgspec import Struct

from mnedge.config.settings import Config
from mnedge.gateway.connection import App, Connection
from mnedge.gateway.endpoints import endpoints, has_own_files, opened, tls_context
from mnedge.gateway.served_connection import Patience, ServedConnection
from mnedge.gateway.strict_http import settings_of
from mnedge.gateway.unix_socket import listening, peer_of, remove
from mnedge.identity.certificates import fingerprint_of, own_certificate
from mnedge.part import Part

STREAMS_PER_CONNECTION = 128
RESERVED = 64
"""Connections of the unix socket beyond all others, so that its owner always gets in."""
FILES_FOR_WORK = 256
"""Open files that connections leave to jobs, streams and the store."""
FEWEST = 8
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-length: 0\r\n"
    b"connection: close\r\n\r\n"
)
_ACCEPT_AGAIN_S = 0.1
_log = logging.getLogger("mnedge.gateway")


class Bound(Struct, frozen=True, kw_only=True):
    """A door that is open."""

    listener: str
    """`unix`, `http` or `grpc`."""
    address: str
    """The path, or `HOST:PORT` with the real port."""
    url: str
    """`unix:PATH`, `http://…` or `https://…`."""
    tls: bool = False


class _Door(Struct, frozen=True):
    bound: Bound
    listener: trio.SocketListener
    tls: ssl.SSLContext | None


class Server(Part):
    """Accepts and serves; `bound` says where."""

    grace_s: ClassVar[float] = 5.0

    def __init__(self, app: App, settings: Callable[[], Config], now: Callable[[], float]) -> None:
        self._app = app
        self._settings = settings
        self._now = now
        self._context = WorkerContext(None)
        self._taking = trio.CancelScope()
        self._serving: set[ServedConnection] = set()
        self._left = trio.Event()
        self.bound: tuple[Bound, ...] = ()
        """Where it listens; known when the part has started."""
        self.fingerprint = ""
        """SHA-256 of the certificate shown on TCP; empty without TLS."""

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._serving)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until stopped, then let answers finish that are under way.

        Raises: SocketTakenError, ListenFailedError, PlainListenerError, EndpointInvalidError.
        """
        config = self._settings()
        protocol = settings_of(
            header_bytes=config.relay.limits.header_bytes,
            streams=STREAMS_PER_CONNECTION,
            logger=_log,
        )
        doors = self._doors(config)
        self.bound = tuple(door.bound for door in doors)
        inode = config.socket.lstat().st_ino
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._abort_when_cancelled)
                with self._taking:
                    async with trio.open_nursery() as taking:
                        for door in doors:
                            taking.start_soon(self._accept, door, nursery, protocol)
                        task_status.started()
                await self._finish(doors)
                nursery.cancel_scope.cancel()
        finally:
            for door in doors:
                door.listener.socket.close()
            remove(config.socket, inode)

    def stop(self) -> None:
        """Close the doors; answers under way are finished, event streams end."""
        self._taking.cancel()
        for served in tuple(self._serving):
            served.stop()

    async def _finish(self, doors: list[_Door]) -> None:
        for door in doors:
            door.listener.socket.close()
        await self._context.terminated.set()
        for served in tuple(self._serving):
            served.stop()
        while self._serving:
            self._left = trio.Event()
            await self._left.wait()

    async def _abort_when_cancelled(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            for served in tuple(self._serving):
                served.abort()

    def _doors(self, config: Config) -> list[_Door]:
        listen = config.relay.listen
        wanted = endpoints(listen)
        context = self._tls(config) if wanted else None
        made = listening(config.socket, listen.socket_group)
        path, inode = str(config.socket), config.socket.lstat().st_ino
        doors = [
            _Door(Bound(listener="unix", address=path, url=f"unix:{path}"), _listener(made), None)
        ]
        try:
            for one in wanted:
                for made in opened(one):
                    host, port = made.getsockname()[:2]
                    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
                    scheme = "http" if context is None else "https"
                    bound = Bound(
                        listener=one.listener,
                        address=address,
                        url=f"{scheme}://{address}",
                        tls=context is not None,
                    )
                    doors.append(_Door(bound, _listener(made), context))
        except BaseException:
            for door in doors:
                door.listener.socket.close()
            remove(config.socket, inode)
            raise
        return doors

    def _tls(self, config: Config) -> ssl.SSLContext | None:
        tls = config.relay.listen.tls
        if tls is None:
            return None
        if has_own_files(tls):
            certificate, key = Path(tls.cert_file or ""), Path(tls.key_file or "")
        else:
            own = own_certificate(config.data_dir, config.node, self._now())
            certificate, key = own.certificate, own.key
        context = tls_context(certificate, key)
        self.fingerprint = fingerprint_of(certificate)
        return context

    async def _accept(self, door: _Door, nursery: trio.Nursery, protocol: object) -> None:
        failing = False
        while True:
            try:
                stream = await door.listener.accept()
            except OSError as error:  # too many open files, or a peer that left at once
                if not failing:
                    _log.warning("cannot accept on %s: %s", door.bound.address, error.strerror)
                failing = True
                await trio.sleep(_ACCEPT_AGAIN_S)
                continue
            failing = False
            nursery.start_soon(self._serve, stream, door, protocol)

    async def _serve(self, stream: trio.SocketStream, door: _Door, protocol: object) -> None:
        local = door.bound.listener == "unix"
        if len(self._serving) >= most_connections(self._settings(), local=local):
            await self._turn_away(stream, plain=door.tls is None)
            return
        try:
            connection = _connection(stream, door)
        except OSError:
            await trio.aclose_forcefully(stream)
            return
        served = ServedConnection(
            self._app,
            protocol,  # type: ignore[arg-type]
            self._context,
            stream,
            connection,
            self._patience,
            door.tls,
        )
        self._serving.add(served)
        try:
            await served.serve()
        finally:
            self._serving.discard(served)
            self._left.set()

    def _patience(self) -> Patience:
        limits = self._settings().relay.limits
        return Patience(limits.request_timeout, limits.idle_timeout)

    @staticmethod
    async def _turn_away(stream: trio.SocketStream, *, plain: bool) -> None:
        with trio.move_on_after(1):
            try:
                if plain:
                    await stream.send_all(_BUSY)
            except trio.BrokenResourceError:
                pass
        await trio.aclose_forcefully(stream)


def most_connections(config: Config, *, local: bool) -> int:
    """Return how many connections are served at once: as set, and as open files allow.

    Files that the process may open beyond those are for the work itself.
    """
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY:
        files = sys.maxsize
    most = min(config.relay.limits.max_connections, max(FEWEST, files - FILES_FOR_WORK))
    return most + (min(RESERVED, files // 16) if local else 0)


def _listener(made: object) -> trio.SocketListener:
    return trio.SocketListener(trio.socket.from_stdlib_socket(made))  # type: ignore[arg-type]


def _connection(stream: trio.SocketStream, door: _Door) -> Connection:
    """Return what the kernel says of the other end."""
    bound = door.bound
    if bound.listener == "unix":
        peer = peer_of(stream.socket)  # type: ignore[arg-type]
        return Connection(
            listener="unix",
            address=f"unix:pid={peer.pid}",
            uid=peer.uid,
            gid=peer.gid,
            pid=peer.pid,
        )
    address = str(stream.socket.getpeername()[0])
    return Connection(
        listener=bound.listener, address=address.removeprefix("::ffff:"), tls=bound.tls
    )
