"""Transactions of many writes, and what is done when the disk refuses one."""

import os
import sqlite3

import pytest

from mnedge.errors import ConflictError
from mnedge.store.commits import (
    CHECKPOINT_BYTES,
    DOUBT,
    IDLE_CHECKPOINT_BYTES,
    Commits,
    Write,
    touch,
)
from mnedge.store.condition import (
    Conditions,
    DatabaseCorruptError,
    DiskFailingError,
    DiskFullError,
    ReadOnlyError,
    StoreBusyError,
)
from mnedge.store.schema import database_path
from mnedge.testing.faulty_disk import FaultyDisk


@pytest.fixture
def disk():
    return FaultyDisk()


@pytest.fixture
def conditions():
    return Conditions(lambda: 1000.0)


@pytest.fixture
def commits(disk, conditions, tmp_path):
    commits = Commits(database_path(str(tmp_path)), "FULL", conditions, disk.connect)
    commits.open()
    yield commits
    commits.close()


def add(key, **options):
    def work(connection):
        connection.execute("INSERT INTO claims VALUES (?, '', 0, 0)", (key,))
        return key

    return Write(work, lambda connection: key in keys_in(connection), **options)


def refused(error):
    def work(connection):
        raise error

    return Write(work, None)


def keys_in(connection):
    return [key for (key,) in connection.execute("SELECT key FROM claims ORDER BY key")]


def kept(tmp_path):
    connection = sqlite3.connect(database_path(str(tmp_path)))
    try:
        return keys_in(connection)
    finally:
        connection.close()


def commit(commits, *writes):
    commits.commit(list(writes))
    return [write.error or write.result for write in writes]


def test_all_that_waits_goes_into_one_transaction(commits, disk, tmp_path):
    before = len(disk.statements)
    assert commit(commits, add("a"), add("b"), add("c")) == ["a", "b", "c"]
    assert disk.statements[before:].count("COMMIT") == 1
    assert kept(tmp_path) == ["a", "b", "c"]


def test_a_write_that_refuses_itself_leaves_the_others_alone(commits, disk, tmp_path):
    before = len(disk.statements)
    error = ConflictError("no")
    assert commit(commits, add("a"), refused(error), add("b")) == ["a", error, "b"]
    assert disk.statements[before:].count("COMMIT") == 1
    assert kept(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("error", [ValueError("a mistake"), sqlite3.IntegrityError("twice")])
def test_a_write_that_breaks_is_undone_and_the_others_are_done_once(commits, tmp_path, error):
    def work(connection):
        connection.execute("INSERT INTO claims VALUES ('half', '', 0, 0)")
        raise error

    assert commit(commits, add("a"), Write(work, None), add("b")) == ["a", error, "b"]
    assert kept(tmp_path) == ["a", "b"]


def test_a_full_disk_keeps_nothing_of_the_batch_and_has_a_name(commits, conditions, disk, tmp_path):
    disk.fail("COMMIT", sqlite3.SQLITE_FULL)
    found = commit(commits, add("a"), add("b"))
    assert [type(error) for error in found] == [DiskFullError, DiskFullError]
    assert found[0] is not found[1]
    assert found[0].hint
    assert conditions.current.name == "disk_full"
    assert conditions.current.since == 1000.0
    assert kept(tmp_path) == []
    assert commit(commits, add("a")) == ["a"]
    assert conditions.current.name == "ok"


def test_a_disk_that_fills_up_within_the_transaction_keeps_nothing(commits, disk, tmp_path):
    first = add("a")
    disk.fail("INSERT INTO claims", sqlite3.SQLITE_FULL, times=1, after=True)
    assert isinstance(commit(commits, first, add("b"))[0], DiskFullError)
    assert kept(tmp_path) == []


def test_a_full_disk_says_nothing_about_a_write_that_was_refused_anyway(commits, disk):
    error = ConflictError("no")
    disk.fail("COMMIT", sqlite3.SQLITE_FULL)
    assert commit(commits, refused(error), add("a"))[0] is error


def test_a_read_only_disk_has_a_name(commits, conditions, disk):
    disk.fail("BEGIN", sqlite3.SQLITE_READONLY, times=None)
    assert isinstance(commit(commits, add("a"))[0], ReadOnlyError)
    assert conditions.current.name == "read_only"
    disk.heal()
    assert commit(commits, add("a")) == ["a"]
    assert conditions.current.name == "ok"


def test_another_process_that_never_lets_go_is_no_condition_of_the_disk(commits, conditions, disk):
    disk.fail("BEGIN", sqlite3.SQLITE_BUSY)
    assert isinstance(commit(commits, add("a"))[0], StoreBusyError)
    assert conditions.current.name == "ok"


def test_a_failed_fsync_is_not_tried_again_on_the_same_connection(commits, disk, tmp_path):
    opened, before = disk.opened, len(disk.statements)
    disk.fail("COMMIT", sqlite3.SQLITE_IOERR_FSYNC)
    assert isinstance(commit(commits, add("a"))[0], DiskFailingError)
    assert disk.opened == opened + 1
    said = disk.statements[before:]
    assert said.index("PRAGMA quick_check(1)") > said.index("COMMIT")
    assert "PRAGMA wal_checkpoint(TRUNCATE)" in said
    assert kept(tmp_path) == []


def test_a_commit_that_landed_although_it_failed_is_reported_as_kept(commits, conditions, disk):
    disk.fail("COMMIT", sqlite3.SQLITE_IOERR_FSYNC, after=True)
    assert commit(commits, add("a"), add("b")) == ["a", "b"]
    assert conditions.current.name == "ok"


def test_a_disk_that_goes_on_failing_is_tried_anew_by_every_write(
    commits, conditions, disk, tmp_path
):
    disk.fail("COMMIT", sqlite3.SQLITE_IOERR_WRITE, times=None)
    for _ in range(3):
        assert isinstance(commit(commits, add("a"))[0], DiskFailingError)
        assert conditions.current.name == "io_error"
    disk.heal()
    assert commit(commits, add("a")) == ["a"]
    assert conditions.current.name == "ok"
    assert kept(tmp_path) == ["a"]


def test_a_database_found_damaged_after_a_failure_is_not_written_to(commits, disk, tmp_path):
    disk.fail("COMMIT", sqlite3.SQLITE_IOERR_FSYNC)
    disk.fail("PRAGMA quick_check", sqlite3.SQLITE_CORRUPT, times=None)
    assert isinstance(commit(commits, add("a"))[0], DiskFailingError)
    error = commit(commits, add("a"))[0]
    assert isinstance(error, DatabaseCorruptError)
    assert database_path(str(tmp_path)) in error.message
    disk.heal()
    assert commit(commits, add("a")) == ["a"]


def test_a_database_that_cannot_be_opened_refuses_until_it_can(conditions, disk, tmp_path):
    commits = Commits(database_path(str(tmp_path)), "FULL", conditions, disk.connect)
    disk.fail("PRAGMA busy_timeout", sqlite3.SQLITE_CANTOPEN, times=None)
    with pytest.raises(DiskFailingError):
        commits.open()
    assert isinstance(commit(commits, add("a"))[0], DiskFailingError)
    disk.heal()
    assert commit(commits, add("a")) == ["a"]
    commits.close()


def test_only_a_write_that_wants_it_is_synced(commits, disk):
    commit(commits, add("a"))
    assert not commits.unsynced
    before = len(disk.statements)
    commit(commits, add("b", synced=False))
    assert commits.unsynced
    commit(commits, add("c", synced=False), add("d"))
    assert not commits.unsynced
    assert disk.statements[before:].count("PRAGMA synchronous") == 2


def test_a_flush_syncs_what_was_committed_without(commits):
    commit(commits, add("a", synced=False))
    commits.flush()
    assert not commits.unsynced
    assert commit(commits, add("b")) == ["b"]


def test_with_normal_durability_no_commit_waits_for_the_disk(conditions, disk, tmp_path):
    commits = Commits(database_path(str(tmp_path)), "NORMAL", conditions, disk.connect)
    connection = commits.open()
    assert commit(commits, add("a", synced=False), add("b")) == ["a", "b"]
    assert not commits.unsynced
    assert connection.execute("PRAGMA synchronous").fetchone() == (1,)
    commits.close()


def test_the_log_is_folded_into_the_database_when_it_has_grown(commits, tmp_path):
    assert not commits.wants_idle
    commit(commits, add("a", size_bytes=IDLE_CHECKPOINT_BYTES))
    assert commits.wants_idle
    assert not commits.wants_checkpoint
    commit(commits, add("b", size_bytes=CHECKPOINT_BYTES))
    assert commits.wants_checkpoint
    commits.checkpoint()
    assert not commits.wants_idle
    assert b"b" in (tmp_path / "mnedge.db").read_bytes()


def test_a_checkpoint_that_fails_loses_nothing(commits, disk, tmp_path):
    commit(commits, add("a"))
    disk.fail("PRAGMA wal_checkpoint", sqlite3.SQLITE_FULL)
    commits.checkpoint()
    assert commit(commits, add("b")) == ["b"]
    assert kept(tmp_path) == ["a", "b"]


def test_touching_changes_no_record(commits):
    assert commit(commits, Write(touch, None)) == [None]


def test_whoever_opens_a_file_in_doubt_has_all_of_it_written_anew(
    commits, disk, conditions, tmp_path
):
    """Its log may look whole, and not be on the disk: so an fsync of ours would not help."""
    path = database_path(str(tmp_path))
    commits.commit([add("a")])
    disk.fail("COMMIT", sqlite3.SQLITE_IOERR_FSYNC, times=None)
    commits.commit([add("b")])
    assert os.path.exists(path + DOUBT)
    commits.close()
    disk.heal()
    disk.statements.clear()
    other = Commits(path, "FULL", conditions, disk.connect)
    other.open()
    assert "PRAGMA wal_checkpoint(TRUNCATE)" in disk.statements
    assert not os.path.exists(path + DOUBT)
    other.commit([add("c")])
    assert kept(tmp_path) == ["a", "c"]
    other.close()
    disk.statements.clear()
    other.open()
    assert "PRAGMA wal_checkpoint(TRUNCATE)" not in disk.statements
    other.close()
