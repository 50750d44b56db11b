"""What the server knows of a connection, as requests on it carry it in their ASGI scope."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import trio
from msgspec import Struct

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An ASGI application."""

_KEY = "connection"


class Connection(Struct, frozen=True, kw_only=True):
    """Where a request came in."""

    listener: str
    """`unix`, `http` or `grpc`."""
    address: str = ""
    """The peer's IP address; for a unix socket what the kernel says of it."""
    tls: bool = False
    uid: int | None = None
    """The peer's user; unix socket only."""
    gid: int | None = None
    pid: int | None = None

    @property
    def local(self) -> bool:
        """True for the unix socket."""
        return self.listener == "unix"


UNKNOWN = Connection(listener="unknown")
"""Nothing is known: whoever asks must prove who they are."""


def state_of(connection: Connection) -> dict[str, Any]:
    """Return what a server puts into the state of every request on this connection."""
    return {_KEY: connection}


def connection_of(scope: Scope) -> Connection:
    """Return where the request came in."""
    found = scope.get("state", {}).get(_KEY)
    return found if isinstance(found, Connection) else UNKNOWN


def connected(app: App, connection: Connection) -> App:
    """Return the application as if every request came by this connection: for calls without a
    server."""

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        await app(
            {**scope, "state": {**scope.get("state", {}), **state_of(connection)}}, receive, send
        )

    return asked


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return the first value of a header; None if it is not there."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


async def until_gone(receive: Receive, scope: trio.CancelScope) -> None:
    """Cancel the scope when the client has gone; what it still sends is passed over."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def is_grpc(scope: Scope) -> bool:
    """Tell whether the request is a gRPC call."""
    return (header(scope, b"content-type") or b"").startswith(b"application/grpc")
