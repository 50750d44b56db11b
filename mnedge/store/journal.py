"""The facts of each job, in SQLite: numbered without gaps, each with its CRC.

A power cut is SQLite's affair: its log ends at the last whole commit. What is looked for here is
damage of the medium. Bad facts at the end of a job are cut off and reported, for nobody can have
built on what follows them; a bad fact before good ones is never cut.
"""

import sqlite3
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple
from zlib import crc32

from msgspec import Struct

from mnedge import faults
from mnedge.errors import ConflictError, CorruptError
from mnedge.ports import Epoch
from mnedge.store.claims import epoch_of
from mnedge.store.commits import Write
from mnedge.store.writer import Writer, one_look

BITS = 36
"""A fact's row id: number of the journal, then this many bits of fact number."""
MASK = (1 << BITS) - 1
SLICE_BYTES = 1 << 20
"""A snapshot is written in slices of this size, so that other jobs get in between."""
SLICE_FACTS = 5000
"""Facts forgotten in one transaction."""
KEPT_SNAPSHOTS = 2


class StaleEpochError(ConflictError):
    """The job has a newer owner by now."""

    code = "journal.stale_epoch"

    @classmethod
    def of(cls, job_id: str, epoch: Epoch, newest: Epoch) -> "StaleEpochError":
        """Return the error for that job."""
        return cls(
            f"job {job_id} is owned under epoch {newest.failover}.{newest.counter}; "
            f"epoch {epoch.failover}.{epoch.counter} is over",
            hint="let go of the job: somebody else carries it on",
            details={"job_id": job_id, "epoch": list(epoch), "newest": list(newest)},
        )


class OutOfOrderError(ConflictError):
    """The number is not the one that comes next in the job's journal."""

    code = "journal.out_of_order"

    @classmethod
    def of(cls, job_id: str, first_seq: int, last_seq: int) -> "OutOfOrderError":
        """Return the error for that job."""
        return cls(
            f"the journal of job {job_id} ends at fact {last_seq}; fact {first_seq} cannot follow",
            hint="read the journal again",
            details={"job_id": job_id, "first_seq": first_seq, "last_seq": last_seq},
        )

    @classmethod
    def of_snapshot(cls, job_id: str, seq: int, first: int, last: int) -> "OutOfOrderError":
        """Return the error for a snapshot that the journal does not lead to."""
        return cls(
            f"the journal of job {job_id} holds facts {first + 1} to {last}; "
            f"no snapshot can stand at {seq}",
            hint="read the journal again",
            details={"job_id": job_id, "seq": seq, "compacted": first, "last_seq": last},
        )


class JournalCorruptError(CorruptError):
    """A fact or all snapshots of a job are damaged, and what follows depends on them."""

    code = "journal.corrupt"

    @classmethod
    def of(cls, job_id: str, seq: int, why: str) -> "JournalCorruptError":
        """Return the error for that fact."""
        return cls(
            f"the journal of job {job_id} is damaged at fact {seq}: {why}",
            hint="restore the data directory from a backup; nothing was cut or changed",
            details={"job_id": job_id, "seq": seq},
        )


class TornTail(Struct, frozen=True):
    """The end of a job's journal was unreadable and has been cut off."""

    job_id: str
    last_seq: int
    """The last fact that is left."""
    lost: int
    """Rows that were cut off."""


class SnapshotDamaged(Struct, frozen=True):
    """A snapshot was unreadable; the one before it serves."""

    job_id: str
    seq: int


Report = TornTail | SnapshotDamaged


class _Head(NamedTuple):
    """Where a job's journal stands."""

    number: int
    epoch: Epoch
    compacted: int
    last_seq: int


def claim_key_of(job_id: str) -> str:
    """Return the key of the claim whose epoch guards the journal."""
    return f"job/{job_id}"


class SqliteJournal:
    """Journal in the node's database."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.reports: list[Report] = []
        """What was found damaged since the store was opened."""

    async def append(
        self,
        job_id: str,
        epoch: Epoch,
        first_seq: int,
        records: Sequence[bytes],
        *,
        sync: bool = True,
    ) -> None:
        """Return when the records are durable.

        `sync=False`: when they are committed; an fsync follows with the next commit that has one,
        or within a second. Until then a power cut may lose them, a crash of the process does not.
        """
        faults.hit("journal.append.before")

        def work(connection: sqlite3.Connection) -> None:
            head = _owned(connection, job_id, epoch)
            if first_seq != head.last_seq + 1:
                raise OutOfOrderError.of(job_id, first_seq, head.last_seq)
            connection.executemany(
                "INSERT INTO facts VALUES (?, ?, ?)",
                _rows_of(_written(connection, job_id, head, epoch), job_id, first_seq, records),
            )
            faults.hit("journal.append.during")

        def landed(connection: sqlite3.Connection) -> bool:
            head = _head(connection, job_id)
            rows = _rows_of(head.number, job_id, first_seq, records)
            found = connection.execute(
                "SELECT id, crc, body FROM facts WHERE id >= ? ORDER BY id LIMIT ?",
                ((head.number << BITS) + first_seq, len(rows)),
            )
            return found.fetchall() == rows

        size_bytes = sum(map(len, records)) + 24 * len(records)
        await self._writer.write(
            Write(work, landed, synced=sync, after="journal.append.after", size_bytes=size_bytes)
        )

    async def read(
        self, job_id: str, *, after: int = 0, limit: int = 500
    ) -> list[tuple[int, bytes]]:
        """Return records numbered after `after`; cut off a damaged end when it is met."""
        while True:
            found, bad = await self._writer.read(lambda c: _read(c, job_id, after, limit))
            if bad is None or found:
                return found  # the facts before the damage; the next read meets it again
            torn = await self._cut(job_id, bad)
            if torn is not None:
                self.reports.append(torn)

    async def snapshot(self, job_id: str, epoch: Epoch, seq: int, data: bytes) -> None:
        """Keep the state after fact `seq`; the newest two are kept."""
        faults.hit("journal.snapshot.before")
        slices = [data[at : at + SLICE_BYTES] for at in range(0, len(data), SLICE_BYTES)] or [b""]
        number = await self._begin_snapshot(job_id, epoch, seq, crc32(data), slices[0])
        for at, body in enumerate(islice(slices, 1, None), 1):
            await self._add_slice(number, at, body)
        await self._finish_snapshot(job_id, epoch, number)

    async def latest_snapshot(self, job_id: str) -> tuple[int, bytes] | None:
        """Return the newest good snapshot and its fact number.

        Raises: CorruptError if none is good and the facts before them are forgotten.
        """
        damaged, good = await self._writer.read(lambda c: _look_for_good(c, job_id, 1))
        for seq in damaged:
            report = SnapshotDamaged(job_id, seq)
            if report not in self.reports:
                self.reports.append(report)
        if good:
            return good[0]
        head = await self._writer.read(lambda connection: _head(connection, job_id))
        if head.compacted:
            raise JournalCorruptError.of(
                job_id, head.compacted, "no snapshot is readable, and the facts up to it are gone"
            )
        return None

    async def compact(self, job_id: str, epoch: Epoch, through: int) -> None:
        """Forget records up to `through`, never past the older of two good snapshots.

        The newest alone is not enough: should it be damaged later, the older one needs its facts.
        """
        _, good = await self._writer.read(lambda c: _look_for_good(c, job_id, KEPT_SNAPSHOTS))
        through = min(through, good[-1][0]) if len(good) == KEPT_SNAPSHOTS else 0
        while await self._forget_some(job_id, epoch, through):
            pass
        faults.hit("journal.compact.after")

    async def forget(self, job_id: str) -> None:
        """Drop all of a job's records and snapshots."""
        head = await self._writer.read(lambda connection: _head(connection, job_id))
        if not head.number:
            return
        low, high = head.number << BITS, (head.number << BITS) | MASK
        while await self._drop_facts(low, high):
            pass

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "DELETE FROM snapshot_slices WHERE snapshot IN "
                "(SELECT number FROM snapshots WHERE journal = ?)",
                (head.number,),
            )
            connection.execute("DELETE FROM snapshots WHERE journal = ?", (head.number,))
            connection.execute("DELETE FROM facts WHERE id BETWEEN ? AND ?", (low, high))
            connection.execute("DELETE FROM journals WHERE number = ?", (head.number,))
            connection.execute(
                "DELETE FROM claims WHERE key = ? AND holder = ''", (claim_key_of(job_id),)
            )

        await self._writer.write(Write(work, lambda c: not _head(c, job_id).number))

    async def _cut(self, job_id: str, bad: int) -> TornTail | None:
        """Cut off what is unreadable from fact `bad` on; None if it is already gone.

        Raises: JournalCorruptError if a good fact follows.
        """

        def work(connection: sqlite3.Connection) -> TornTail | None:
            head = _head(connection, job_id)
            if head.last_seq < bad:
                return None
            _refuse_good_after(connection, job_id, head.number, bad)
            start = (head.number << BITS) + bad
            connection.execute(
                "DELETE FROM facts WHERE id BETWEEN ? AND ?", (start, (head.number << BITS) | MASK)
            )
            lost = connection.execute("SELECT changes()").fetchone()[0]
            _, good = _good(connection, job_id, 1)
            last_seq = bad - 1
            if good and good[0][0] > last_seq:  # the snapshot knows more than what is left
                last_seq = good[0][0]
                connection.execute(
                    "DELETE FROM facts WHERE id BETWEEN ? AND ?",
                    (head.number << BITS, (head.number << BITS) + last_seq),
                )
                connection.execute(
                    "UPDATE journals SET compacted = ? WHERE number = ?", (last_seq, head.number)
                )
            return TornTail(job_id, last_seq, lost)

        return await self._writer.write(Write(work, lambda c: _head(c, job_id).last_seq < bad))

    async def _begin_snapshot(
        self, job_id: str, epoch: Epoch, seq: int, crc: int, first: bytes
    ) -> int:
        def work(connection: sqlite3.Connection) -> int:
            head = _owned(connection, job_id, epoch)
            if not head.compacted <= seq <= head.last_seq:
                raise OutOfOrderError.of_snapshot(job_id, seq, head.compacted, head.last_seq)
            journal = _written(connection, job_id, head, epoch)
            number = connection.execute(
                "INSERT INTO snapshots (journal, seq, crc, complete) VALUES (?, ?, ?, 0)",
                (journal, seq, crc),
            ).lastrowid
            connection.execute("INSERT INTO snapshot_slices VALUES (?, 0, ?)", (number, first))
            return int(number or 0)

        def landed(connection: sqlite3.Connection) -> bool:
            found = connection.execute(
                "SELECT seq FROM snapshots WHERE number = ?", (write.result,)
            )
            return bool(found.fetchone() == (seq,))

        write = Write(work, landed, synced=False, size_bytes=len(first))
        return await self._writer.write(write)

    async def _add_slice(self, number: int, at: int, body: bytes) -> None:
        def work(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO snapshot_slices VALUES (?, ?, ?)", (number, at, body))

        def landed(connection: sqlite3.Connection) -> bool:
            found = connection.execute(
                "SELECT 1 FROM snapshot_slices WHERE snapshot = ? AND slice = ?", (number, at)
            )
            return found.fetchone() is not None

        await self._writer.write(Write(work, landed, synced=False, size_bytes=len(body)))

    async def _finish_snapshot(self, job_id: str, epoch: Epoch, number: int) -> None:
        def work(connection: sqlite3.Connection) -> None:
            head = _owned(connection, job_id, epoch)
            connection.execute("UPDATE snapshots SET complete = 1 WHERE number = ?", (number,))
            kept = connection.execute(
                "SELECT number FROM snapshots WHERE journal = ? AND complete "
                "ORDER BY seq DESC, number DESC LIMIT ?",
                (head.number, KEPT_SNAPSHOTS),
            ).fetchall()
            every = connection.execute(
                "SELECT number FROM snapshots WHERE journal = ?", (head.number,)
            ).fetchall()
            old = set(every) - set(kept)
            connection.executemany("DELETE FROM snapshot_slices WHERE snapshot = ?", old)
            connection.executemany("DELETE FROM snapshots WHERE number = ?", old)

        def landed(connection: sqlite3.Connection) -> bool:
            found = connection.execute(
                "SELECT complete FROM snapshots WHERE number = ?", (number,)
            ).fetchone()
            return bool(found == (1,))

        await self._writer.write(Write(work, landed, after="journal.snapshot.after"))

    async def _forget_some(self, job_id: str, epoch: Epoch, through: int) -> bool:
        """Forget the next slice of facts; tell whether there are more."""

        def work(connection: sqlite3.Connection) -> bool:
            head = _owned(connection, job_id, epoch)
            upto = min(through, head.compacted + SLICE_FACTS, head.last_seq)
            if upto <= head.compacted:
                return False
            low = head.number << BITS
            connection.execute("DELETE FROM facts WHERE id BETWEEN ? AND ?", (low, low + upto))
            connection.execute(
                "UPDATE journals SET compacted = ? WHERE number = ?", (upto, head.number)
            )
            return upto < through

        return await self._writer.write(Write(work, None, synced=False))

    async def _drop_facts(self, low: int, high: int) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            deleted = connection.execute(
                "DELETE FROM facts WHERE id IN "
                "(SELECT id FROM facts WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT ?)",
                (low, high, SLICE_FACTS),
            )
            return deleted.rowcount == SLICE_FACTS

        return await self._writer.write(Write(work, None, synced=False))


def _head(connection: sqlite3.Connection, job_id: str) -> _Head:
    found = connection.execute(
        "SELECT number, failover, counter, compacted, (SELECT max(id) FROM facts WHERE "
        "id BETWEEN number << 36 AND (number << 36) | 68719476735) FROM journals WHERE job_id = ?",
        (job_id,),
    ).fetchone()
    if found is None:
        return _Head(0, Epoch(0, 0), 0, 0)
    number, failover, counter, compacted, newest = found
    last_seq = compacted if newest is None else newest & MASK
    return _Head(number, Epoch(failover, counter), compacted, last_seq)


def _owned(connection: sqlite3.Connection, job_id: str, epoch: Epoch) -> _Head:
    """Return where the journal stands.

    Raises: StaleEpochError if a newer owner claimed the job or wrote to it.
    """
    head = _head(connection, job_id)
    newest = max(head.epoch, epoch_of(connection, claim_key_of(job_id)))
    if epoch < newest:
        raise StaleEpochError.of(job_id, epoch, newest)
    return head


def _written(connection: sqlite3.Connection, job_id: str, head: _Head, epoch: Epoch) -> int:
    """Return the journal's number, noting the epoch that writes to it."""
    if not head.number:
        added = connection.execute(
            "INSERT INTO journals (job_id, failover, counter) VALUES (?, ?, ?)", (job_id, *epoch)
        )
        return int(added.lastrowid or 0)
    if head.epoch != epoch:
        connection.execute(
            "UPDATE journals SET failover = ?, counter = ? WHERE number = ?", (*epoch, head.number)
        )
    return head.number


def _rows_of(
    number: int, job_id: str, first_seq: int, records: Sequence[bytes]
) -> list[tuple[int, int, bytes]]:
    base, salt = number << BITS, crc32(job_id.encode())
    return [
        (base + seq, crc32(record, salt ^ (seq & 0xFFFFFFFF)), bytes(record))
        for seq, record in enumerate(records, first_seq)
    ]


def _read(
    connection: sqlite3.Connection, job_id: str, after: int, limit: int
) -> tuple[list[tuple[int, bytes]], int | None]:
    """Return the good facts after `after`, and the number of the bad one that ended them."""
    with one_look(connection):
        head = _head(connection, job_id)
        base, salt, expected = head.number << BITS, crc32(job_id.encode()), after + 1
        expected = max(expected, head.compacted + 1)
        rows = connection.execute(
            "SELECT id, crc, body FROM facts WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?",
            (base + expected, base | MASK, limit),
        ).fetchall()
    found: list[tuple[int, bytes]] = []
    for row_id, crc, body in rows:
        seq = row_id & MASK
        if seq != expected or not _is_good(body, crc, salt, seq):
            return found, expected
        found.append((seq, body))
        expected += 1
    return found, None


def _is_good(body: object, crc: object, salt: int, seq: int) -> bool:
    return isinstance(body, bytes) and crc32(body, salt ^ (seq & 0xFFFFFFFF)) == crc


def _refuse_good_after(connection: sqlite3.Connection, job_id: str, number: int, bad: int) -> None:
    salt = crc32(job_id.encode())
    rows = connection.execute(
        "SELECT id, crc, body FROM facts WHERE id BETWEEN ? AND ? ORDER BY id",
        ((number << BITS) + bad, (number << BITS) | MASK),
    )
    for row_id, crc, body in rows:
        if _is_good(body, crc, salt, row_id & MASK):
            raise JournalCorruptError.of(job_id, bad, f"fact {row_id & MASK} after it is good")


def _look_for_good(
    connection: sqlite3.Connection, job_id: str, count: int
) -> tuple[list[int], list[tuple[int, bytes]]]:
    with one_look(connection):
        return _good(connection, job_id, count)


def _good(
    connection: sqlite3.Connection, job_id: str, count: int
) -> tuple[list[int], list[tuple[int, bytes]]]:
    """Return the numbers of damaged snapshots met, and the newest `count` good ones."""
    damaged: list[int] = []
    good: list[tuple[int, bytes]] = []
    snapshots = connection.execute(
        "SELECT s.number, s.seq, s.crc FROM snapshots s JOIN journals j ON j.number = s.journal "
        "WHERE j.job_id = ? AND s.complete ORDER BY s.seq DESC, s.number DESC",
        (job_id,),
    ).fetchall()
    for number, seq, crc in snapshots:
        slices = connection.execute(
            "SELECT body FROM snapshot_slices WHERE snapshot = ? ORDER BY slice", (number,)
        ).fetchall()
        content = b"".join(body for (body,) in slices)
        if crc32(content) == crc:
            good.append((seq, content))
        else:
            damaged.append(seq)
        if len(good) == count:
            break
    return damaged, good
