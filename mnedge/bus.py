"""Committed events, for whoever watches.

Nobody who publishes ever waits: a subscriber that is full loses the oldest batch, and learns how
many it lost. What must not
be lost stands in the journal and the run folder.
"""

from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

import trio
from msgspec import Struct

from mnedge.model.events import Event


class Published(Struct, frozen=True):
    """Events of one job, in order, all of them on disk."""

    job_id: str
    events: Sequence[Event]


class Subscription:
    """What one watcher has not read yet; iterate over it."""

    def __init__(self, size: int) -> None:
        self._waiting: deque[Published] = deque()
        self._size = size
        self._arrived = trio.Event()
        self.lost = 0
        """Batches that were dropped because this watcher was too slow."""

    def put(self, item: Published) -> None:
        """Add a batch; drop the oldest if full."""
        if len(self._waiting) >= self._size:
            self._waiting.popleft()
            self.lost += 1
        self._waiting.append(item)
        self._arrived.set()

    def __aiter__(self) -> AsyncIterator[Published]:
        return self

    async def __anext__(self) -> Published:
        while not self._waiting:
            self._arrived = trio.Event()
            await self._arrived.wait()
        return self._waiting.popleft()


class Bus:
    """Joins publishers and watchers within one process."""

    def __init__(self) -> None:
        self._subscriptions: list[Subscription] = []

    def publish(self, item: Published) -> None:
        """Hand a batch to everybody who watches."""
        for subscription in self._subscriptions:
            subscription.put(item)

    @contextmanager
    def subscribe(self, size: int = 1000) -> Iterator[Subscription]:
        """Watch while the block is open; `size` batches may wait."""
        subscription = Subscription(size)
        self._subscriptions.append(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.remove(subscription)
