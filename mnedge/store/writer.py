"""One writer per process: what waits is committed together, and its waiters wake together.

Threads: one that writes, and up to `READERS` that read, each with a limiter of its own.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

import trio

from mnedge.part import Part
from mnedge.store.commits import PLACE, Commits, Write
from mnedge.store.condition import Conditions, StoreClosedError
from mnedge.store.schema import Connect, open_reader

T = TypeVar("T")

BATCH = 1024
"""Writes in one transaction at most."""
BATCH_BYTES = 32 << 20
FLUSH_S = 1.0
"""The longest that a commit without its own fsync waits for one."""
IDLE_S = 1.0
"""How long nobody must have written before a checkpoint counts as being in nobody's way."""
READERS = 2

Read = Callable[[sqlite3.Connection], T]
Announce = Callable[[Sequence[str]], None]
"""Told which keys of the table were written, after the commit."""


class Writer(Protocol):
    """Where table, claims and journal do their work."""

    async def write(self, write: Write[T]) -> T:
        """Return when it is committed. Once begun it is not cancelled: its outcome is known."""

    async def read(self, read: Read[T]) -> T:
        """Return what `read` finds, in one short look at committed data."""


@contextmanager
def one_look(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Have several selects see the same moment."""
    connection.execute("BEGIN")
    try:
        yield connection
    finally:
        connection.execute("ROLLBACK")


class Readers:
    """Connections that only read, lent to one caller at a time."""

    def __init__(self, path: str, conditions: Conditions, connect: Connect) -> None:
        self._path = path
        self._conditions = conditions
        self._connect = connect
        self._idle: list[sqlite3.Connection] = []
        self._closed = False

    def read(self, read: Read[T]) -> T:
        """Return what it finds.

        Raises: UnavailableError, CorruptError for what is wrong with the file.
        """
        try:
            connection = self._idle.pop() if self._idle else open_reader(self._path, self._connect)
            try:
                found = read(connection)
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise self._conditions.failed(PLACE, self._path, error) from error
        if self._closed:
            connection.close()
        else:
            self._idle.append(connection)
        return found

    def close(self) -> None:
        """Close all that are idle; the others follow when they come back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()


class InlineWriter(Part):
    """Commits one by one on the caller's own thread: real SQLite on the virtual clock."""

    def __init__(self, commits: Commits, readers: Readers, notify: Announce) -> None:
        self._commits = commits
        self._readers = readers
        self._notify = notify
        self._open = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be open until cancelled."""
        self._commits.open()
        self._open = True
        try:
            task_status.started()
            await trio.sleep_forever()
        finally:
            self._open = False
            self._readers.close()
            self._commits.close()

    async def write(self, write: Write[T]) -> T:
        """Return when it is committed."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self._open:
            raise StoreClosedError("the store is closed")
        self._commits.commit([write])
        if self._commits.wants_checkpoint:
            self._commits.checkpoint()
        if write.keys and write.error is None:
            self._notify(write.keys)
        await trio.lowlevel.cancel_shielded_checkpoint()
        return write.outcome().unwrap()

    async def pulse(self) -> None:
        """Return at once: there is no thread that could hang."""
        await trio.lowlevel.checkpoint()

    async def read(self, read: Read[T]) -> T:
        """Return what `read` finds."""
        await trio.lowlevel.checkpoint()
        if not self._open:
            raise StoreClosedError("the store is closed")
        return self._readers.read(read)


class ThreadedWriter(Part):
    """Commits in a thread: everything that waits at once, in the order it was asked for."""

    def __init__(
        self, commits: Commits, readers: Readers, notify: Announce, ring: Announce
    ) -> None:
        self._commits = commits
        self._readers = readers
        self._notify = notify
        self._ring = ring
        self._queue: SimpleQueue[Write[Any] | trio.Event | None] = SimpleQueue()
        self._pulses: list[trio.Event] = []
        self._taking = threading.Lock()
        self._token: trio.lowlevel.TrioToken | None = None
        self._open = False
        self._flush_at: float | None = None
        self._thread_limit = trio.CapacityLimiter(1)
        self._reader_limit = trio.CapacityLimiter(READERS)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be open until cancelled; what was asked for before is committed then."""
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._commits.open, limiter=self._thread_limit)
        self._token = trio.lowlevel.current_trio_token()
        self._open = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._serve)
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._open = False
                self._queue.put(None)

    async def write(self, write: Write[T]) -> T:
        """Return when it is committed. Cancelled before the writer took it, it never happens."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self._open:
            raise StoreClosedError("the store is closed")
        write.task = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            with self._taking:
                if write.taken:
                    return trio.lowlevel.Abort.FAILED
                write.taken = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._queue.put(write)
        result: T = await trio.lowlevel.wait_task_rescheduled(abort)
        return result

    async def pulse(self) -> None:
        """Return once the thread is through with all that was asked for before; writes nothing."""
        if not self._open:
            raise StoreClosedError("the store is closed")
        passed = trio.Event()
        self._queue.put(passed)
        await passed.wait()

    async def read(self, read: Read[T]) -> T:
        """Return what `read` finds."""
        if not self._open:
            raise StoreClosedError("the store is closed")
        return await trio.to_thread.run_sync(self._readers.read, read, limiter=self._reader_limit)

    # ---- in the thread ----

    async def _serve(self) -> None:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._serve_thread, limiter=self._thread_limit)

    def _serve_thread(self) -> None:
        batch: list[Write[Any]] | None = []
        try:
            while (batch := self._take()) is not None:
                if batch:
                    self._commits.commit(batch)
                    self._tell(batch)
                self._keep_up(idle=not batch and not self._pulses)
                self._answer_pulses()
        except BaseException as error:
            self._open = False
            self._give_up([*(batch or ()), *self._waiting()], error)
            self._answer_pulses()
            raise
        finally:
            self._readers.close()
            self._commits.close()

    def _take(self) -> list[Write[Any]] | None:
        """Return what waits; empty if nothing came in time, None when the end was asked for."""
        try:
            write = self._queue.get(timeout=self._patience())
        except Empty:
            return []
        if isinstance(write, trio.Event):
            self._pulses.append(write)
            return []
        batch: list[Write[Any]] = []
        size_bytes = 0
        with self._taking:
            while write is not None:
                if write.taken is not None:
                    write.taken = True
                    batch.append(write)
                    size_bytes += write.size_bytes
                if len(batch) >= BATCH or size_bytes >= BATCH_BYTES:
                    return batch
                try:
                    write = self._queue.get_nowait()
                except Empty:
                    return batch
                if isinstance(write, trio.Event):
                    self._pulses.append(write)
                    return batch
        if batch:
            self._queue.put(None)
            return batch
        return None

    def _waiting(self) -> Iterator[Write[Any]]:
        while not self._queue.empty():
            write = self._queue.get_nowait()
            if isinstance(write, trio.Event):
                self._pulses.append(write)
            elif write is not None and write.taken is not None:
                write.taken = True
                yield write

    def _give_up(self, writes: list[Write[Any]], error: BaseException) -> None:
        for write in writes:
            write.error = StoreClosedError(f"the writer broke: {error!r}")
        self._tell(writes)

    def _answer_pulses(self) -> None:
        if self._pulses and self._token is not None:
            pulses, self._pulses = self._pulses, []
            for passed in pulses:
                self._token.run_sync_soon(passed.set)

    def _patience(self) -> float | None:
        """Return how long to wait for a write before there is something else to do."""
        waits = [IDLE_S] if self._commits.wants_idle else []
        if self._flush_at is not None:
            waits.append(max(0.0, self._flush_at - time.monotonic()))
        return min(waits, default=None)

    def _keep_up(self, *, idle: bool) -> None:
        if self._commits.wants_checkpoint or (idle and self._commits.wants_idle):
            self._commits.checkpoint()
        if not self._commits.unsynced:
            self._flush_at = None
        elif self._flush_at is None:
            self._flush_at = time.monotonic() + FLUSH_S
        elif time.monotonic() >= self._flush_at:
            self._commits.flush()
            self._flush_at = None

    def _tell(self, batch: list[Write[Any]]) -> None:
        keys = [key for write in batch if write.error is None for key in write.keys]
        if self._token is not None:
            self._token.run_sync_soon(self._wake, batch, keys)
        if keys:
            self._ring(keys)

    def _wake(self, batch: list[Write[Any]], keys: list[str]) -> None:
        for write in batch:
            if write.task is not None:
                trio.lowlevel.reschedule(write.task, write.outcome())
        if keys:
            self._notify(keys)
