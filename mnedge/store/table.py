"""Small records by key, in SQLite, and how those who watch them are woken."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from weakref import WeakSet

import trio

from mnedge.errors import ConflictError
from mnedge.ports import Row
from mnedge.store.commits import Write
from mnedge.store.writer import Writer, one_look

PAGE = 500


class RowChangedError(ConflictError):
    """Somebody else wrote the record since it was read."""

    code = "table.row_changed"

    @classmethod
    def of(cls, key: str, wanted: int, found: int) -> "RowChangedError":
        """Return the error for that key."""
        return cls(
            f"record {key} has version {found}, not {wanted}",
            hint="read it again and decide anew",
            details={"key": key, "wanted": wanted, "found": found},
        )


class Rung:
    """Wakes one watcher; a ring while it is busy is not lost."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._event = trio.Event()

    def ring(self) -> None:
        """Wake the watcher now, or as soon as it waits."""
        self._event.set()

    async def wait(self) -> None:
        """Return after a ring that came since the last return."""
        await self._event.wait()
        self._event = trio.Event()


class Watchers:
    """Who waits for which keys in this process; who is dropped no longer waits."""

    def __init__(self) -> None:
        self._rungs: WeakSet[Rung] = WeakSet()
        self._came = trio.Event()

    def watching(self, prefix: str) -> Rung:
        """Return what is rung for keys under the prefix, as long as somebody keeps it."""
        rung = Rung(prefix)
        self._rungs.add(rung)
        self._came.set()
        return rung

    def notify(self, keys: Sequence[str] | None) -> None:
        """Wake whoever waits for one of the keys; None: everybody."""
        for rung in tuple(self._rungs):
            if keys is None or any(key.startswith(rung.prefix) for key in keys):
                rung.ring()

    @property
    def some(self) -> bool:
        """Tell whether anybody watches anything."""
        return bool(self._rungs)

    async def any_watching(self) -> None:
        """Return as soon as somebody watches something."""
        while not self._rungs:
            self._came = trio.Event()
            await self._came.wait()


class Watch(AsyncIterator[list[Row]]):
    """Batches of rows; dropping it ends the watch.

    `look(since)` returns the number of the table's newest write and the rows written after `since`,
    in the order of writing; None: all rows, by key.
    """

    def __init__(
        self, rung: Rung, look: Callable[[int | None], Awaitable[tuple[int, list[Row]]]]
    ) -> None:
        self._rung = rung
        self._look = look
        self._seen: int | None = None

    async def __anext__(self) -> list[Row]:
        if self._seen is None:
            self._seen, rows = await self._look(None)
            return rows
        while True:
            await self._rung.wait()
            try:
                self._seen, rows = await self._look(self._seen)
            except BaseException:
                self._rung.ring()  # the change is still to be looked at
                raise
            if rows:
                return rows


def past(prefix: str) -> str | bytes:
    """Return what sorts after all keys that begin with the prefix; in SQLite bytes follow text."""
    while prefix:
        last = ord(prefix[-1])
        if last < 0x10FFFF:
            following = 0xE000 if last == 0xD7FF else last + 1
            return prefix[:-1] + chr(following)
        prefix = prefix[:-1]
    return b""


class SqliteTable:
    """Table in the node's database."""

    def __init__(self, writer: Writer, watchers: Watchers) -> None:
        self._writer = writer
        self._watchers = watchers

    async def get(self, key: str) -> Row | None:
        """Return the row, or None."""
        return await self._writer.read(lambda connection: _get(connection, key))

    async def put(
        self, key: str, value: bytes, *, if_version: int | None = None, sync: bool = True
    ) -> int:
        """Write and return the new version."""

        def work(connection: sqlite3.Connection) -> int:
            version = _checked_version(connection, key, if_version) + 1
            connection.execute(
                "INSERT INTO rows VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
                "value = excluded.value, version = excluded.version, change = excluded.change",
                (key, value, version, _next_change(connection)),
            )
            return version

        def landed(connection: sqlite3.Connection) -> bool:
            row = _get(connection, key)
            return row is not None and row.version == write.result and row.value == value

        write = Write(
            work,
            landed,
            keys=(key,),
            synced=sync,
            after="table.put.after",
            size_bytes=len(value) + len(key),
        )
        return await self._writer.write(write)

    async def put_new(self, rows: Mapping[str, bytes]) -> None:
        """Write new rows, all of them or none."""

        def work(connection: sqlite3.Connection) -> None:
            for key in rows:
                _checked_version(connection, key, 0)
            for key, value in rows.items():
                connection.execute(
                    "INSERT INTO rows VALUES (?, ?, 1, ?)", (key, value, _next_change(connection))
                )

        def landed(connection: sqlite3.Connection) -> bool:
            found = [_get(connection, key) for key in rows]
            return found == [Row(key, value, 1) for key, value in rows.items()]

        size_bytes = sum(len(key) + len(value) for key, value in rows.items())
        await self._writer.write(
            Write(work, landed, keys=tuple(rows), after="table.put.after", size_bytes=size_bytes)
        )

    async def delete(self, key: str, *, if_version: int | None = None, sync: bool = True) -> None:
        """Forget the key."""

        def work(connection: sqlite3.Connection) -> None:
            if _get(connection, key) is not None:
                _checked_version(connection, key, if_version)
                connection.execute("DELETE FROM rows WHERE key = ?", (key,))

        def landed(connection: sqlite3.Connection) -> bool:
            return _get(connection, key) is None

        await self._writer.write(Write(work, landed, synced=sync))

    async def scan(self, prefix: str, *, after: str = "", limit: int = PAGE) -> list[Row]:
        """Return rows under the prefix, in key order."""
        start, end = max(prefix, after), past(prefix)
        return await self._writer.read(
            lambda connection: _rows(
                connection.execute(
                    "SELECT key, value, version FROM rows "
                    "WHERE key >= ? AND key <> ? AND key < ? ORDER BY key LIMIT ?",
                    (start, after, end, limit),
                )
            )
        )

    def watch(self, prefix: str) -> Watch:
        """Yield all rows under the prefix, then what changed."""

        async def look(since: int | None) -> tuple[int, list[Row]]:
            if since is None:
                return await self._writer.read(lambda c: _all(c, prefix))
            return await self._writer.read(lambda c: _changed(c, prefix, since))

        return Watch(self._watchers.watching(prefix), look)


def newest_change(connection: sqlite3.Connection) -> int:
    """Return the number of the table's last write."""
    (change,) = connection.execute("SELECT value FROM counters WHERE name = 'change'").fetchone()
    return int(change)


def _next_change(connection: sqlite3.Connection) -> int:
    (change,) = connection.execute(
        "UPDATE counters SET value = value + 1 WHERE name = 'change' RETURNING value"
    ).fetchone()
    return int(change)


def _get(connection: sqlite3.Connection, key: str) -> Row | None:
    found = connection.execute(
        "SELECT key, value, version FROM rows WHERE key = ?", (key,)
    ).fetchone()
    return Row(*found) if found else None


def _checked_version(connection: sqlite3.Connection, key: str, wanted: int | None) -> int:
    found = connection.execute("SELECT version FROM rows WHERE key = ?", (key,)).fetchone()
    version = int(found[0]) if found else 0
    if wanted is not None and wanted != version:
        raise RowChangedError.of(key, wanted, version)
    return version


def _rows(found: sqlite3.Cursor) -> list[Row]:
    return [Row(*row) for row in found]


def _all(connection: sqlite3.Connection, prefix: str) -> tuple[int, list[Row]]:
    with one_look(connection):
        found = connection.execute(
            "SELECT key, value, version FROM rows WHERE key >= ? AND key < ? ORDER BY key",
            (prefix, past(prefix)),
        )
        return newest_change(connection), _rows(found)


def _changed(connection: sqlite3.Connection, prefix: str, since: int) -> tuple[int, list[Row]]:
    with one_look(connection):
        newest = newest_change(connection)
        found = connection.execute(
            "SELECT key, value, version FROM rows INDEXED BY rows_by_change "
            "WHERE change > ? AND key >= ? AND key < ? ORDER BY change",
            (since, prefix, past(prefix)),
        )
        return newest, _rows(found)
