"""The node of a daemon: work, gateway and all that watches them, joined by hand on one screen.

Apart from `app`, because a node inside another program loads none of this.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from random import SystemRandom

import trio
from msgspec import Struct

from mnedge.bus import Bus
from mnedge.config.current import Change, Current
from mnedge.config.settings import Config
from mnedge.config.shown import document
from mnedge.daemon.app import connectors_of, inventory_of, sole_daemon
from mnedge.daemon.clock import wall_clock
from mnedge.daemon.endpoints import Address, EndpointFiles, Given, Issue, Listeners
from mnedge.daemon.outside import proven_plugins, states_of
from mnedge.daemon.owner import require_owner
from mnedge.daemon.reloading import Reloading
from mnedge.daemon.store import opened_store
from mnedge.execution.attempt import Executor
from mnedge.execution.inventory import Inventory
from mnedge.execution.processes import Processes
from mnedge.gateway.app import application
from mnedge.gateway.backend import Backend
from mnedge.gateway.feed import Feed
from mnedge.gateway.guard import Guarding, guarded
from mnedge.gateway.llm.accounts import Accounts
from mnedge.gateway.llm.figures import observer_of, show_states
from mnedge.gateway.llm.proxy import Proxy
from mnedge.gateway.operations import Operations
from mnedge.gateway.server import Bound, Server
from mnedge.gateway.views import Views
from mnedge.identity.audit import AuditLog
from mnedge.identity.secrets import Secrets
from mnedge.identity.tokens import Tokens
from mnedge.model.access import Scope
from mnedge.observe.alerting import Alerting
from mnedge.observe.channels import SkillChannels
from mnedge.observe.jobs import JobWatch
from mnedge.observe.logs import Log
from mnedge.observe.machine import (
    measure_devices,
    measure_plugins,
    measure_pools,
    measure_process,
    measure_store,
    measure_streams,
)
from mnedge.observe.metrics import Registry
from mnedge.observe.otel import Exporter, OtlpSender
from mnedge.observe.traces import Spans
from mnedge.observe.work import WatchedWork
from mnedge.part import Part, running
from mnedge.plugins import loading
from mnedge.runtime.definitions import Definitions
from mnedge.runtime.host import Host
from mnedge.store.condition import Condition
from mnedge.store.schema import database_path
from mnedge.store.sqlite import SqliteStore


class Serving(Struct, frozen=True, kw_only=True):
    """A daemon's node that is up."""

    config: Config
    store: SqliteStore
    executor: Executor
    host: Host
    inventory: Inventory
    """It has not looked yet: that must not keep anybody from being ready."""
    listeners: Listeners
    plugins: loading.Plugins

    @property
    def status(self) -> str:
        """Return in one line where it listens."""
        told = self.listeners
        places = [told.socket, told.api_url, told.grpc and f"grpc {told.grpc}"]
        return f"ready on {', '.join(place for place in places if place)}"

    def stop(self) -> None:
        """Take no new work and start nothing more; what runs may end."""
        self.executor.stop()
        self.host.stop()


@asynccontextmanager
async def serving(
    current: Current, reloading: Reloading, log: Log, secrets: Secrets
) -> AsyncIterator[Serving]:
    """Have a daemon's node that is up and reached.

    Raises: DaemonRunningError if another one serves the data directory; OwnerNeededError for root
    at the data of somebody else, whose workers would be root's.
    """
    config, now = current(), wall_clock
    require_owner(config)
    spawner = Processes()
    found = await proven_plugins(config, is_daemon=True)
    runners = loading.runners(found, spawner)
    skills = loading.skills(found, str(config.data_dir / "skills"), config.daemon.skill_folders)
    bus, registry, spans = Bus(), Registry(), Spans()
    async with (
        opened_store(config, as_owner=False) as store,
        sole_daemon(store, config),
        AsyncExitStack() as parts,
    ):
        store.conditions.tell(_disk_told(log))
        inventory = inventory_of(config, found, log.told_by("devices"))
        executor = Executor(
            config,
            runners,
            store.blobs,
            random=SystemRandom(),
            now=now,
            spawner=spawner,
            inventory=inventory,
        )
        work = WatchedWork(executor, registry, spans, now=now)
        connectors = connectors_of(config, found)
        host = Host(store, config, work, bus, now=now, adopting=True, connectors=connectors)
        feed = Feed(bus, store, current)
        audit = AuditLog(config.data_dir, config.soul.audit, now, redact=secrets.text)
        tokens = Tokens(store.table, config.data_dir, lambda: current().soul, config.node, now)
        accounts = Accounts(store.table, now=now)
        models = Proxy(
            config.relay.adapters,
            accounts,
            secret=secrets.resolve,
            now=now,
            environ=config.environ,
            observer=observer_of(registry),
        )
        show_states(registry, models)
        alerting = Alerting(
            lambda: current().trace,
            registry,
            store.table,
            SkillChannels(skills, lambda: current().trace.notify, secrets.resolve),
            now=now,
            node=config.node,
            tell=log.told_by("alerting"),
            probe=lambda: store.conditions.current.name == "ok" and not host.stopping,
        )
        exporter = Exporter(
            config.trace.otel,
            spans,
            registry,
            sender=lambda: OtlpSender(config.trace.otel, config.node, secrets.resolve),
            tell=log.told_by("otel"),
        )
        watch = JobWatch(store, bus, registry, spans)
        operations = Operations(store, current, host, now=now)
        backend = Backend(
            settings=current,
            store=store,
            host=host,
            bus=bus,
            feed=feed,
            definitions=Definitions(
                store, current, runners=runners, now=now, connectors=connectors
            ),
            operations=operations,
            views=Views(store),
            tokens=tokens,
            audit=audit,
            metrics=registry,
            spans=spans,
            watch=watch,
            slo=alerting,
            models=models,
            pools=executor.stats,
            inventory=inventory,
            runners=runners,
            now=now,
            config_shown=lambda: document(current.loaded),
            reload=reloading.reload,
            connectors=connectors,
        )
        guarding = Guarding(
            settings=current,
            tokens=tokens,
            audit=audit,
            now=now,
            metrics=registry,
            redact=secrets.text,
        )
        server = Server(guarded(application(backend), guarding), current, now)
        measure_process(registry, now=now, node=config.node)
        measure_pools(registry, executor.stats)
        measure_devices(registry, lambda: inventory.devices)
        measure_store(registry, store.conditions, Path(database_path(str(config.data_dir))))
        measure_plugins(registry, lambda: states_of(config))
        measure_streams(registry, lambda: feed.open_streams)
        early: Sequence[Part] = (audit, tokens, accounts, models, feed, exporter, watch, alerting)
        for part in (*early, host, operations, server):
            await parts.enter_async_context(running(part))
        reloading.always(inventory.look_soon)
        reloading.follow(_reconfigured(models, alerting, current))
        listeners = listeners_of(server.bound)
        files = EndpointFiles(
            config, listeners, issuer(tokens), now=now, say=partial(log.say, "warning", "daemon")
        )
        async with running(files):
            yield Serving(
                config=config,
                store=store,
                executor=executor,
                host=host,
                inventory=inventory,
                listeners=listeners,
                plugins=found,
            )


def listeners_of(bound: Sequence[Bound]) -> Listeners:
    """Return the doors that are open; one of a name counts, whose other addresses are the same."""
    first = {one.listener: one for one in reversed(bound)}
    return Listeners(
        socket=first["unix"].address if "unix" in first else None,
        http=Address.parse(first["http"].address) if "http" in first else None,
        grpc=Address.parse(first["grpc"].address) if "grpc" in first else None,
        tls=any(one.tls for one in bound),
    )


def issuer(tokens: Tokens) -> Issue:
    """Return what gives the published client its tokens: it acts for the owner of this node."""

    async def issue(holder: str) -> Given:
        issued = await tokens.issue(holder, Scope.ADMIN, by="mnedge daemon")
        return Given(issued.token, issued.expires_at)

    return issue


def _disk_told(log: Log) -> Callable[[Condition], None]:
    """Return what writes of the disk's condition; the threads that meet it do not wait for it."""
    loop = trio.lowlevel.current_trio_token()

    def write(condition: Condition) -> None:
        if condition.name == "ok":
            log.say("info", "store", "the disk takes what is written again")
        else:
            log.say("error", "store", condition.message, condition=condition.name)

    def told(condition: Condition) -> None:
        with suppress(trio.RunFinishedError):
            loop.run_sync_soon(write, condition)

    return told


def _reconfigured(
    models: Proxy, alerting: Alerting, current: Current
) -> Callable[[Sequence[Change]], None]:
    def changed(changes: Sequence[Change]) -> None:
        alerting.reload()
        if any(change.path == "relay.adapters" for change in changes):
            models.configure(current().relay.adapters)

    return changed
