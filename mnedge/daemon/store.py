"""The node's store alone: all that verbs need which only read, or ask an owner for something.

Apart from `app`, because a verb that lists jobs need not load what runs them.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mnedge.config.settings import Config
from mnedge.daemon.clock import wall_clock
from mnedge.part import running
from mnedge.store.sqlite import SqliteStore

DAEMON = "daemon"
"""Claim of the one process that adopts jobs of a data directory."""


@asynccontextmanager
async def opened_store(config: Config) -> AsyncIterator[SqliteStore]:
    """Have the node's store open."""
    store = SqliteStore(config.data_dir, durability=config.durability, now=wall_clock)
    async with running(store):
        yield store
