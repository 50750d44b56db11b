"""How a node names what is wrong with its disk."""

import errno
import os
import sqlite3
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from mnedge.errors import CorruptError, MnedgeError, UnavailableError
from mnedge.ports import Clock

ConditionName = Literal["ok", "disk_full", "read_only", "io_error"]


class Condition(Struct, frozen=True):
    """What the disk is like."""

    name: ConditionName = "ok"
    since: float | None = None
    """The date of the first failure in a row; None when all is well or nobody gave a clock."""
    message: str = ""


OK = Condition()
ROOM_BYTES = 256 << 10
"""A disk that was full counts as full until this much is free."""


class DiskFullError(UnavailableError):
    """There is no room left on the disk; nothing of what was asked was kept."""

    code = "store.disk_full"


class ReadOnlyError(UnavailableError):
    """The disk or the folder cannot be written; nothing of what was asked was kept."""

    code = "store.read_only"


class DiskFailingError(UnavailableError):
    """The disk reports errors; nothing of what was asked was kept."""

    code = "store.io_error"


class StoreBusyError(UnavailableError):
    """Another process has held the database for too long."""

    code = "store.busy"


class StoreClosedError(UnavailableError):
    """The store is shut, or was never opened."""

    code = "store.closed"


class DatabaseCorruptError(CorruptError):
    """The database file breaks its own rules."""

    code = "store.corrupt"


class DatabaseForeignError(CorruptError):
    """The file in the place of the database is something else."""

    code = "store.foreign"


_BY_NAME: dict[ConditionName, tuple[type[UnavailableError], str, str]] = {
    "disk_full": (
        DiskFullError,
        "the disk that holds {path} is full",
        "free some space; work goes on by itself then",
    ),
    "read_only": (
        ReadOnlyError,
        "{path} cannot be written",
        "mount the disk writable, or let this user write there; work goes on by itself then",
    ),
    "io_error": (
        DiskFailingError,
        "the disk that holds {path} fails",
        "look at the kernel log and the disk; work goes on by itself when it answers again",
    ),
}


class Conditions:
    """The condition of each place that is written to; safe to use from any thread."""

    def __init__(self, now: Clock | None = None) -> None:
        self._now = now
        self._bad: dict[str, Condition] = {}
        self._told: Callable[[Condition], None] = lambda _: None

    def tell(self, told: Callable[[Condition], None]) -> None:
        """Have the function called when the worst becomes another, in whichever thread met it."""
        self._told = told

    @property
    def current(self) -> Condition:
        """The worst that is known now; full comes before read-only before failing."""
        bad = {condition.name: condition for condition in tuple(self._bad.values())}
        return next((bad[name] for name in _BY_NAME if name in bad), OK)

    def fine(self, place: str, path: str) -> None:
        """Note that the place was written successfully.

        A little that still fitted does not make a full disk a good one.
        """
        if not self._bad:
            return
        before = self._bad.get(place)
        if before is not None and not (before.name == "disk_full" and _is_tight(path)):
            self._note(place, None)

    def failed(self, place: str, path: str, error: Exception) -> MnedgeError:
        """Note what went wrong; return the error to raise."""
        if isinstance(error, MnedgeError):
            return error
        name = condition_of(path, error)
        if name is None:
            return _not_a_condition(path, error)
        kind, text, hint = _BY_NAME[name]
        message = f"{text.format(path=path)}: {error}"
        before = self._bad.get(place)
        if before is None or before.name != name:
            since = self._now() if self._now else None
            self._note(place, Condition(name, since, message))
        return kind(message, hint=hint, details={"path": path, "condition": name})

    def _note(self, place: str, found: Condition | None) -> None:
        before = self.current
        if found is None:
            self._bad.pop(place, None)
        else:
            self._bad[place] = found
        if (after := self.current).name != before.name:
            self._told(after)


_BY_ERRNO: dict[int, ConditionName] = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EROFS: "read_only",
    errno.EACCES: "read_only",
    errno.EPERM: "read_only",
}
_BY_SQLITE: dict[int, ConditionName] = {
    sqlite3.SQLITE_FULL: "disk_full",
    sqlite3.SQLITE_READONLY: "read_only",
    sqlite3.SQLITE_PERM: "read_only",
    sqlite3.SQLITE_IOERR: "io_error",
    sqlite3.SQLITE_CANTOPEN: "io_error",
    sqlite3.SQLITE_NOLFS: "io_error",
}


def primary_code(error: Exception) -> int | None:
    """Return SQLite's basic result code, or None if SQLite did not give one."""
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


def condition_of(path: str, error: Exception) -> ConditionName | None:
    """Return which condition the error tells of, or None if it is not about the disk."""
    if isinstance(error, OSError):
        return _BY_ERRNO.get(error.errno or 0, "io_error")
    name = _BY_SQLITE.get(primary_code(error) or 0)
    if name != "io_error":
        return name
    return _looked_at(path)


def _looked_at(path: str) -> ConditionName:
    """Ask the file system itself: SQLite calls many failures an I/O error."""
    folder = os.path.dirname(path) or "."
    try:
        state = os.statvfs(folder)
    except OSError:
        return "io_error"
    if state.f_flag & os.ST_RDONLY or not os.access(folder, os.W_OK):
        return "read_only"
    return "disk_full" if state.f_bavail == 0 else "io_error"


def _is_tight(path: str) -> bool:
    try:
        state = os.statvfs(os.path.dirname(path) or ".")
    except OSError:
        return False
    return state.f_bavail * state.f_frsize < ROOM_BYTES


def _not_a_condition(path: str, error: Exception) -> MnedgeError:
    code = primary_code(error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL):
        return StoreBusyError(
            f"another process keeps {path} busy",
            hint="try again; `fuser` on that file names the process",
            details={"path": path},
        )
    if code == sqlite3.SQLITE_NOTADB:
        return DatabaseForeignError(
            f"{path} is not an mnedge database: {error}",
            hint="move that file away; put a backup in its place, or start empty",
            details={"path": path},
        )
    return DatabaseCorruptError(
        f"the database {path} is damaged: {error}",
        hint="stop mnedge, keep a copy of the file, put a backup in its place or try "
        "`sqlite3 FILE .recover`; run folders are not affected",
        details={"path": path},
    )
