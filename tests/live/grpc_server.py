"""A node behind real sockets, for a real gRPC client; its store is memory and its work scripted."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mnedge.config.settings import Listen, Relay
from mnedge.gateway.connection import App, Receive, Scope, Send
from mnedge.gateway.server import Server
from mnedge.part import running
from tests.gateway.grpc.wire import Wire, a_wire


def known(wire: Wire) -> App:
    """Return the application as behind the layers that recognise callers."""

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] |= {
            "principal": wire.principal,
            "refusal": wire.refusal,
            "audit": wire.audit,
            "request_id": "req_1",
        }
        await wire.app(scope, receive, send)

    return asked


@asynccontextmanager
async def a_server(
    tmp_path: Path, around: Callable[[Wire], App] = known, **more: Any
) -> AsyncIterator[tuple[Wire, str]]:
    """Serve on a free port of the loopback; give the address."""
    settings = {"relay": Relay(listen=Listen(grpc="127.0.0.1:0"), **more.pop("relay", {}))}
    async with a_wire(tmp_path, settings=settings, **more) as wire:
        server = Server(around(wire), wire.backend.settings, wire.backend.now)
        async with running(server):
            (address,) = [one.address for one in server.bound if one.listener == "grpc"]
            yield wire, address
