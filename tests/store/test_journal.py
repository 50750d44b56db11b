"""Damage to journals: torn ends are cut and reported, anything else is refused and left alone."""

import pytest

from mnedge import faults
from mnedge.errors import CorruptError
from mnedge.ports import Epoch
from mnedge.store.condition import DiskFullError
from mnedge.store.journal_rows import BITS, JournalCorruptError, SnapshotDamaged, TornTail

EPOCH = Epoch(0, 1)


@pytest.fixture
def journal(inline_store):
    return inline_store.journal


@pytest.fixture
async def filled(journal):
    await journal.append("other", EPOCH, 1, [b"other"])
    await journal.append("job", EPOCH, 1, [b"fact %d" % seq for seq in range(1, 11)])
    return journal


def row_of(connection, seq, job="job"):
    (number,) = connection.execute(
        "SELECT number FROM journals WHERE job_id = ?", (job,)
    ).fetchone()
    return (number << BITS) + seq


def damage(connection, *seqs):
    for seq in seqs:
        done = connection.execute(
            "UPDATE facts SET body = CAST('dam' || body AS BLOB) WHERE id = ?",
            (row_of(connection, seq),),
        )
        assert done.rowcount == 1


async def numbers(journal, after=0, job="job"):
    return [seq for seq, _ in await journal.read(job, after=after)]


@pytest.mark.parametrize("lost", [(10,), (9, 10), (8, 9, 10), tuple(range(1, 11))])
async def test_a_damaged_end_is_cut_back_to_the_last_good_fact_and_reported(
    filled, database, inline_store, lost
):
    with database() as connection:
        damage(connection, *lost)
    good = list(range(1, lost[0]))
    found = await numbers(filled)
    assert found == good
    assert await numbers(filled, after=len(good)) == []
    assert inline_store.reports == [TornTail("job", len(good), len(lost))]
    await filled.append("job", EPOCH, len(good) + 1, [b"goes on"])
    assert (await filled.read("job"))[-1] == (len(good) + 1, b"goes on")
    assert await filled.read("other") == [(1, b"other")]


@pytest.mark.parametrize("bad", [1, 5, 9])
async def test_a_damaged_fact_before_good_ones_is_refused_and_nothing_is_cut(
    filled, database, inline_store, bad
):
    with database() as connection:
        damage(connection, bad)
        before = connection.execute("SELECT * FROM facts").fetchall()
    found = await numbers(filled) if bad > 1 else []
    assert found == list(range(1, bad))
    with pytest.raises(JournalCorruptError, match=f"damaged at fact {bad}") as refused:
        await filled.read("job", after=bad - 1)
    assert isinstance(refused.value, CorruptError)
    assert refused.value.details == {"job_id": "job", "seq": bad}
    with database() as connection:
        assert connection.execute("SELECT * FROM facts").fetchall() == before
    assert inline_store.reports == []
    assert await filled.read("other") == [(1, b"other")]


async def test_a_missing_fact_before_good_ones_is_damage_too(filled, database):
    with database() as connection:
        connection.execute("DELETE FROM facts WHERE id = ?", (row_of(connection, 4),))
    assert await numbers(filled) == [1, 2, 3]
    with pytest.raises(JournalCorruptError, match="damaged at fact 4"):
        await filled.read("job", after=3)


async def test_two_facts_in_each_others_place_are_damage(filled, database):
    with database() as connection:
        three, four = row_of(connection, 3), row_of(connection, 4)
        for old, new in ((three, -1), (four, three), (-1, four)):
            connection.execute("UPDATE facts SET id = ? WHERE id = ?", (new, old))
    with pytest.raises(JournalCorruptError, match="damaged at fact 3"):
        await filled.read("job", after=2)


async def test_a_fact_of_another_job_is_damage(filled, database):
    with database() as connection:
        body, crc = connection.execute(
            "SELECT body, crc FROM facts WHERE id = ?", (row_of(connection, 1, "other"),)
        ).fetchone()
        connection.execute(
            "UPDATE facts SET body = ?, crc = ? WHERE id = ?", (body, crc, row_of(connection, 1))
        )
    with pytest.raises(JournalCorruptError, match="damaged at fact 1"):
        await filled.read("job")


async def test_a_fact_of_another_kind_is_damage(filled, database):
    with database() as connection:
        connection.execute("UPDATE facts SET body = 7 WHERE id = ?", (row_of(connection, 10),))
    assert await numbers(filled) == list(range(1, 10))


async def test_damage_below_the_newest_snapshot_does_not_stand_in_the_way(filled, database):
    await filled.snapshot("job", EPOCH, 6, b"state")
    with database() as connection:
        damage(connection, 2)
    seq, _ = await filled.latest_snapshot("job")
    assert await numbers(filled, after=seq) == [7, 8, 9, 10]


async def test_a_snapshot_beyond_the_torn_end_keeps_what_it_knows(filled, database, inline_store):
    await filled.snapshot("job", EPOCH, 9, b"state at 9")
    with database() as connection:
        damage(connection, 7, 8, 9, 10)
    assert await numbers(filled, after=6) == []
    assert inline_store.reports == [TornTail("job", 9, 4)]
    assert await filled.latest_snapshot("job") == (9, b"state at 9")
    await filled.append("job", EPOCH, 10, [b"ten, again"])
    assert await filled.read("job", after=9) == [(10, b"ten, again")]


async def test_a_damaged_snapshot_gives_way_to_the_one_before_it(filled, database, inline_store):
    await filled.snapshot("job", EPOCH, 4, b"state at 4")
    await filled.snapshot("job", EPOCH, 8, b"state at 8")
    await filled.compact("job", EPOCH, 8)
    with database() as connection:
        connection.execute(
            "UPDATE snapshot_slices SET body = x'00' WHERE body = ?", (b"state at 8",)
        )
    for _ in range(2):
        assert await filled.latest_snapshot("job") == (4, b"state at 4")
    assert await numbers(filled, after=4) == [5, 6, 7, 8, 9, 10]
    assert inline_store.reports == [SnapshotDamaged("job", 8)]


async def test_a_damaged_newest_snapshot_stops_compaction(filled, database):
    await filled.snapshot("job", EPOCH, 4, b"state at 4")
    await filled.snapshot("job", EPOCH, 8, b"state at 8")
    with database() as connection:
        connection.execute(
            "UPDATE snapshot_slices SET body = x'00' WHERE body = ?", (b"state at 8",)
        )
    await filled.compact("job", EPOCH, 8)
    assert await numbers(filled) == list(range(1, 11))


async def test_without_any_snapshot_left_a_compacted_job_is_refused(filled, database):
    await filled.snapshot("job", EPOCH, 4, b"state at 4")
    await filled.snapshot("job", EPOCH, 8, b"state at 8")
    await filled.compact("job", EPOCH, 8)
    with database() as connection:
        connection.execute("UPDATE snapshot_slices SET body = x'00'")
    with pytest.raises(JournalCorruptError, match="no snapshot is readable"):
        await filled.latest_snapshot("job")


async def test_without_any_snapshot_left_an_uncompacted_job_begins_at_its_first_fact(
    filled, database
):
    await filled.snapshot("job", EPOCH, 4, b"state at 4")
    with database() as connection:
        connection.execute("UPDATE snapshot_slices SET body = x'00'")
    assert await filled.latest_snapshot("job") is None
    assert await numbers(filled) == list(range(1, 11))


@pytest.mark.parametrize(
    "action,error", [("raise", faults.InjectedFaultError), ("enospc", DiskFullError)]
)
async def test_a_failure_within_the_transaction_keeps_nothing(filled, inline_store, action, error):
    with faults.armed(f"journal.append.during:1:{action}"), pytest.raises(error):
        await filled.append("job", EPOCH, 11, [b"eleven", b"twelve"])
    assert await numbers(filled, after=10) == []
    await filled.append("job", EPOCH, 11, [b"eleven"])
    assert inline_store.condition.name == "ok"


async def test_a_failure_after_the_commit_keeps_everything(filled):
    with (
        faults.armed("journal.append.after:1:raise"),
        pytest.raises(faults.InjectedFaultError),
    ):
        await filled.append("job", EPOCH, 11, [b"eleven"])
    assert await filled.read("job", after=10) == [(11, b"eleven")]


@pytest.mark.parametrize(
    "point", ["journal.snapshot.before", "journal.snapshot.after", "journal.compact.after"]
)
async def test_every_other_place_of_the_journal_can_fail(filled, point):
    async def keep_up():
        await filled.snapshot("job", EPOCH, 5, b"state")
        await filled.compact("job", EPOCH, 5)

    with faults.armed(f"{point}:1:raise"), pytest.raises(faults.InjectedFaultError):
        await keep_up()
    assert await numbers(filled) == list(range(1, 11))
