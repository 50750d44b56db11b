"""The node of a daemon: work, gateway and all that watches them, joined by hand on one screen.

Apart from `app`, because a node inside another program loads none of this.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from msgspec import Struct

from mnedge.config.current import Current
from mnedge.config.settings import Config
from mnedge.daemon.app import Node, node
from mnedge.daemon.clock import wall_clock
from mnedge.daemon.endpoints import EndpointFiles, Listeners
from mnedge.daemon.reloading import Reloading
from mnedge.part import running
from mnedge.runtime.host import Host
from mnedge.store.sqlite import SqliteStore

Say = Callable[[str], None]


class Serving(Struct, frozen=True, kw_only=True):
    """A daemon's node that is up."""

    current: Current
    node: Node
    listeners: Listeners

    @property
    def config(self) -> Config:
        """The configuration as it is now."""
        return self.current()

    @property
    def store(self) -> SqliteStore:
        """Where everything is kept."""
        return self.node.store

    @property
    def host(self) -> Host:
        """What carries the jobs."""
        return self.node.host

    @property
    def status(self) -> str:
        """Return in one line where it listens."""
        places = [self.listeners.socket, self.listeners.api_url, self.listeners.grpc]
        return f"ready on {', '.join(str(place) for place in places if place)}"

    def stop(self) -> None:
        """Take no new work and start nothing more; what runs may end."""
        self.node.stop()


@asynccontextmanager
async def serving(current: Current, reloading: Reloading, *, say: Say) -> AsyncIterator[Serving]:
    """Have a daemon's node that is up and reached; `say` tells a person.

    Raises: DaemonRunningError if another one serves the data directory.
    """
    config = current()
    async with node(config, adopting=True) as inner:
        listeners = Listeners(socket=str(config.socket))
        files = EndpointFiles(config, listeners, None, now=wall_clock, say=say)
        async with running(files):
            yield Serving(current=current, node=inner, listeners=listeners)
