"""The faulty disk fails where, when and as often as it was told."""

import sqlite3

import pytest

from mnedge.testing.faulty_disk import FaultyDisk, power_cut


@pytest.fixture
def disk():
    return FaultyDisk()


@pytest.fixture
def connection(disk, tmp_path):
    connection = disk.connect(str(tmp_path / "mnedge.db"))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t (x)")
    yield connection
    connection.close()


def content(connection):
    return [x for (x,) in connection.execute("SELECT x FROM t")]


def test_a_statement_fails_before_it_does_anything(disk, connection):
    disk.fail("INSERT", sqlite3.SQLITE_FULL)
    with pytest.raises(sqlite3.OperationalError, match="injected at INSERT") as failed:
        connection.execute("INSERT INTO t VALUES (1)")
    assert failed.value.sqlite_errorcode == sqlite3.SQLITE_FULL
    connection.execute("INSERT INTO t VALUES (2)")
    assert content(connection) == [2]


def test_a_statement_fails_although_it_was_carried_out(disk, connection):
    disk.fail("INSERT", sqlite3.SQLITE_IOERR_FSYNC, after=True)
    with pytest.raises(sqlite3.OperationalError):
        connection.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)])
    assert content(connection) == [1, 2]


def test_it_fails_until_it_is_healed(disk, connection):
    disk.fail("INSERT", sqlite3.SQLITE_FULL, times=None)
    for _ in range(3):
        with pytest.raises(sqlite3.OperationalError):
            connection.execute("INSERT INTO t VALUES (1)")
    disk.heal()
    connection.execute("INSERT INTO t VALUES (1)")
    assert disk.statements.count("INSERT INTO") == 4
    assert disk.opened == 1


def test_a_power_cut_loses_the_end_of_the_log(connection, tmp_path):
    connection.execute("INSERT INTO t VALUES (1)")
    size_bytes = (tmp_path / "mnedge.db-wal").stat().st_size
    connection.execute("INSERT INTO t VALUES (2)")
    power_cut(tmp_path, tmp_path / "cut", log_bytes=size_bytes + 100)
    after = sqlite3.connect(tmp_path / "cut" / "mnedge.db")
    assert content(after) == [1]
    after.close()
