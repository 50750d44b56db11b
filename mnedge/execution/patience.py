"""Waiting for a disk that is full or read-only: our own writing is held up and loses nothing.

What a worker itself meets on a full disk is that worker's failure, as its exit code says.
"""

import errno
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from mnedge.errors import UnavailableError
from mnedge.execution.telling import TellEvent

T = TypeVar("T")

LOOK_S = 1.0
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


class DiskRefusedError(UnavailableError):
    """The disk has no room for a workspace, or cannot be written; make room and it goes on."""

    code = "execution.disk_refused"


def refused(error: OSError) -> DiskRefusedError | None:
    """Return what a disk that cannot be written says, or None if the error is another."""
    if error.errno not in _DISK:
        return None
    where = f": {error.filename}" if error.filename else ""
    return DiskRefusedError(
        f"{error.strerror}{where}", hint="make room on the disk of the data directory"
    )


async def insist(act: Callable[[], Awaitable[T]], tell: TellEvent) -> T:
    """Do it, again and again while a store or a disk cannot be written; tell about it once."""
    told = False
    while True:
        try:
            return await act()
        except UnavailableError as error:
            if not told:
                tell("executor_waits_for_disk", {"reason": error.message, "code": error.code})
                told = True
        await trio.sleep(LOOK_S)
