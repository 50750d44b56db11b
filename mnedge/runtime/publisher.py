"""A job's committed events on their way to people: into its run folder, then onto the bus.

A write for each fact would cost more than the fact, so the events of a busy job go together.
"""

from collections.abc import Sequence
from math import inf

import trio

from mnedge.bus import Bus, Published
from mnedge.errors import UnavailableError
from mnedge.model.events import Event
from mnedge.store.runs.folder import RunFolder

SETTLE_S = 0.005
"""How long the first events wait: what was just started goes before what is told of it."""
LAG_S = 0.2
"""How long the events of a busy job wait for company at most."""
CATCH_UP_S = 2.0
"""Between two looks whether the run folder may show by now what it was spared."""
AT_ONCE = 500
"""So many waiting events are published by whoever adds them: a flood holds up its own job."""
RETRY_S = 1.0
"""Between two tries while the disk is full or read-only."""


class Publisher:
    """Publishes one job's events, in order, each once.

    Loses: what waits when the owner ends. It follows from the journal, so the next owner has it.
    """

    def __init__(self, job_id: str, folder: RunFolder, bus: Bus) -> None:
        self._job_id = job_id
        self._folder = folder
        self._bus = bus
        self._waiting: list[Event] = []
        self._came = trio.Event()
        self._hurried = False
        self._patience = trio.CancelScope()

    async def add(self, events: Sequence[Event]) -> None:
        """Have committed events published soon: after a silence in a moment, and many at once."""
        self._waiting += events
        if len(self._waiting) >= AT_ONCE:
            await self.settle()
        elif self._waiting:
            self._came.set()

    async def settle(self) -> bool:
        """Publish what was added; tell whether that was done: who hurries does not wait for it."""
        with trio.CancelScope() as self._patience:
            if self._hurried:
                self._patience.cancel()
            await self.flush()
        if self._waiting:
            self._came.set()
        return not self._waiting

    def hurry(self) -> None:
        """From now on hold nobody up because of a disk: the job is to be cancelled."""
        self._hurried = True
        self._patience.cancel()

    async def run(self) -> None:
        """Publish what is added, until cancelled."""
        while True:
            with trio.move_on_after(CATCH_UP_S if self._folder.is_behind else inf) as waiting:
                await self._came.wait()
            if waiting.cancelled_caught:
                self._folder.merge_worker_files()
                continue
            await trio.sleep(SETTLE_S)
            await self.flush()
            await trio.sleep(LAG_S)

    async def flush(self) -> None:
        """Return when all that was added is published, however long the disk is full."""
        while self._waiting:
            try:
                self._folder.publish(self._waiting)
            except UnavailableError:
                await trio.sleep(RETRY_S)
                continue
            events, self._waiting = self._waiting, []
            self._bus.publish(Published(self._job_id, events))
        if self._came.is_set():  # else `run` still waits for this very one
            self._came = trio.Event()
