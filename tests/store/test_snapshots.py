"""Snapshots are written in slices; one that was not finished is none."""

import pytest

from mnedge import faults
from mnedge.ports import Epoch
from mnedge.store.journal_rows import StaleEpochError
from mnedge.store.snapshots import SLICE_BYTES

EPOCH = Epoch(0, 1)
LARGE = b"s" * (3 * SLICE_BYTES + 5)


def slices(database):
    with database() as connection:
        return connection.execute(
            "SELECT s.seq, count(*) FROM snapshots s "
            "JOIN snapshot_slices ON snapshot = s.number GROUP BY s.number ORDER BY s.number"
        ).fetchall()


async def test_a_large_state_is_kept_in_slices(inline_store, database):
    journal = inline_store.journal
    await journal.append("job", EPOCH, 1, [b"x"])
    await journal.snapshot("job", EPOCH, 1, LARGE)
    await journal.snapshot("job", EPOCH, 1, b"")
    assert slices(database) == [(1, 4), (1, 1)]
    assert await journal.latest_snapshot("job") == (1, b"")


async def test_only_two_are_kept(inline_store, database):
    journal = inline_store.journal
    await journal.append("job", EPOCH, 1, [b"x"] * 5)
    for seq in range(1, 6):
        await journal.snapshot("job", EPOCH, seq, b"%d" % seq)
    assert slices(database) == [(4, 1), (5, 1)]


async def test_an_unfinished_one_is_none_and_goes_with_the_next(inline_store, database):
    journal = inline_store.journal
    await journal.append("job", EPOCH, 1, [b"x"] * 5)
    await journal.snapshot("job", EPOCH, 2, b"good")
    with database() as connection:
        (journal_number,) = connection.execute("SELECT number FROM journals").fetchone()
        connection.execute(
            "INSERT INTO snapshots (number, journal, seq, crc, complete) VALUES (99, ?, 4, 0, 0)",
            (journal_number,),
        )
        connection.execute("INSERT INTO snapshot_slices VALUES (99, 0, x'00')")
    assert await journal.latest_snapshot("job") == (2, b"good")
    await journal.snapshot("job", EPOCH, 5, b"newer")
    assert slices(database) == [(2, 1), (5, 1)]


async def test_an_owner_that_is_replaced_between_two_slices_finishes_nothing(inline_store):
    journal, claims = inline_store.journal, inline_store.claims
    old = await claims.claim("job/j")
    await journal.append("j", old.epoch, 1, [b"x"])
    number = await journal._snapshots._begin("j", old.epoch, 1, 0, b"first slice")
    await claims.release(old)
    await claims.claim("job/j")
    with pytest.raises(StaleEpochError):
        await journal._snapshots._finish("j", old.epoch, number)
    assert await journal.latest_snapshot("j") is None


async def test_forgetting_a_job_drops_its_slices_too(inline_store, database):
    journal = inline_store.journal
    await journal.append("job", EPOCH, 1, [b"x"])
    await journal.snapshot("job", EPOCH, 1, LARGE)
    await journal.forget("job")
    with database() as connection:
        for table in ("facts", "journals", "snapshots", "snapshot_slices"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


async def test_a_failure_after_it_was_kept_leaves_it_kept(inline_store):
    journal = inline_store.journal
    await journal.append("job", EPOCH, 1, [b"x"])
    with faults.armed("journal.snapshot.after:1:raise"), pytest.raises(faults.InjectedFaultError):
        await journal.snapshot("job", EPOCH, 1, b"state")
    assert await journal.latest_snapshot("job") == (1, b"state")
