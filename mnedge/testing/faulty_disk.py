"""A disk that fails as told, below the store: give `FaultyDisk().connect` to `SqliteStore`."""

import shutil
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from msgspec import Struct

from mnedge.store.schema import FILE


class _Failure(Struct):
    statement: str
    code: int
    after: bool
    times: int | None


class _Connection(sqlite3.Connection):
    """Asks its disk before and after each statement."""

    disk: "FaultyDisk"

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        self.disk.visit(sql, after=False)
        cursor = super().execute(sql, parameters)
        self.disk.visit(sql, after=True)
        return cursor

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        self.disk.visit(sql, after=False)
        cursor = super().executemany(sql, parameters)
        self.disk.visit(sql, after=True)
        return cursor


class FaultyDisk:
    """Makes connections whose statements fail with SQLite's own error codes."""

    def __init__(self) -> None:
        self.opened = 0
        """Connections made so far."""
        self.statements: list[str] = []
        """First words of what was executed, on all connections."""
        self._failures: list[_Failure] = []

    def connect(self, path: str) -> sqlite3.Connection:
        """Return a connection as the store wants it."""
        self.opened += 1
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, factory=_Connection
        )
        connection.disk = self
        return connection

    def fail(
        self, statement: str, code: int, *, after: bool = False, times: int | None = 1
    ) -> None:
        """Have statements that begin so fail; `after`: although they were carried out.

        `times` None: until `heal`.
        """
        self._failures.append(_Failure(statement, code, after, times))

    def heal(self) -> None:
        """Let nothing fail any more."""
        self._failures.clear()

    def visit(self, sql: str, *, after: bool) -> None:
        """Fail if that was asked for."""
        if not after:
            self.statements.append(" ".join(sql.split()[:2]))
        for failure in self._failures:
            if failure.after is after and sql.startswith(failure.statement):
                if failure.times is not None:
                    failure.times -= 1
                    if not failure.times:
                        self._failures.remove(failure)
                error = sqlite3.OperationalError(f"injected at {failure.statement}")
                error.sqlite_errorcode = failure.code
                raise error


def power_cut(data_dir: Path, into: Path, *, log_bytes: int) -> None:
    """Copy a data directory as a power cut would leave it: the log ends after so many bytes."""
    into.mkdir()
    shutil.copyfile(data_dir / FILE, into / FILE)
    log = (data_dir / f"{FILE}-wal").read_bytes()
    (into / f"{FILE}-wal").write_bytes(log[:log_bytes])
