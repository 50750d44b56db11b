"""What the gateway serves: the parts of this node, joined in `daemon.app`."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from mnedge.bus import Bus
from mnedge.config.settings import Config
from mnedge.execution.pools import PoolStats
from mnedge.gateway.feed import Feed
from mnedge.gateway.operations import Operations
from mnedge.ports import Clock, Runner
from mnedge.runtime.definitions import Definitions
from mnedge.runtime.host import Host
from mnedge.runtime.jobs import Stores


class Backend(Struct, frozen=True, kw_only=True):
    """Everything a route may use."""

    settings: Callable[[], Config]
    """The configuration as it is now: some of it can change while the node runs."""
    store: Stores
    host: Host
    bus: Bus
    feed: Feed
    definitions: Definitions
    operations: Operations
    pools: Callable[[], Mapping[str, PoolStats]]
    """How full the pools of this node are."""
    runners: Mapping[str, Runner]
    now: Clock

    @property
    def config(self) -> Config:
        """The configuration as it is now."""
        return self.settings()
