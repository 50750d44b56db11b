"""A node without sockets: what routes use, over the memory store and on the virtual clock.

The host is real and runs its jobs; their work is scripted (`tests/runtime/rig.py`).
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from mnedge.config.settings import Audit, Soul
from mnedge.execution.inventory import Inventory
from mnedge.execution.pools import Pools
from mnedge.gateway.backend import Backend
from mnedge.gateway.connection import App, Connection, connected
from mnedge.gateway.feed import Feed
from mnedge.gateway.llm.accounts import Accounts
from mnedge.gateway.llm.proxy import Proxy
from mnedge.gateway.operations import Operations
from mnedge.gateway.rest.app import application
from mnedge.gateway.views import Views
from mnedge.identity.audit import AuditLog
from mnedge.identity.tokens import Tokens
from mnedge.observe.alerting import Alerting
from mnedge.observe.channels import SkillChannels
from mnedge.observe.jobs import JobWatch
from mnedge.observe.metrics import Registry
from mnedge.observe.traces import Spans
from mnedge.part import running
from mnedge.runtime.definitions import Definitions
from tests.runtime.rig import Rig, a_rig

NODE = "edge"
DATE = 1_800_000_000.0
"""What tokens and audit records are dated by: not before this program was written."""


class AnyRunner:
    """Stands for the local runner; the work itself is scripted."""

    name = "host_local"
    modules = ("MirrorNeuron.Runner.HostLocal",)
    isolation = "none"

    def available(self) -> str | None:
        return None


class Reloading:
    """A configuration that never changes."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self) -> dict[str, Any]:
        self.count += 1
        return {"changed": [], "needs_restart": [], "problems": []}


RUNNERS: dict[str, Any] = {name: AnyRunner() for name in ("host_local", *AnyRunner.modules)}


def joined(
    rig: Rig,
    host: Any,
    feed: Feed,
    operations: Operations,
    tokens: Tokens,
    audit: AuditLog,
    slo: Alerting,
) -> Backend:
    """Return the parts as routes get them."""
    return Backend(
        settings=lambda: rig.config,
        store=rig.store,
        host=host,
        bus=rig.bus,
        feed=feed,
        definitions=Definitions(rig.store, lambda: rig.config, runners=RUNNERS, now=rig.now),
        operations=operations,
        views=Views(rig.store),
        pools=Pools({"default": 4}).stats,
        inventory=Inventory(),
        tokens=tokens,
        audit=audit,
        models=Proxy(
            (), Accounts(rig.store.table, now=rig.now), secret=str, now=rig.now, environ={}
        ),
        metrics=slo.registry,
        spans=Spans(),
        watch=JobWatch(rig.store, rig.bus, slo.registry, Spans()),
        slo=slo,
        runners=RUNNERS,
        now=rig.now,
        config_shown=lambda: {"file": None, "config": {"node": rig.config.node}, "origins": {}},
        reload=Reloading(),
    )


@asynccontextmanager
async def a_backend(tmp_path: Path, **more: Any) -> AsyncIterator[tuple[Backend, Rig]]:
    """Have a node that owns its jobs; `more` as for `a_rig`."""
    async with (
        a_rig(tmp_path, **more) as rig,
        rig.host(adopting=True) as host,
        running(Feed(rig.bus, rig.store, lambda: rig.config)) as feed,
        running(Operations(rig.store, lambda: rig.config, host, now=rig.now)) as operations,
    ):
        config = rig.config
        tokens = Tokens(rig.store.table, config.data_dir, Soul(), NODE, lambda: DATE)
        audit = AuditLog(config.data_dir, Audit(), lambda: DATE, inline=True)
        async with running(tokens), running(audit):
            slo = Alerting(
                lambda: config.trace,
                Registry(),
                rig.store.table,
                SkillChannels({}, lambda: config.trace.notify, lambda _: ""),
                now=rig.now,
                node=NODE,
                tell=lambda level, text, fields: None,
            )
            async with running(slo):
                yield joined(rig, host, feed, operations, tokens, audit, slo), rig


def served(backend: Backend, *, listener: str = "unix") -> App:
    """Return the API behind all its layers; over `unix` every caller is the daemon's own user."""
    from mnedge.gateway.guard import Guarding, guarded

    guarding = Guarding(
        settings=backend.settings, tokens=backend.tokens, audit=backend.audit, now=lambda: DATE
    )
    uid = os.geteuid() if listener == "unix" else None
    address = "" if listener == "unix" else "127.0.0.1"
    connection = Connection(listener=listener, uid=uid, address=address)
    return connected(guarded(application(backend), guarding), connection)


def client(backend: Backend, *, listener: str = "unix", token: str = "") -> httpx.AsyncClient:
    """Return a client of the API, within this process."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    app: Any = served(backend, listener=listener)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://node", headers=headers)
