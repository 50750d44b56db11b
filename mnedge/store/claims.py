"""Keys held by one process at a time; free as soon as that process is gone.

A holder is written `<boot id>:<pid>:<start time>`, in a container also `:<pid namespace>`: never
twice the same, so a claim needs no renewal and no waiting. What it protects carries its epoch,
which only grows.
"""

import os
import sqlite3
from collections.abc import Callable
from typing import NamedTuple

import psutil

from mnedge.boot import boot_id
from mnedge.ports import Claim, Epoch
from mnedge.store.commits import Write
from mnedge.store.writer import Writer

FREE = ""
FAILOVER = 0
"""One machine alone has no failovers; a cluster's shared store counts them."""
PROC = "/proc"
HOST_NAMESPACE = "4026531836"
"""The pid namespace that Linux begins with."""
HIDDEN = "hidden"
"""The start of a process that runs, and that this one may not look at."""


class Process(NamedTuple):
    """One process among all that ever ran on this machine."""

    boot_id: str
    pid: int
    start: str
    namespace: str = HOST_NAMESPACE

    def __str__(self) -> str:
        parts = (self.boot_id, str(self.pid), self.start, self.namespace)
        return ":".join(parts[:3] if self.namespace == HOST_NAMESPACE else parts)

    @classmethod
    def parse(cls, text: str) -> "Process | None":
        """Return the process of that name, or None if it is no such name."""
        parts = text.split(":")
        if len(parts) not in (3, 4) or not parts[1].isdecimal():
            return None
        return cls(parts[0], int(parts[1]), *parts[2:])


def this_process() -> Process:
    """Return this process."""
    pid = os.getpid()
    return Process(boot_id(PROC), pid, _start_of(pid) or "", _namespace())


def never(process: Process) -> bool:
    """Tell that no process answers."""
    return False


def process_name(holder: str | None) -> str:
    """Return a claim's holder (`<boot id>:<pid>:<start>`) as people call it."""
    parts = (holder or "").split(":")
    return f"process {parts[1]}" if len(parts) > 2 and parts[1].isdecimal() else holder or "nobody"


def lives(holder: str, answers: Callable[[Process], bool] = never) -> bool:
    """Tell whether the process of that name still runs.

    `answers` is asked about one in another container, whose pids cannot be seen from here.
    """
    process = Process.parse(holder)
    if process is None or process.boot_id != boot_id(PROC):
        return False
    if process.namespace != _namespace():
        return answers(process)
    # One that may not be looked at is taken for the holder: two owners are worse than waiting.
    return _start_of(process.pid) in (process.start, HIDDEN)


def _namespace() -> str:
    try:
        return os.readlink(f"{PROC}/self/ns/pid").strip("pid:[]")
    except OSError:
        return HOST_NAMESPACE


def _start_of(pid: int) -> str | None:
    """Return when the process began, in the finest unit known; None if there is no such process."""
    try:
        with open(f"{PROC}/{pid}/stat", "rb") as file:
            after_name = file.read().rpartition(b") ")[2].split()
    except FileNotFoundError:
        if not os.path.exists(f"{PROC}/self/stat"):
            return _portable_start_of(pid)
        return HIDDEN if _runs(pid) else None
    except OSError:
        return None
    return None if after_name[0] in (b"Z", b"X") else after_name[19].decode()


def _runs(pid: int) -> bool:
    """Tell whether there is such a process, also where /proc shows a user's own alone."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _portable_start_of(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return None


class SqliteClaims:
    """Claims in the node's database."""

    def __init__(
        self, writer: Writer, *, process: str, alive: Callable[[str], bool] = lives
    ) -> None:
        self._writer = writer
        self._process = process
        self._alive = alive

    async def claim(self, key: str) -> Claim | None:
        """Hold the key, or return None if somebody living holds it."""

        def work(connection: sqlite3.Connection) -> Claim | None:
            found = _row(connection, key)
            if found is not None and found[0] != FREE and self._alive(found[0]):
                return None
            (counter,) = connection.execute(
                "UPDATE counters SET value = value + 1 WHERE name = 'claim' RETURNING value"
            ).fetchone()
            connection.execute(
                "INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?)",
                (key, self._process, FAILOVER, counter),
            )
            return Claim(key, self._process, Epoch(FAILOVER, counter))

        def landed(connection: sqlite3.Connection) -> bool:
            return write.result is None or _holds(connection, write.result)

        # No fsync of its own: a power cut takes the holder too, and whatever is written under the
        # claim stands behind it in the log.
        write = Write(work, landed, synced=False)
        return await self._writer.write(write)

    async def release(self, claim: Claim) -> None:
        """Let go."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE claims SET holder = ? "
                "WHERE key = ? AND holder = ? AND failover = ? AND counter = ?",
                (FREE, claim.key, claim.holder, *claim.epoch),
            )

        await self._writer.write(
            Write(work, lambda connection: not _holds(connection, claim), synced=False)
        )

    async def holder(self, key: str) -> str | None:
        """Return who holds the key and lives."""
        found = await self._writer.read(lambda connection: _row(connection, key))
        return found[0] if found and found[0] != FREE and self._alive(found[0]) else None


def epoch_of(connection: sqlite3.Connection, key: str) -> Epoch:
    """Return the newest epoch that the key was claimed with."""
    found = _row(connection, key)
    return found[1] if found else Epoch(0, 0)


def _row(connection: sqlite3.Connection, key: str) -> tuple[str, Epoch] | None:
    found = connection.execute(
        "SELECT holder, failover, counter FROM claims WHERE key = ?", (key,)
    ).fetchone()
    return (found[0], Epoch(found[1], found[2])) if found else None


def _holds(connection: sqlite3.Connection, claim: Claim) -> bool:
    return _row(connection, claim.key) == (claim.holder, claim.epoch)
