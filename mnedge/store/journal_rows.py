"""What a job's journal looks like in the database, and what may be wrong with it."""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

from msgspec import Struct

from mnedge import faults
from mnedge.errors import ConflictError, CorruptError
from mnedge.ports import Epoch
from mnedge.store.claims import epoch_of
from mnedge.store.writer import one_look

BITS = 36
"""A fact's row id: number of the journal, then this many bits of fact number."""
MASK = (1 << BITS) - 1


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


class Head(NamedTuple):
    """Where a job's journal stands."""

    number: int
    epoch: Epoch
    compacted: int
    last_seq: int


def claim_key_of(job_id: str) -> str:
    """Return the key of the claim whose epoch guards the journal."""
    return f"job/{job_id}"


def head_of(connection: sqlite3.Connection, job_id: str) -> Head:
    """Return where the job's journal stands; number 0 if it has none."""
    found = connection.execute(
        "SELECT number, failover, counter, compacted, (SELECT max(id) FROM facts WHERE "
        "id BETWEEN number << 36 AND (number << 36) | 68719476735) FROM journals WHERE job_id = ?",
        (job_id,),
    ).fetchone()
    if found is None:
        return Head(0, Epoch(0, 0), 0, 0)
    number, failover, counter, compacted, newest = found
    last_seq = compacted if newest is None else newest & MASK
    return Head(number, Epoch(failover, counter), compacted, last_seq)


def owned(connection: sqlite3.Connection, job_id: str, epoch: Epoch) -> Head:
    """Return where the journal stands.

    Raises: StaleEpochError if a newer owner claimed the job or wrote to it.
    """
    head = head_of(connection, job_id)
    newest = max(head.epoch, epoch_of(connection, claim_key_of(job_id)))
    if epoch < newest and not faults.flag("fencing_off"):
        raise StaleEpochError.of(job_id, epoch, newest)
    return head


def written(connection: sqlite3.Connection, job_id: str, head: Head, epoch: Epoch) -> int:
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


def rows_of(
    number: int, job_id: str, first_seq: int, records: Sequence[bytes]
) -> list[tuple[int, int, bytes]]:
    """Return the facts as rows; the CRC covers the job and the number as well."""
    base, salt = number << BITS, crc32(job_id.encode())
    return [
        (base + seq, crc32(record, salt ^ (seq & 0xFFFFFFFF)), bytes(record))
        for seq, record in enumerate(records, first_seq)
    ]


def read_rows(
    connection: sqlite3.Connection, job_id: str, after: int, limit: int
) -> tuple[list[tuple[int, bytes]], int | None]:
    """Return the good facts after `after`, and the number of the bad one that ended them."""
    with one_look(connection):
        head = head_of(connection, job_id)
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


def refuse_good_after(connection: sqlite3.Connection, job_id: str, number: int, bad: int) -> None:
    """Raise JournalCorruptError if any fact from `bad` on is good: then the end is not torn."""
    salt = crc32(job_id.encode())
    rows = connection.execute(
        "SELECT id, crc, body FROM facts WHERE id BETWEEN ? AND ? ORDER BY id",
        ((number << BITS) + bad, (number << BITS) | MASK),
    )
    for row_id, crc, body in rows:
        if _is_good(body, crc, salt, row_id & MASK):
            raise JournalCorruptError.of(job_id, bad, f"fact {row_id & MASK} after it is good")
