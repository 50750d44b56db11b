"""Disks that are full, read-only, or lose their power: nothing is corrupted, and work goes on."""

import os
import shutil
import subprocess
from contextlib import contextmanager

import pytest
import trio

from mnedge.part import running
from mnedge.ports import Epoch
from mnedge.store.commits import CHECKPOINT_BYTES
from mnedge.store.condition import DiskFullError, ReadOnlyError
from mnedge.store.schema import is_whole, open_reader
from mnedge.store.sqlite import SqliteStore
from mnedge.testing.faulty_disk import power_cut

pytestmark = pytest.mark.live
EPOCH = Epoch(0, 1)
DISK_BYTES = 6 << 20


@pytest.fixture
def small_disk(tmp_path):
    """A disk of its own, of a few megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-o", f"size={DISK_BYTES}"]
    if not shutil.which("mount") or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", *options, "mnedge-test", str(folder)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"cannot mount a small disk: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk):
    """Leave not one byte free."""
    with open(disk / "ballast", "ab", buffering=0) as file:
        for size in (1 << 16, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


@contextmanager
def full(disk):
    fill(disk)
    try:
        yield
    finally:
        os.unlink(disk / "ballast")


async def append_until_full(store, job, seq):
    """Return the number of the next fact and the error that told that the disk is full."""
    while True:
        try:
            await store.journal.append(job, EPOCH, seq, [b"fact %d " % seq * 1000])
        except DiskFullError as error:
            return seq, error
        seq += 1


async def assert_whole(store, job, next_seq):
    found = []
    while page := await store.journal.read(job, after=len(found)):
        assert all(body == b"fact %d " % seq * 1000 for seq, body in page)
        found += [seq for seq, _ in page]
    assert found == list(range(1, next_seq))
    connection = open_reader(os.path.join(store.data_dir, "mnedge.db"))
    assert is_whole(connection) is None
    connection.close()


async def test_a_full_disk_is_told_nothing_is_lost_and_work_goes_on(small_disk):
    seq = 1
    async with running(SqliteStore(small_disk / "data", now=lambda: 77.0)) as store:
        for _ in range(3):
            with full(small_disk):
                seq, error = await append_until_full(store, "job", seq)
                assert "is full" in error.message
                assert str(small_disk) in error.message
                assert error.hint
                assert store.condition.name == "disk_full"
                assert store.condition.since == 77.0
                await assert_whole(store, "job", seq)
                for act in (
                    lambda: store.table.put("row", b"x" * 500_000),
                    lambda: store.blobs.put(b"y" * 500_000),
                ):
                    with pytest.raises(DiskFullError):
                        await act()
                assert (await store.probe()).name == "disk_full"
            await store.journal.append("job", EPOCH, seq, [b"fact %d " % seq * 1000])
            seq += 1
            assert (await store.probe()).name == "ok"
            await assert_whole(store, "job", seq)
        assert store.reports == []
    async with running(SqliteStore(small_disk / "data")) as store:
        await assert_whole(store, "job", seq)


async def test_a_store_that_only_waits_notices_by_a_probe_that_there_is_room_again(small_disk):
    async with running(SqliteStore(small_disk / "data")) as store:
        with full(small_disk):
            await append_until_full(store, "job", 1)
            assert (await store.probe()).name == "disk_full"
        assert (await store.probe()).name == "ok"


async def test_many_who_write_when_the_disk_fills_up_are_all_told(small_disk):
    kept = {}
    async with running(SqliteStore(small_disk / "data")) as store:
        with full(small_disk):

            async def fill_job(job):
                kept[job], _ = await append_until_full(store, job, 1)

            async with trio.open_nursery() as nursery:
                for number in range(20):
                    nursery.start_soon(fill_job, f"job-{number}")
        for job, next_seq in kept.items():
            await assert_whole(store, job, next_seq)


async def test_a_store_cannot_be_opened_on_a_full_disk_but_can_when_there_is_room(small_disk):
    async with running(SqliteStore(small_disk / "data")) as store:
        await store.journal.append("job", EPOCH, 1, [b"fact 1 " * 1000])
    with full(small_disk), pytest.RaisesGroup(DiskFullError, flatten_subgroups=True):
        async with running(SqliteStore(small_disk / "data")):
            pass
    async with running(SqliteStore(small_disk / "data")) as store:
        await assert_whole(store, "job", 2)


async def test_a_read_only_disk_is_told_and_left_as_it_is(small_disk):
    async with running(SqliteStore(small_disk / "data")) as store:
        await store.journal.append("job", EPOCH, 1, [b"fact 1 " * 1000])
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for data_dir in (small_disk / "data", small_disk / "new"):
        with pytest.RaisesGroup(
            pytest.RaisesExc(ReadOnlyError, match="cannot be written"), flatten_subgroups=True
        ):
            async with running(SqliteStore(data_dir)):
                pass
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    async with running(SqliteStore(small_disk / "data")) as store:
        await assert_whole(store, "job", 2)


async def test_a_power_cut_at_any_byte_of_the_log_leaves_the_commits_before_it(tmp_path):
    facts = [(job, seq) for seq in range(1, 6) for job in ("a", "b")]
    before = tmp_path / "before"
    async with running(SqliteStore(before)) as store:
        sizes = [0]
        for job, seq in facts:
            await store.journal.append(job, EPOCH, seq, [b"fact %d " % seq * 1000])
            sizes.append((before / "mnedge.db-wal").stat().st_size)
        for number, size in enumerate(range(0, sizes[-1] + 1, 4096 + 1000)):
            power_cut(before, tmp_path / f"cut-{number}", log_bytes=size)
    for number, size in enumerate(range(0, sizes[-1] + 1, 4096 + 1000)):
        async with running(SqliteStore(tmp_path / f"cut-{number}")) as store:
            whole = sum(1 for end in sizes[1:] if end <= size)
            expected = facts[:whole]
            for job in ("a", "b"):
                await assert_whole(store, job, 1 + sum(1 for name, _ in expected if name == job))


async def test_the_log_stays_small_however_much_is_written(tmp_path):
    largest = 0
    async with running(SqliteStore(tmp_path, durability="NORMAL")) as store:
        for seq in range(1, 80 * 16, 16):
            await store.journal.append("job", EPOCH, seq, [bytes(60_000)] * 16)
            largest = max(largest, (tmp_path / "mnedge.db-wal").stat().st_size)
        written = (tmp_path / "mnedge.db").stat().st_size
    assert written > 3 * CHECKPOINT_BYTES
    assert largest < 1.5 * CHECKPOINT_BYTES


async def test_the_log_is_folded_in_when_nobody_has_written_for_a_moment(tmp_path):
    async with running(SqliteStore(tmp_path)) as store:
        before = (tmp_path / "mnedge.db").stat().st_size
        await store.journal.append("job", EPOCH, 1, [bytes(60_000)] * 32)
        assert (tmp_path / "mnedge.db").stat().st_size == before
        with trio.fail_after(10):
            while (tmp_path / "mnedge.db").stat().st_size == before:
                await trio.sleep(0.05)
