"""A node, built and joined by hand: every part on one screen."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import SystemRandom

import pluggy
import trio
from msgspec import Struct

from mnedge.bus import Bus
from mnedge.config.settings import Config
from mnedge.daemon.clock import wall_clock
from mnedge.daemon.outside import plugins_of, proven_plugins
from mnedge.daemon.owner import require_owner
from mnedge.daemon.store import DAEMON, opened_store
from mnedge.errors import ConflictError, UnavailableError
from mnedge.execution.attempt import Executor
from mnedge.execution.inventory import Inventory, Tell, unheard
from mnedge.execution.processes import Processes
from mnedge.part import running
from mnedge.plugins import loading
from mnedge.ports import Connector, Runner, Spawner
from mnedge.runtime.host import Host
from mnedge.runtime.input_reading import NO_CONNECTORS
from mnedge.store.claims import process_name
from mnedge.store.sqlite import SqliteStore


class DaemonRunningError(ConflictError):
    """Another daemon already serves this data directory."""

    code = "daemon.running"


class Node(Struct, frozen=True):
    """What runs in this process."""

    config: Config
    store: SqliteStore
    bus: Bus
    host: Host
    runners: Mapping[str, Runner]
    connectors: Mapping[str, Connector] = NO_CONNECTORS


def runners_of(config: Config, spawner: Spawner) -> Mapping[str, Runner]:
    """Return the runners of all plugins, by every name they go by."""
    return loading.runners(plugins_of(config), spawner)


def inventory_of(config: Config, found: pluggy.PluginManager, tell: Tell = unheard) -> Inventory:
    """Return what looks for the devices of this machine; it has not looked yet."""
    told = config.devices
    probes = loading.devices(found, told.sys_root, told.dev_root)
    return Inventory(probes, config.environ, disabled=told.disabled, tell=tell)


def connectors_of(
    config: Config, found: pluggy.PluginManager | None = None
) -> Mapping[str, Connector]:
    """Return the connectors of all plugins."""
    found = plugins_of(config) if found is None else found
    return loading.connectors(found, config.connectors.folders)


@asynccontextmanager
async def node(config: Config, *, adopting: bool = False) -> AsyncIterator[Node]:
    """Have a node running in this process; it owns only what it is asked to.

    `adopting`: it takes up every job without an owner; one node per data directory may.
    Raises: DaemonRunningError if another one does; OwnerNeededError.
    """
    require_owner(config)
    spawner = Processes()
    found = await proven_plugins(config)
    runners = loading.runners(found, spawner)
    bus = Bus()
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(opened_store(config))
        if adopting:
            await stack.enter_async_context(sole_daemon(store, config))
        work = Executor(
            config,
            runners,
            store.blobs,
            random=SystemRandom(),
            now=wall_clock,
            spawner=spawner,
            inventory=inventory_of(config, found),
        )
        connectors = connectors_of(config, found)
        host = Host(
            store, config, work, bus, now=wall_clock, adopting=adopting, connectors=connectors
        )
        async with running(host):
            yield Node(
                config=config,
                store=store,
                bus=bus,
                host=host,
                runners=runners,
                connectors=connectors,
            )


@asynccontextmanager
async def sole_daemon(store: SqliteStore, config: Config) -> AsyncIterator[None]:
    """Be the one process that adopts jobs of this data directory.

    Raises: DaemonRunningError.
    """
    claim = await store.claims.claim(DAEMON)
    if claim is None:
        holder = await store.claims.holder(DAEMON)
        raise DaemonRunningError(
            f"a daemon already serves {config.data_dir} ({process_name(holder)})",
            hint="stop it, or give this one a data directory of its own with --data-dir",
        )
    try:
        yield
    finally:
        with trio.CancelScope(shield=True), suppress(UnavailableError):
            await store.claims.release(claim)  # else it is free when this process has ended
