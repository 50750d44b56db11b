"""Tells the service manager that this node gets on, as long as it does.

A ping is sent only after everything it stands for moved: this very loop, and each of the probes
(the writer of the store). If one of them hangs, there is silence, and the service manager starts
the node anew. Before that, `stacks` has written down who held up the loop, so that the next start
can do without a plugin that did.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import trio

from mnedge.errors import UnavailableError
from mnedge.part import Part

Probe = Callable[[], Awaitable[None]]
"""Returns once what it looks at has moved."""
BEAT = 1 / 8
"""Share of the interval after which the loop shows that it turns."""
STILL = 3 / 8
"""Share of the interval after which it counts as standing still: the earliest death comes at a half
(a ping, then half an interval, then silence)."""


class Stacks(Protocol):
    """Writes down all stacks if it is not called in time; `plugins.suspicion.Watch` is one."""

    def arm(self, seconds: float) -> None:
        """Wait so long for the next call."""

    def calm(self) -> None:
        """Wait no more."""

    def moved(self) -> None:
        """Tell of what was written down while the loop stood still, if it did."""


class Watchdog(Part):
    """Pings at half of `interval_s`, which is when silence is taken for death."""

    def __init__(
        self,
        ping: Callable[[], None],
        interval_s: float | None,
        probes: Sequence[Probe],
        stacks: Stacks | None = None,
    ) -> None:
        self._ping = ping
        self._interval_s = interval_s
        self._probes = probes
        self._stacks = stacks

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ping until cancelled; without an interval there is nothing to do."""
        task_status.started()
        if self._interval_s is None:
            return
        async with trio.open_nursery() as nursery:
            if self._stacks is not None:
                nursery.start_soon(self._turn, self._stacks, self._interval_s)
            await self._pings(self._interval_s)

    async def _pings(self, interval_s: float) -> None:
        while True:
            began = trio.current_time()
            if await self._moved():
                self._ping()
            rest_s = began + interval_s / 2 - trio.current_time()
            await trio.sleep(max(rest_s, interval_s / 10))

    async def _turn(self, stacks: Stacks, interval_s: float) -> None:
        """Show that the loop turns, which is less than that the node gets on."""
        try:
            while True:
                stacks.moved()
                stacks.arm(interval_s * STILL)
                await trio.sleep(interval_s * BEAT)
        finally:
            stacks.calm()

    async def _moved(self) -> bool:
        """Return True once every probe has moved; False if one of them is no more."""
        try:
            for probe in self._probes:
                await probe()
        except UnavailableError:
            return False
        return True
