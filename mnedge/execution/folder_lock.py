"""A lock between processes that is a folder, as others know it, and that nobody dead can hold.

The folder names its holder by process id, start and boot. Whoever waits looks whether that process
still lives.
"""

import fcntl
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import trio

from mnedge.boot import boot_id
from mnedge.execution.refusal import RefusedError

POLL_S = 0.2


@asynccontextmanager
async def locked(lock: Path, timeout_s: float) -> AsyncIterator[None]:
    """Hold the lock while the block is open; one whose holder died is taken over.

    Raises: RefusedError if it cannot be had in time.
    """
    with trio.move_on_after(timeout_s) as waiting:
        while not take(lock):
            _break_if_abandoned(lock)
            await trio.sleep(POLL_S)
    if waiting.cancelled_caught:
        raise RefusedError(f"timed out waiting for python_environment lock {lock}")
    try:
        yield
    finally:
        remove(lock)


def remove(folder: Path) -> None:
    """Remove a folder with all in it; what cannot be removed is no error."""
    shutil.rmtree(folder, ignore_errors=True)


def _holder(pid: int) -> dict[str, Any] | None:
    """Return what tells a process from any other, ever; None if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2 :].split()
    if fields[0] == "Z":
        return None
    return {"pid": pid, "boot_id": boot_id(), "started": int(fields[19])}


def take(lock: Path) -> bool:
    """Make the lock folder, its holder's name inside from the first moment on."""
    if lock.exists():
        return False
    mine = lock.with_name(f"{lock.name}.{os.getpid()}")
    mine.mkdir(exist_ok=True)
    (mine / "holder.json").write_text(json.dumps(_holder(os.getpid())))
    try:
        mine.rename(lock)
    except OSError:
        remove(mine)
        return False
    return True


def _break_if_abandoned(lock: Path) -> None:
    """Remove a lock whose holder is gone. One that names no holder is not ours to judge."""
    if not _is_abandoned(lock):
        return
    with open(lock.with_name(".breaking"), "wb") as guard, suppress(OSError):
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Looked at again: another process may have broken it, and a third one taken it.
        if _is_abandoned(lock):
            remove(lock)


def _is_abandoned(lock: Path) -> bool:
    try:
        holder = json.loads((lock / "holder.json").read_text())
        return bool(_holder(int(holder["pid"])) != holder)
    except (OSError, ValueError, TypeError, KeyError):
        return False
