"""A server on real sockets, with a small application behind the layers."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from msgspec.structs import replace

from mnedge.config.settings import Config, GatewayLimits, Listen, Relay
from mnedge.daemon.clock import wall_clock
from mnedge.gateway.connection import App
from mnedge.gateway.guard import Guarding, guarded
from mnedge.gateway.server import Server
from mnedge.identity.audit import AuditLog
from mnedge.identity.tokens import Tokens
from mnedge.model.access import Scope
from mnedge.observe.metrics import Registry
from mnedge.part import running
from mnedge.store.memory import MemoryStore

DATE = 1_800_000_000.0


class Doors:
    """An open server and who may use it."""

    def __init__(self, server: Server, tokens: Tokens, audit: AuditLog, metrics: Registry) -> None:
        self.server = server
        self.tokens = tokens
        self.audit = audit
        self.metrics = metrics

    @property
    def port(self) -> int:
        """Of the first TCP listener."""
        return int(self.server.bound[1].address.rpartition(":")[2])

    async def token(self, scope: Scope = Scope.OPERATE) -> str:
        """Return a new token."""
        return (await self.tokens.issue("test", scope)).token

    async def raw(self, content: bytes, within_s: float = 5.0) -> bytes:
        """Send bytes and return everything that comes back until the end."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        with trio.fail_after(within_s):
            async with stream:
                await stream.send_all(content)
                return b"".join([piece async for piece in stream])


async def echo(scope, receive, send) -> None:
    """Answer what was asked, however it was asked."""
    path, body = scope["path"], b""
    if path == "/broken":
        raise RuntimeError("hunter2")
    if path == "/half":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("hunter2")
    if path == "/early":
        await answer(send, 200, b"early")
        return
    if path == "/slow":
        await trio.sleep(1.0)
    if path in ("/stream", "/flood"):
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            while True:
                piece = b"data: x\n\n" if path == "/stream" else b"data: " + b"x" * 65536
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                if path == "/stream":
                    await trio.sleep(0.05)
        finally:
            scope["state"]["ended"].append(path)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    who = scope["state"]["principal"]
    told = {
        "path": path,
        "method": scope["method"],
        "bytes": len(body),
        "who": who and who.name,
        "scope": who and who.scope,
        "version": scope["http_version"],
        "tls": scope["state"]["connection"].tls,
    }
    await answer(send, 200, json.dumps(told).encode())


async def answer(send, status: int, body: bytes) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def open_doors(
    folder: Path, app: App = echo, *, listen: Listen | None = None, ended=None, **limits
) -> AsyncIterator[Doors]:
    """Have a server; `limits` as in `relay.limits`, `ended` hears which streams ended."""
    listen = Listen(http="127.0.0.1:0") if listen is None else listen
    relay = Relay(listen=listen, limits=replace(GatewayLimits(), **limits))
    config = Config(data_dir=folder, runs_root=folder, home=folder, environ={}, relay=relay)
    heard = [] if ended is None else ended

    async def told(scope, receive, send):
        scope["state"]["ended"] = heard
        await app(scope, receive, send)

    async with running(MemoryStore()) as store:
        tokens = Tokens(store.table, folder, config.soul, "edge", lambda: DATE)
        audit = AuditLog(folder, config.soul.audit, lambda: DATE)
        metrics = Registry()
        by = Guarding(
            settings=lambda: config,
            tokens=tokens,
            audit=audit,
            now=lambda: DATE,
            metrics=metrics,
        )
        server = Server(guarded(told, by), lambda: config, wall_clock)
        async with running(tokens), running(audit), running(server):
            yield Doors(server, tokens, audit, metrics)
