"""States of jobs, kept so that not every fact is read again: the newest two, each with its CRC."""

import sqlite3
from zlib import crc32

from mnedge import faults
from mnedge.ports import Epoch
from mnedge.store.commits import Write
from mnedge.store.journal_rows import OutOfOrderError, owned, written
from mnedge.store.writer import Writer, one_look

SLICE_BYTES = 1 << 20
"""A snapshot is written in slices of this size, so that other jobs get in between."""
KEPT = 2


class Snapshots:
    """Snapshots in the node's database."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def keep(self, job_id: str, epoch: Epoch, seq: int, content: bytes) -> None:
        """Keep the state after fact `seq`, and of the older ones only the newest."""
        faults.hit("journal.snapshot.before")
        starts = range(0, max(1, len(content)), SLICE_BYTES)
        slices = (content[start : start + SLICE_BYTES] for start in starts)
        number = await self._begin(job_id, epoch, seq, crc32(content), next(slices))
        for at, body in enumerate(slices, 1):
            await self._add_slice(number, at, body)
        await self._finish(job_id, epoch, number)

    async def good(self, job_id: str, count: int) -> tuple[list[int], list[tuple[int, bytes]]]:
        """Return the numbers of damaged snapshots met, and the newest `count` good ones."""

        def look(connection: sqlite3.Connection) -> tuple[list[int], list[tuple[int, bytes]]]:
            with one_look(connection):
                return good_snapshots(connection, job_id, count)

        return await self._writer.read(look)

    async def _begin(self, job_id: str, epoch: Epoch, seq: int, crc: int, first: bytes) -> int:
        def work(connection: sqlite3.Connection) -> int:
            head = owned(connection, job_id, epoch)
            if not head.compacted <= seq <= head.last_seq:
                raise OutOfOrderError.of_snapshot(job_id, seq, head.compacted, head.last_seq)
            journal = written(connection, job_id, head, epoch)
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

    async def _finish(self, job_id: str, epoch: Epoch, number: int) -> None:
        def work(connection: sqlite3.Connection) -> None:
            head = owned(connection, job_id, epoch)
            connection.execute("UPDATE snapshots SET complete = 1 WHERE number = ?", (number,))
            kept = connection.execute(
                "SELECT number FROM snapshots WHERE journal = ? AND complete "
                "ORDER BY seq DESC, number DESC LIMIT ?",
                (head.number, KEPT),
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


def good_snapshots(
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
