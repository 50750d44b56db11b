"""The facts of each job, in SQLite: numbered without gaps, each with its CRC.

A power cut is SQLite's affair: its log ends at the last whole commit. What is looked for here is
damage of the medium. Bad facts at the end of a job are cut off and reported, for nobody can have
built on what follows them; a bad fact before good ones is never cut.
"""

import sqlite3
from collections.abc import Sequence

from mnedge import faults
from mnedge.ports import Epoch
from mnedge.store.commits import Write
from mnedge.store.journal_rows import (
    BITS,
    MASK,
    JournalCorruptError,
    OutOfOrderError,
    Report,
    SnapshotDamaged,
    TornTail,
    claim_key_of,
    head_of,
    owned,
    read_rows,
    refuse_good_after,
    rows_of,
    written,
)
from mnedge.store.snapshots import KEPT, Snapshots, good_snapshots
from mnedge.store.writer import Writer

SLICE_FACTS = 5000
"""Facts forgotten in one transaction."""


class SqliteJournal:
    """Journal in the node's database."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._snapshots = Snapshots(writer)
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
            head = owned(connection, job_id, epoch)
            if first_seq != head.last_seq + 1:
                raise OutOfOrderError.of(job_id, first_seq, head.last_seq)
            connection.executemany(
                "INSERT INTO facts VALUES (?, ?, ?)",
                rows_of(written(connection, job_id, head, epoch), job_id, first_seq, records),
            )
            faults.hit("journal.append.during")

        def landed(connection: sqlite3.Connection) -> bool:
            head = head_of(connection, job_id)
            rows = rows_of(head.number, job_id, first_seq, records)
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
            found, bad = await self._writer.read(lambda c: read_rows(c, job_id, after, limit))
            if bad is None or found:
                return found  # the facts before the damage; the next read meets it again
            torn = await self._cut(job_id, bad)
            if torn is not None:
                self.reports.append(torn)

    async def snapshot(self, job_id: str, epoch: Epoch, seq: int, data: bytes) -> None:
        """Keep the state after fact `seq`; the newest two are kept."""
        await self._snapshots.keep(job_id, epoch, seq, data)

    async def latest_snapshot(self, job_id: str) -> tuple[int, bytes] | None:
        """Return the newest good snapshot and its fact number.

        Raises: CorruptError if none is good and the facts before them are forgotten.
        """
        damaged, good = await self._snapshots.good(job_id, 1)
        for seq in damaged:
            report = SnapshotDamaged(job_id, seq)
            if report not in self.reports:
                self.reports.append(report)
        if good:
            return good[0]
        head = await self._writer.read(lambda connection: head_of(connection, job_id))
        if head.compacted:
            raise JournalCorruptError.of(
                job_id, head.compacted, "no snapshot is readable, and the facts up to it are gone"
            )
        return None

    async def compact(self, job_id: str, epoch: Epoch, through: int) -> None:
        """Forget records up to `through`, never past the older of two good snapshots.

        The newest alone is not enough: should it be damaged later, the older one needs its facts.
        """
        _, good = await self._snapshots.good(job_id, KEPT)
        through = min(through, good[-1][0]) if len(good) == KEPT else 0
        while await self._forget_some(job_id, epoch, through):
            pass
        faults.hit("journal.compact.after")

    async def forget(self, job_id: str) -> None:
        """Drop all of a job's records and snapshots."""
        head = await self._writer.read(lambda connection: head_of(connection, job_id))
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

        await self._writer.write(Write(work, lambda c: not head_of(c, job_id).number))

    async def _cut(self, job_id: str, bad: int) -> TornTail | None:
        """Cut off what is unreadable from fact `bad` on; None if it is already gone.

        Raises: JournalCorruptError if a good fact follows.
        """

        def work(connection: sqlite3.Connection) -> TornTail | None:
            head = head_of(connection, job_id)
            if head.last_seq < bad:
                return None
            refuse_good_after(connection, job_id, head.number, bad)
            start = (head.number << BITS) + bad
            connection.execute(
                "DELETE FROM facts WHERE id BETWEEN ? AND ?", (start, (head.number << BITS) | MASK)
            )
            lost = connection.execute("SELECT changes()").fetchone()[0]
            _, good = good_snapshots(connection, job_id, 1)
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

        return await self._writer.write(Write(work, lambda c: head_of(c, job_id).last_seq < bad))

    async def _forget_some(self, job_id: str, epoch: Epoch, through: int) -> bool:
        """Forget the next slice of facts; tell whether there are more."""

        def work(connection: sqlite3.Connection) -> bool:
            head = owned(connection, job_id, epoch)
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
