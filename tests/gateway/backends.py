"""A node without sockets: what routes use, over the memory store and on the virtual clock.

The host is real and runs its jobs; their work is scripted (`tests/runtime/rig.py`).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mnedge.execution.pools import Pools
from mnedge.gateway.backend import Backend
from mnedge.gateway.feed import Feed
from mnedge.gateway.operations import Operations
from mnedge.part import running
from mnedge.runtime.definitions import Definitions
from tests.runtime.rig import Rig, a_rig


def joined(rig: Rig, host: Any, feed: Feed, operations: Operations) -> Backend:
    """Return the parts as routes get them."""
    return Backend(
        settings=lambda: rig.config,
        store=rig.store,
        host=host,
        bus=rig.bus,
        feed=feed,
        definitions=Definitions(rig.store, lambda: rig.config, runners={}, now=rig.now),
        operations=operations,
        pools=Pools({"default": 4}).stats,
        runners={},
        now=rig.now,
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
        yield joined(rig, host, feed, operations), rig
