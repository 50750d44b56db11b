"""The node's store alone: all that verbs need which only read, or ask an owner for something.

Apart from `app`, because a verb that lists jobs need not load what runs them.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mnedge.config.settings import Config
from mnedge.daemon.clock import wall_clock
from mnedge.daemon.owner import act_as_owner
from mnedge.part import running
from mnedge.store.sqlite import SqliteStore

DAEMON = "daemon"
"""Claim of the one process that adopts jobs of a data directory."""


@asynccontextmanager
async def opened_store(config: Config, *, as_owner: bool = True) -> AsyncIterator[SqliteStore]:
    """Have the node's store open.

    `as_owner`: root at another user's store is that user from now on.
    """
    if as_owner:
        act_as_owner(config)
    store = SqliteStore(config.data_dir, durability=config.durability, now=wall_clock)
    async with running(store):
        yield store
