"""The writing connection: many writes in one transaction, and what is done when one fails."""

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

import outcome
import trio

from mnedge import faults
from mnedge.errors import MnedgeError
from mnedge.store.condition import (
    Conditions,
    StoreClosedError,
    condition_of,
    primary_code,
)
from mnedge.store.schema import Connect, is_whole, open_database

T = TypeVar("T")

PLACE = "database"
CHECKPOINT_BYTES = 16 << 20
"""From this much in the log on, a checkpoint is made between two commits."""
IDLE_CHECKPOINT_BYTES = 1 << 20
"""From this much on, it is made as soon as nobody writes for a moment."""
_PAGE = 4096
DOUBT = "-doubt"
"""Ending of a file that stands beside the database while an fsync has failed and what it was for is
not written anew. It need not survive a power cut: neither does what only seems to be written."""


class Write(Generic[T]):
    """One thing to write: `work` checks first, then writes; a MnedgeError comes before any write.

    `landed` tells from the database alone whether the write is in it, for when a commit failed in a
    way that leaves that open; None if it cannot be told and does not matter.
    `work` may run more than once, never after it was committed.
    """

    __slots__ = (
        "after",
        "error",
        "keys",
        "landed",
        "result",
        "size_bytes",
        "synced",
        "taken",
        "task",
        "work",
    )

    def __init__(
        self,
        work: Callable[[sqlite3.Connection], T],
        landed: Callable[[sqlite3.Connection], bool] | None,
        *,
        keys: Sequence[str] = (),
        synced: bool = True,
        after: str = "",
        size_bytes: int = 0,
    ) -> None:
        self.work = work
        self.landed = landed
        self.keys = keys
        self.synced = synced
        self.after = after
        """Fault point reached when it is durable."""
        self.size_bytes = size_bytes
        self.taken: bool | None = False
        """True once the writer has it; None when its waiter was cancelled before that."""
        self.task: trio.lowlevel.Task | None = None
        self.result: T | None = None
        self.error: BaseException | None = None

    def outcome(self) -> "outcome.Outcome[T]":
        """Return what its waiter wakes up to."""
        if self.error is not None:
            return outcome.Error(self.error)
        return outcome.Value(self.result)  # type: ignore[arg-type]


class Commits:
    """Transactions on the one writing connection. Used by one thread."""

    def __init__(
        self, path: str, durability: str, conditions: Conditions, connect: Connect
    ) -> None:
        self._path = path
        self._doubt_path = path + DOUBT
        self._durability = durability
        self._conditions = conditions
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._synced = True
        self._log_bytes = 0
        self._refusal: MnedgeError | None = None
        self.unsynced = False
        """Something is committed that no fsync has reached."""

    def open(self) -> sqlite3.Connection:
        """Have the database ready.

        Raises: a MnedgeError that says what is wrong with it.
        """
        if os.path.exists(self._doubt_path):
            connection = self._reopen()
            if connection is None:
                raise self._still()
            return connection
        return self._opened()

    def _opened(self) -> sqlite3.Connection:
        try:
            connection = open_database(self._path, self._durability, self._connect)
        except (sqlite3.Error, OSError) as error:
            raise self._conditions.failed(PLACE, self._path, error) from error
        self._connection = connection
        self._synced = True
        return connection

    def close(self) -> None:
        """Let go of the file; the last process to do so folds the log into it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def commit(self, writes: list[Write[Any]]) -> None:
        """Give every write its result or error: one transaction, unless one of them breaks it."""
        while writes:
            writes = self._try(writes)

    @property
    def wants_idle(self) -> bool:
        """Tell whether a pause would be used for a checkpoint."""
        return self._log_bytes >= IDLE_CHECKPOINT_BYTES

    @property
    def wants_checkpoint(self) -> bool:
        """Tell whether the log has grown so much that the next commit should wait for one."""
        return self._log_bytes >= CHECKPOINT_BYTES

    def checkpoint(self) -> None:
        """Move what the log holds into the database file; readers may keep a part of it back."""
        self._log_bytes = 0
        if self._connection is None:
            return
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            self._conditions.failed(PLACE, self._path, error)

    def flush(self) -> None:
        """Fsync what was committed without."""
        self.unsynced = False
        try:
            log = os.open(f"{self._path}-wal", os.O_RDONLY)
        except FileNotFoundError:
            return  # it was folded into the database, which is fsynced then
        try:
            os.fsync(log)
        except OSError as error:
            # The kernel may have dropped those pages: only what is on the disk counts now.
            self._conditions.failed(PLACE, self._path, error)
            self._doubt()
            self._reopen()
        finally:
            os.close(log)

    def _try(self, writes: list[Write[Any]]) -> list[Write[Any]]:
        """Make one transaction; return what is to be tried again without the write that broke."""
        connection = self._connection or self._reopen()
        if connection is None:
            self._fail(writes, self._still())
            return []
        current: Write[Any] | None = None
        try:
            self._set_synced(connection, any(write.synced for write in writes))
            connection.execute("BEGIN IMMEDIATE")
            for current in writes:
                try:
                    current.result = current.work(connection)
                except MnedgeError as refused:
                    current.error = refused
            current = None
            connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            if current is None or _is_of_the_disk(self._path, error):
                self._broken(writes, error)
                return []
            return self._without(current, error, writes)
        except Exception as error:
            if current is None:
                raise
            return self._without(current, error, writes)
        self._committed(writes)
        return []

    def _committed(self, writes: list[Write[Any]]) -> None:
        self._conditions.fine(PLACE, self._path)
        self.unsynced = not self._synced and self._durability == "FULL"
        self._log_bytes += sum(write.size_bytes for write in writes) + _PAGE * len(writes)
        for write in writes:
            if write.after and write.error is None:
                try:
                    faults.hit(write.after)
                except Exception as error:
                    write.error = error

    def _without(
        self, culprit: Write[Any], error: Exception, writes: list[Write[Any]]
    ) -> list[Write[Any]]:
        """Undo all of it; nothing was committed, so the others may simply be done again."""
        self._rollback()
        culprit.error = error
        others = [write for write in writes if write is not culprit]
        for write in others:
            write.error = None
        return others

    def _rollback(self) -> None:
        if self._connection is not None and self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error:
                self._drop()

    def _broken(self, writes: list[Write[Any]], error: Exception) -> None:
        """The disk refused. A full one leaves no doubt; after other failures, look at the file."""
        failure = self._conditions.failed(PLACE, self._path, error)
        self._rollback()
        if primary_code(error) == sqlite3.SQLITE_IOERR:
            self._doubt()
            self._drop()
            connection = self._reopen()
            if connection is not None and self._all_landed(connection, writes):
                self._committed(writes)
                return
        self._fail([write for write in writes if write.error is None], failure)

    def _all_landed(self, connection: sqlite3.Connection, writes: list[Write[Any]]) -> bool:
        """Tell whether the batch is in the database: all of it is, or nothing."""
        try:
            told = [
                write.landed(connection)
                for write in writes
                if write.landed is not None and write.error is None
            ]
            return bool(told) and all(told)
        except sqlite3.Error:
            return False

    def _drop(self) -> None:
        try:
            self.close()
        except sqlite3.Error:
            self._connection = None

    def _reopen(self) -> sqlite3.Connection | None:
        """Open the file anew and check it; None while it cannot be used.

        What the log holds is copied into the database and fsynced there, and the log begins anew:
        an fsync that failed once is not asked again for the same pages.
        """
        self._drop()
        try:
            connection = self._opened()
            said = is_whole(connection)
            if said is not None:
                raise sqlite3.DatabaseError(said)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            connection.execute("BEGIN IMMEDIATE")
            touch(connection)
            connection.execute("COMMIT")
            with suppress(FileNotFoundError):
                os.unlink(self._doubt_path)
        except (MnedgeError, sqlite3.Error, OSError) as error:
            self._refusal = self._conditions.failed(PLACE, self._path, error)
            self._drop()
            return None
        self._log_bytes = 0
        self._conditions.fine(PLACE, self._path)
        return connection

    def _doubt(self) -> None:
        """Let whoever opens the file next, should we die before, know what has happened."""
        with suppress(OSError):
            os.close(os.open(self._doubt_path, os.O_WRONLY | os.O_CREAT, 0o600))

    def _still(self) -> MnedgeError:
        return self._refusal or StoreClosedError(f"the database {self._path} is closed")

    def _fail(self, writes: Sequence[Write[Any]], error: MnedgeError) -> None:
        for write in writes:
            write.error = type(error)(error.message, hint=error.hint, details=error.details)

    def _set_synced(self, connection: sqlite3.Connection, synced: bool) -> None:
        if synced != self._synced and self._durability == "FULL":
            connection.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
            self._synced = synced


def touch(connection: sqlite3.Connection) -> None:
    """Write something that changes nothing, to see whether it can be done."""
    connection.execute("UPDATE counters SET value = value + 1 WHERE name = 'probe'")


def _is_of_the_disk(path: str, error: Exception) -> bool:
    busy = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
    damaged = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return condition_of(path, error) is not None or primary_code(error) in (*busy, *damaged)
