"""The store of one node: a SQLite file for table, claims and journals, a folder for blobs."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Literal

import trio

from mnedge.errors import CorruptError, UnavailableError, UsageError
from mnedge.part import Part
from mnedge.ports import Clock
from mnedge.store.blobs import FileBlobs, in_threads, on_the_loop
from mnedge.store.claims import SqliteClaims, lives, this_process
from mnedge.store.commits import PLACE, Commits, Write, touch
from mnedge.store.condition import Condition, Conditions
from mnedge.store.doorbell import Doorbell
from mnedge.store.journal import SqliteJournal
from mnedge.store.journal_rows import Report
from mnedge.store.schema import Connect, database_path, open_reader, plain_connect
from mnedge.store.table import SqliteTable, Watchers, newest_change
from mnedge.store.writer import InlineWriter, Readers, ThreadedWriter

LOOK_S = 2.0
"""How often watchers look at the database themselves, should a ring be lost."""
LOOK_WITHOUT_BELL_S = 0.5

Durability = Literal["FULL", "NORMAL"]
"""FULL: an acknowledgement survives a power cut. NORMAL: it survives a crash of the process."""


class PlaceInvalidError(UsageError):
    """The path given for the data directory leads to something else, or nowhere."""

    code = "store.data_dir_invalid"


class SqliteStore(Part):
    """Everything a node keeps in its data directory; any process may have it open.

    `inline`: no threads, sockets or polling, so that it runs on the virtual clock.
    `process` and `alive` say who claims and who lives, where that is not this process.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        *,
        durability: Durability = "FULL",
        inline: bool = False,
        now: Clock | None = None,
        process: str | None = None,
        alive: Callable[[str], bool] | None = None,
        connect: Connect = plain_connect,
    ) -> None:
        self.data_dir = os.fspath(data_dir)
        self._path = database_path(self.data_dir)
        self._inline = inline
        self._connect = connect
        self._conditions = Conditions(now)
        self._watchers = Watchers()
        self._doorbell = Doorbell(os.path.join(self.data_dir, "doorbells"), self._watchers)
        commits = Commits(self._path, durability, self._conditions, connect)
        readers = Readers(self._path, self._conditions, connect)
        self._writer: InlineWriter | ThreadedWriter
        if inline:
            self._writer = InlineWriter(commits, readers, self._watchers.notify)
        else:
            self._writer = ThreadedWriter(
                commits, readers, self._watchers.notify, self._doorbell.ring
            )
        self._file_work = on_the_loop if inline else in_threads()
        alive = alive or partial(lives, answers=self._doorbell.answers)
        self.table = SqliteTable(self._writer, self._watchers)
        self.claims = SqliteClaims(
            self._writer, process=process or str(this_process()), alive=alive
        )
        self.journal = SqliteJournal(self._writer)
        folder = os.path.join(self.data_dir, "blobs")
        self.blobs = FileBlobs(folder, self._conditions, self._file_work, alive)

    @property
    def condition(self) -> Condition:
        """What the disk is like, as far as anybody tried."""
        return self._conditions.current

    @property
    def conditions(self) -> Conditions:
        """Where others who write to this disk (run folders) note how that went."""
        return self._conditions

    @property
    def reports(self) -> list[Report]:
        """Return what was found damaged since the store was opened."""
        return self.journal.reports

    async def probe(self) -> Condition:
        """Try to write again if that failed before; return the condition."""
        if self.condition.name != "ok":
            with suppress(UnavailableError, CorruptError):
                await self._writer.write(Write(touch, None))
                await self._file_work(self.blobs.probe)
        return self.condition

    async def pulse(self) -> None:
        """Return once the writer is through with what it was asked for before; writes nothing.

        A writer that hangs in the disk never lets this return.
        """
        await self._writer.pulse()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be open until cancelled; what was asked for before is committed then."""
        await self._file_work(self._make_folder)
        if self._inline:
            await self._file_work(self.blobs.open)
            await self._writer.run(task_status=task_status)
            return
        with self._doorbell.hung() as bell:
            await self._file_work(self.blobs.open)
            async with trio.open_nursery() as nursery:
                await nursery.start(self._writer.run)
                if bell is not None:
                    nursery.start_soon(self._doorbell.listen, bell)
                nursery.start_soon(self._look)
                task_status.started()

    def _make_folder(self) -> None:
        try:
            os.makedirs(self.data_dir, mode=0o700, exist_ok=True)
        except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
            raise PlaceInvalidError(
                f"{self.data_dir} cannot be a data directory: {error.strerror}",
                hint="name a folder, or one that can be made, with --data-dir or MNEDGE_DATA_DIR",
            ) from error
        except OSError as error:
            raise self._conditions.failed(PLACE, self._path, error) from error

    async def _look(self) -> None:
        """Wake all watchers when another process changed the table; sleep while nobody watches."""
        wait_s = LOOK_S if self._doorbell.bound else LOOK_WITHOUT_BELL_S
        while True:
            await self._watchers.any_watching()
            looking = Looking(self._path, self._connect)
            try:
                while self._watchers.some:
                    await trio.sleep(wait_s)
                    if looking.moved():
                        self._watchers.notify(None)
            finally:
                looking.close()


class Looking:
    """Notices table writes by other processes, on the loop itself: it reads one shared counter."""

    def __init__(self, path: str, connect: Connect) -> None:
        self._path = path
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._version = -1
        self._change = -1

    def moved(self) -> bool:
        """Tell whether the table was written since the last call; a failure counts as yes."""
        try:
            if self._connection is None:
                self._connection = open_reader(self._path, self._connect)
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
            if version == self._version:
                return False
            self._version, before = version, self._change
            self._change = newest_change(self._connection)
        except sqlite3.Error:
            self.close()
            return True
        return self._change != before

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._version = None, -1
