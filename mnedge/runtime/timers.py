"""A job's timers on trio's clock: due moments in, ids out."""

import heapq
from collections.abc import Callable

import trio

from mnedge.ports import Clock

LEAST_S = 1e-6
"""Shorter waits may be less than the clock can tell apart: it would not move."""


class JobClock:
    """Job time: the wall clock as it was when the job was opened, plus what trio's clock counted.

    It never goes back, whatever happens to the wall clock.
    """

    def __init__(self, now: Clock) -> None:
        self._now = now
        self._opened_at = now()
        self._began = trio.current_time()

    def open(self, *, not_before: float) -> None:
        """Start counting at the wall clock, or at the last fact if that is later."""
        self._opened_at = max(self._now(), not_before)
        self._began = trio.current_time()

    def __call__(self) -> float:
        """Return job time now."""
        return self._opened_at + (trio.current_time() - self._began)


class Timers:
    """Keeps the timers of one job and tells when one comes due.

    `job_time` maps now to job time; it may stand still, but never goes back.
    """

    def __init__(self, job_time: Callable[[], float], due: Callable[[str], None]) -> None:
        self._job_time = job_time
        self._due = due
        self._moments: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._changed = trio.Event()

    def set(self, timer_id: str, due_at: float) -> None:
        """Set or move a timer."""
        self._moments[timer_id] = due_at
        heapq.heappush(self._heap, (due_at, timer_id))
        self._changed.set()

    def clear(self, timer_id: str) -> None:
        """Forget a timer; one that is not there is no error."""
        self._moments.pop(timer_id, None)

    async def run(self) -> None:
        """Call `due` for each timer at its moment, in order of (moment, id), each once."""
        while True:
            self._drop_stale()
            if not self._heap:
                await self._wait_for_change(None)
                continue
            due_at, timer_id = self._heap[0]
            wait_s = due_at - self._job_time()
            if wait_s > 0:
                await self._wait_for_change(max(wait_s, LEAST_S))
                continue
            heapq.heappop(self._heap)
            del self._moments[timer_id]
            self._due(timer_id)

    def _drop_stale(self) -> None:
        heap = self._heap
        while heap and self._moments.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)

    async def _wait_for_change(self, at_most_s: float | None) -> None:
        self._changed = trio.Event()
        with trio.move_on_after(at_most_s if at_most_s is not None else float("inf")):
            await self._changed.wait()
