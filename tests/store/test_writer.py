"""The writer thread: group commit, order, cancellation, its end. Real threads, short real time."""

import sqlite3
import threading

import pytest
import trio
import trio.testing

from mnedge.errors import ConflictError, UnavailableError
from mnedge.part import running
from mnedge.store.commits import Commits, Write
from mnedge.store.condition import Conditions, DatabaseCorruptError, StoreClosedError
from mnedge.store.schema import database_path
from mnedge.store.writer import FLUSH_S, InlineWriter, Readers, ThreadedWriter, one_look
from mnedge.testing.faulty_disk import FaultyDisk

pytestmark = pytest.mark.live
PATIENCE_S = 10.0


class Bench:
    """A writer, and what it told whom."""

    def __init__(self, folder, kind=ThreadedWriter):
        path = database_path(str(folder))
        conditions = Conditions()
        self.disk = FaultyDisk()
        self.commits = Commits(path, "FULL", conditions, self.disk.connect)
        self.notified = []
        self.rung = []
        readers = Readers(path, conditions, self.disk.connect)
        notify = [lambda keys: self.notified.append(list(keys))]
        if kind is ThreadedWriter:
            notify.append(lambda keys: self.rung.append(list(keys)))
        self.writer = kind(self.commits, readers, *notify)

    def commits_made(self):
        return self.disk.statements.count("COMMIT")


@pytest.fixture
async def bench(tmp_path, nursery):
    bench = Bench(tmp_path)
    await nursery.start(bench.writer.run)
    return bench


def add(key, **options):
    def work(connection):
        connection.execute("INSERT INTO claims VALUES (?, '', 0, 0)", (key,))
        return key

    return Write(work, None, **options)


def keys_in(connection):
    return [key for (key,) in connection.execute("SELECT key FROM claims ORDER BY key")]


class Plug:
    """A write that holds the writer until it is let go."""

    def __init__(self):
        self.begun = trio.Event()
        self._token = trio.lowlevel.current_trio_token()
        self._go = threading.Event()

    def write(self):
        def work(connection):
            self._token.run_sync_soon(self.begun.set)
            self._go.wait(PATIENCE_S)

        return Write(work, None)

    def pull(self):
        self._go.set()


async def test_what_waits_meanwhile_is_committed_together(bench):
    plug, done = Plug(), []

    async def write(write):
        done.append(await bench.writer.write(write))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.writer.write, plug.write())
        await plug.begun.wait()
        before = bench.commits_made()
        for number in range(50):
            nursery.start_soon(write, add(f"key {number:02}"))
        await trio.testing.wait_all_tasks_blocked()
        plug.pull()
    assert bench.commits_made() - before == 2  # the plug's own, and one for all the others
    assert sorted(done) == [f"key {number:02}" for number in range(50)]
    assert await bench.writer.read(keys_in) == sorted(done)


async def test_writes_happen_in_the_order_in_which_they_were_asked_for(bench):
    seen = []

    async with trio.open_nursery() as nursery:
        for number in range(200):
            write = Write(lambda connection, number=number: seen.append(number), None)
            nursery.start_soon(bench.writer.write, write)
            await trio.lowlevel.checkpoint()
    assert seen == sorted(seen)
    assert len(seen) == 200


async def test_a_refusal_reaches_the_one_who_asked(bench):
    def work(connection):
        raise ConflictError("not now")

    with pytest.raises(ConflictError, match="not now"):
        await bench.writer.write(Write(work, None))
    assert await bench.writer.write(add("a")) == "a"


async def test_a_write_cancelled_while_it_waits_never_happens(bench):
    plug = Plug()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.writer.write, plug.write())
        await plug.begun.wait()
        with trio.move_on_after(0.01) as scope:
            await bench.writer.write(add("cancelled"))
        assert scope.cancelled_caught
        plug.pull()
    await bench.writer.write(add("after"))
    assert await bench.writer.read(keys_in) == ["after"]


async def test_a_write_cancelled_once_begun_is_finished_and_its_outcome_known(bench):
    plug = Plug()
    outcomes = []

    async def write():
        outcomes.append(await bench.writer.write(plug.write()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await plug.begun.wait()
        nursery.cancel_scope.cancel()
        plug.pull()
    assert outcomes == [None]


async def test_what_was_asked_for_before_the_end_is_committed(tmp_path):
    bench = Bench(tmp_path)
    async with trio.open_nursery() as waiting:
        async with running(bench.writer):
            plug = Plug()
            waiting.start_soon(bench.writer.write, plug.write())
            await plug.begun.wait()
            waiting.start_soon(bench.writer.write, add("late"))
            await trio.testing.wait_all_tasks_blocked()
            plug.pull()
        with pytest.raises(StoreClosedError):
            await bench.writer.write(add("too late"))
        with pytest.raises(StoreClosedError):
            await bench.writer.read(keys_in)
    connection = sqlite3.connect(database_path(str(tmp_path)))
    assert keys_in(connection) == ["late"]
    connection.close()


async def test_the_log_is_gone_after_a_clean_end(tmp_path):
    bench = Bench(tmp_path)
    async with running(bench.writer):
        await bench.writer.write(add("a"))
        await bench.writer.read(keys_in)
    assert [file.name for file in tmp_path.iterdir()] == ["mnedge.db"]


async def test_a_writer_that_breaks_takes_the_store_down_and_leaves_nobody_waiting(
    tmp_path, monkeypatch
):
    bench = Bench(tmp_path)

    def commit(writes):
        raise RuntimeError("a mistake in the writer")

    monkeypatch.setattr(bench.commits, "commit", commit)
    refused = []

    async def write(number):
        try:
            await bench.writer.write(add(f"{number}"))
        except UnavailableError as error:
            refused.append(error)

    with pytest.RaisesGroup(pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match="a mistake"))):
        async with trio.open_nursery() as nursery:
            await nursery.start(bench.writer.run)
            with trio.CancelScope(shield=True):
                async with trio.open_nursery() as waiting:
                    for number in range(3):
                        waiting.start_soon(write, number)
    assert len(refused) == 3


async def test_keys_are_announced_after_their_commit_once_per_batch(bench):
    plug = Plug()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.writer.write, plug.write())
        await plug.begun.wait()
        for key in "abc":
            nursery.start_soon(bench.writer.write, add(key, keys=(f"job/{key}",)))
            await trio.testing.wait_all_tasks_blocked()
        plug.pull()
    assert bench.notified == [["job/a", "job/b", "job/c"]]
    await bench.writer.write(add("later"))  # waiters are woken first, then others are rung
    assert bench.rung == bench.notified


async def test_a_refused_write_announces_nothing(bench):
    def work(connection):
        raise ConflictError("no")

    with pytest.raises(ConflictError):
        await bench.writer.write(Write(work, None, keys=("job/a",)))
    assert bench.notified == []
    assert bench.rung == []


async def test_what_was_committed_without_a_sync_is_synced_soon(bench):
    await bench.writer.write(add("a", synced=False))
    assert bench.commits.unsynced
    with trio.fail_after(FLUSH_S + PATIENCE_S):
        while bench.commits.unsynced:
            await trio.sleep(0.05)


async def test_a_read_that_finds_the_file_damaged_says_so(bench):
    def read(connection):
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    with pytest.raises(DatabaseCorruptError):
        await bench.writer.read(read)
    assert await bench.writer.read(keys_in) == []


async def test_one_look_sees_one_moment(bench):
    await bench.writer.write(add("a"))
    looked, go_on = threading.Event(), threading.Event()

    def read(connection):
        with one_look(connection):
            before = keys_in(connection)
            looked.set()
            go_on.wait(PATIENCE_S)
            return before, keys_in(connection)

    found = []

    async def look():
        found.append(await bench.writer.read(read))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await trio.to_thread.run_sync(looked.wait, PATIENCE_S)
        await bench.writer.write(add("b"))
        go_on.set()
    assert found == [(["a"], ["a"])]
    assert await bench.writer.read(keys_in) == ["a", "b"]


async def test_inline_a_write_is_done_when_it_returns_and_runs_in_no_thread(tmp_path, nursery):
    bench = Bench(tmp_path, InlineWriter)
    await nursery.start(bench.writer.run)
    threads = []

    def work(connection):
        threads.append(threading.current_thread())
        connection.execute("INSERT INTO claims VALUES ('a', '', 0, 0)")

    await bench.writer.write(Write(work, None, keys=("job/a",)))
    assert threads == [threading.main_thread()]
    assert bench.notified == [["job/a"]]
    assert await bench.writer.read(keys_in) == ["a"]
    with pytest.raises(ConflictError):
        await bench.writer.write(Write(lambda connection: _refuse(), None))


def _refuse():
    raise ConflictError("no")


async def test_a_pulse_returns_when_what_was_asked_for_before_is_done(bench, nursery):
    plug = Plug()
    nursery.start_soon(bench.writer.write, plug.write())
    await plug.begun.wait()
    passed = trio.Event()

    async def pulse():
        await bench.writer.pulse()
        passed.set()

    nursery.start_soon(pulse)
    await trio.testing.wait_all_tasks_blocked(0.05)
    assert not passed.is_set()
    plug.pull()
    with trio.fail_after(PATIENCE_S):
        await passed.wait()


async def test_a_pulse_writes_nothing(bench):
    before = bench.commits_made()
    for _ in range(3):
        with trio.fail_after(PATIENCE_S):
            await bench.writer.pulse()
    assert bench.commits_made() == before


async def test_a_pulse_among_writes_loses_none(bench):
    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(bench.writer.write, add(f"k{number:02}"))
            nursery.start_soon(bench.writer.pulse)
    assert len(await bench.writer.read(keys_in)) == 50


async def test_a_closed_writer_has_no_pulse(tmp_path):
    bench = Bench(tmp_path)
    async with running(bench.writer):
        await bench.writer.pulse()
    with pytest.raises(StoreClosedError):
        await bench.writer.pulse()
