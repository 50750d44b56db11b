"""What the gateway serves: the parts of this node, joined in `daemon.app`."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct

from mnedge.bus import Bus
from mnedge.config.settings import Config
from mnedge.execution.inventory import Inventory
from mnedge.execution.pools import PoolStats
from mnedge.gateway.feed import Feed
from mnedge.gateway.llm.proxy import Proxy
from mnedge.gateway.operations import Operations
from mnedge.gateway.views import Views
from mnedge.identity.audit import AuditLog
from mnedge.identity.tokens import Tokens
from mnedge.observe.alerting import Alerting
from mnedge.observe.jobs import JobWatch
from mnedge.observe.metrics import Registry
from mnedge.observe.traces import Spans
from mnedge.ports import Clock, Connector, Runner
from mnedge.runtime.definitions import Definitions
from mnedge.runtime.host import Host
from mnedge.runtime.input_reading import NO_CONNECTORS
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
    views: Views
    tokens: Tokens
    audit: AuditLog
    metrics: Registry
    spans: Spans
    watch: JobWatch
    slo: Alerting
    models: Proxy
    """The upstreams of the LLM adapters."""
    pools: Callable[[], Mapping[str, PoolStats]]
    """How full the pools of this node are."""
    inventory: Inventory
    """The devices of this machine."""
    runners: Mapping[str, Runner]
    now: Clock
    config_shown: Callable[[], Mapping[str, Any]]
    """`config.shown.document` of what was loaded: settings without secrets, and their origins."""
    reload: Callable[[], Awaitable[Any]]
    """`daemon.reloading.Reloading.reload`: read the configuration again, and tell what changed."""
    connectors: Mapping[str, Connector] = NO_CONNECTORS
    """How input skills are read."""

    @property
    def config(self) -> Config:
        """The configuration as it is now."""
        return self.settings()
