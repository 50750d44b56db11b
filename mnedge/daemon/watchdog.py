"""Tells the service manager that this node gets on, as long as it does.

A ping is sent only after everything it stands for moved: this very loop, and each of the probes
(the writer of the store). If one of them hangs, there is silence, and the service manager starts
the node anew.
"""

from collections.abc import Awaitable, Callable, Sequence

import trio

from mnedge.errors import UnavailableError
from mnedge.part import Part

Probe = Callable[[], Awaitable[None]]
"""Returns once what it looks at has moved."""


class Watchdog(Part):
    """Pings at half of `interval_s`, which is when silence is taken for death."""

    def __init__(
        self, ping: Callable[[], None], interval_s: float | None, probes: Sequence[Probe]
    ) -> None:
        self._ping = ping
        self._interval_s = interval_s
        self._probes = probes

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ping until cancelled; without an interval there is nothing to do."""
        task_status.started()
        if self._interval_s is None:
            return
        while True:
            began = trio.current_time()
            if await self._moved():
                self._ping()
            rest_s = began + self._interval_s / 2 - trio.current_time()
            await trio.sleep(max(rest_s, self._interval_s / 10))

    async def _moved(self) -> bool:
        """Return True once every probe has moved; False if one of them is no more."""
        try:
            for probe in self._probes:
                await probe()
        except UnavailableError:
            return False
        return True
