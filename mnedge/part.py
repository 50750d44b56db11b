"""How everything long-lived is written: one `run`, started and stopped by whoever needs it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, TypeVar

import trio


class Part:
    """A long-running piece of the daemon.

    `__init__` only keeps what it is given; opening and waiting happen in `run`.
    """

    grace_s: ClassVar[float] = 0.0
    """How long `stop` may take to have an effect before `run` is cancelled."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; call `task_status.started()` when ready to serve."""
        raise NotImplementedError

    def stop(self) -> None:
        """Take no new work. What was taken is finished within `grace_s`."""


P = TypeVar("P", bound=Part)


@asynccontextmanager
async def running(part: P) -> AsyncIterator[P]:
    """Have the part ready before the block opens and gone after it closes."""
    async with trio.open_nursery() as nursery:
        await nursery.start(part.run)
        try:
            yield part
        finally:
            part.stop()
            nursery.cancel_scope.deadline = trio.current_time() + part.grace_s
