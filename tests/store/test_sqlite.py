"""The store as a part: opening, closing, conditions, and real SQLite on the virtual clock."""

import sqlite3
import stat
import threading

import pytest
import trio

from mnedge.errors import CorruptError
from mnedge.part import running
from mnedge.ports import Epoch
from mnedge.store.condition import DatabaseForeignError, DiskFailingError, StoreClosedError
from mnedge.store.schema import SchemaNewerError, database_path
from mnedge.store.sqlite import LOOK_S, Looking, PlaceInvalidError, SqliteStore
from mnedge.testing.faulty_disk import FaultyDisk

EPOCH = Epoch(0, 1)


def inline(tmp_path, **options):
    return SqliteStore(tmp_path / "data", inline=True, **options)


async def opened_and_closed(store):
    async with running(store):
        pass


async def test_a_data_directory_is_made_for_this_user_alone(tmp_path):
    await opened_and_closed(inline(tmp_path))
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


async def test_what_was_kept_is_there_after_opening_again(tmp_path):
    async with running(inline(tmp_path)) as store:
        await store.table.put("a", b"x")
        await store.journal.append("job", EPOCH, 1, [b"one"])
        digest = await store.blobs.put(b"content")
    async with running(inline(tmp_path)) as store:
        assert (await store.table.get("a")).value == b"x"
        assert await store.journal.read("job") == [(1, b"one")]
        assert await store.blobs.get(digest) == b"content"


async def test_a_closed_store_refuses_clearly(tmp_path):
    store = inline(tmp_path)
    with pytest.raises(StoreClosedError):
        await store.table.get("a")
    await opened_and_closed(store)
    with pytest.raises(StoreClosedError):
        await store.table.put("a", b"x")


async def test_a_newer_database_stops_the_opening(tmp_path):
    await opened_and_closed(inline(tmp_path))
    connection = sqlite3.connect(database_path(str(tmp_path / "data")))
    connection.execute("PRAGMA user_version = 1000")
    connection.close()
    with pytest.RaisesGroup(SchemaNewerError, flatten_subgroups=True):
        await opened_and_closed(inline(tmp_path))


@pytest.mark.parametrize(
    "content,error",
    [(b"not a database " * 100, DatabaseForeignError), (b"SQLite format 3\0" * 9999, CorruptError)],
)
async def test_a_file_that_is_no_database_stops_the_opening_and_is_left_alone(
    tmp_path, content, error
):
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "mnedge.db"
    file.write_bytes(content)
    with pytest.RaisesGroup(error, flatten_subgroups=True) as refused:
        await opened_and_closed(inline(tmp_path))
    (only,) = refused.value.exceptions
    assert str(file) in str(only) or str(file) in str(only.exceptions[0])
    assert file.read_bytes() == content


async def test_a_damaged_database_is_named_when_it_is_met(tmp_path):
    async with running(inline(tmp_path)) as store:
        for job in range(50):
            await store.journal.append(f"job-{job}", EPOCH, 1, [bytes(3000)] * 5)
    file = tmp_path / "data" / "mnedge.db"
    content = bytearray(file.read_bytes())
    content[len(content) // 2 :] = b"\xff" * (len(content) - len(content) // 2)
    file.write_bytes(content)

    async def read_all():
        async with running(inline(tmp_path)) as store:
            for job in range(50):
                await store.journal.read(f"job-{job}")

    with pytest.RaisesGroup(
        pytest.RaisesExc(CorruptError, match="is damaged"), flatten_subgroups=True
    ):
        await read_all()


async def test_a_probe_of_a_good_disk_writes_nothing(tmp_path):
    disk = FaultyDisk()
    async with running(inline(tmp_path, connect=disk.connect)) as store:
        before = len(disk.statements)
        assert (await store.probe()).name == "ok"
        assert len(disk.statements) == before


async def test_a_probe_finds_out_when_a_failing_disk_is_well_again(tmp_path):
    disk = FaultyDisk()
    async with running(inline(tmp_path, connect=disk.connect, now=lambda: 5.0)) as store:
        disk.fail("COMMIT", sqlite3.SQLITE_IOERR_WRITE, times=None)
        with pytest.raises(DiskFailingError):
            await store.table.put("a", b"x")
        found = await store.probe()
        assert (found.name, found.since) == ("io_error", 5.0)
        disk.heal()
        assert (await store.probe()).name == "ok"
        assert await store.table.put("a", b"x") == 1


async def test_others_note_in_the_same_place_how_the_disk_is(tmp_path):
    async with running(inline(tmp_path)) as store:
        store.conditions.failed("runs", str(tmp_path / "run.json"), OSError(28, "full"))
        assert store.condition.name == "disk_full"
        store.conditions.fine("runs", str(tmp_path / "run.json"))
        assert store.condition.name == "ok"


async def test_an_inline_store_lives_on_the_virtual_clock_without_threads(tmp_path, autojump_clock):
    threads = threading.active_count()
    async with running(inline(tmp_path)) as store:

        async def produce(job):
            for seq in range(1, 11):
                await trio.sleep(60)
                await store.journal.append(job, EPOCH, seq, [b"%d" % seq])

        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(produce, f"job-{number}")
        assert trio.current_time() >= 600
        for number in range(5):
            assert len(await store.journal.read(f"job-{number}")) == 10
    assert threading.active_count() == threads
    assert not (tmp_path / "data" / "doorbells").exists()


async def test_a_process_that_dies_in_a_simulation_is_gone_for_the_next_one(tmp_path):
    living = {"first", "second"}
    async with running(inline(tmp_path, process="first", alive=living.__contains__)) as store:
        claim = await store.claims.claim("job/j")
        await store.journal.append("j", claim.epoch, 1, [b"one"])
    async with running(inline(tmp_path, process="second", alive=living.__contains__)) as store:
        assert await store.claims.claim("job/j") is None
        living.remove("first")
        again = await store.claims.claim("job/j")
        assert again.epoch > claim.epoch
        assert await store.journal.read("j") == [(1, b"one")]


def test_looking_notices_only_writes_to_the_table(tmp_path):
    async def writes():
        async with running(inline(tmp_path)) as store:
            looking = Looking(database_path(store.data_dir), sqlite3.connect)
            assert looking.moved()  # it had never looked
            assert not looking.moved()
            await store.journal.append("job", EPOCH, 1, [b"one"])
            assert not looking.moved()
            await store.table.put("a", b"x")
            assert looking.moved()
            assert not looking.moved()
            looking.close()

    trio.run(writes)


def test_looking_at_a_file_that_cannot_be_read_counts_as_a_change(tmp_path):
    looking = Looking(str(tmp_path / "nowhere" / "mnedge.db"), sqlite3.connect)
    assert looking.moved()
    assert looking.moved()
    looking.close()


@pytest.mark.live
async def test_with_threads_the_store_does_the_same_and_leaves_only_its_files(tmp_path):
    async with running(SqliteStore(tmp_path)) as store:
        watch = aiter(store.table.watch("a"))
        assert await anext(watch) == []
        await store.table.put("a", b"x")
        with trio.fail_after(LOOK_S / 2):  # told in the process, not found by looking
            assert [row.key for row in await anext(watch)] == ["a"]
        await store.journal.append("job", EPOCH, 1, [b"one"], sync=False)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["blobs", "doorbells", "mnedge.db"]
    assert list((tmp_path / "doorbells").iterdir()) == []


@pytest.mark.live
async def test_without_a_place_for_bells_watchers_look_more_often(tmp_path):
    (tmp_path / "doorbells").write_text("in the way")
    async with running(SqliteStore(tmp_path)) as store, running(SqliteStore(tmp_path)) as other:
        watch = aiter(store.table.watch("a"))
        await anext(watch)
        await other.table.put("a", b"x")
        with trio.fail_after(10):
            assert [row.key for row in await anext(watch)] == ["a"]


@pytest.mark.live
async def test_a_store_that_cannot_be_opened_starts_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.RaisesGroup(PlaceInvalidError, flatten_subgroups=True):
        await opened_and_closed(SqliteStore(tmp_path / "file"))


@pytest.mark.parametrize("path", ["file", "file/below"])
async def test_a_path_that_cannot_be_a_folder_is_named(tmp_path, path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.RaisesGroup(PlaceInvalidError, flatten_subgroups=True, allow_unwrapped=True):
        async with running(SqliteStore(tmp_path / path, inline=True)):
            pass


async def test_a_store_has_a_pulse(inline_store):
    await inline_store.pulse()
