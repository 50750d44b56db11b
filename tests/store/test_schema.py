"""The database file: made, recognised, brought up to date, refused."""

import sqlite3
import stat

import pytest

from mnedge.errors import UsageError
from mnedge.store import schema
from mnedge.store.condition import DatabaseForeignError
from mnedge.store.schema import (
    NEWEST,
    SchemaNewerError,
    database_path,
    is_whole,
    open_database,
    open_reader,
)
from mnedge.testing.faulty_disk import FaultyDisk


@pytest.fixture
def path(tmp_path):
    return database_path(str(tmp_path))


def pragma(connection, name):
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_a_new_database_is_made_for_this_user_alone(path, tmp_path):
    connection = open_database(path, "FULL")
    assert pragma(connection, "journal_mode") == "wal"
    assert pragma(connection, "synchronous") == 2
    assert pragma(connection, "user_version") == NEWEST
    assert is_whole(connection) is None
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    connection.close()


def test_normal_durability_is_selectable(path):
    connection = open_database(path, "NORMAL")
    assert pragma(connection, "synchronous") == 1
    connection.close()


def test_opening_again_changes_nothing(path, tmp_path):
    open_database(path, "FULL").close()
    before = (tmp_path / "mnedge.db").read_bytes()
    open_database(path, "FULL").close()
    assert (tmp_path / "mnedge.db").read_bytes() == before


def test_a_reader_cannot_write(path):
    connection = open_database(path, "FULL")
    reader = open_reader(path)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM rows")
    reader.close()
    connection.close()


def test_a_newer_schema_is_refused_by_name_and_left_alone(path):
    connection = open_database(path, "FULL")
    connection.execute(f"PRAGMA user_version = {NEWEST + 1}")
    connection.close()
    with pytest.raises(SchemaNewerError, match=f"has schema {NEWEST + 1}") as refused:
        open_database(path, "FULL")
    assert isinstance(refused.value, UsageError)
    assert refused.value.code == "store.schema_newer"
    assert path in refused.value.message
    assert refused.value.hint
    connection = sqlite3.connect(path)
    assert pragma(connection, "user_version") == NEWEST + 1
    connection.close()


def test_a_database_of_another_program_is_refused_and_left_alone(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.commit()
    connection.close()
    with pytest.raises(DatabaseForeignError, match="another program"):
        open_database(path, "FULL")
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]
    connection.close()


def test_a_file_that_is_no_database_is_not_one(path, tmp_path):
    (tmp_path / "mnedge.db").write_text("these are not the rows you are looking for\n" * 100)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        open_database(path, "FULL")


@pytest.fixture
def older(path, monkeypatch):
    """A database of the schema before the newest, where the newest adds a table."""
    open_database(path, "FULL").close()
    added = (*schema.MIGRATIONS, ("CREATE TABLE added (x)", "INSERT INTO added VALUES (1)"))
    monkeypatch.setattr(schema, "MIGRATIONS", added)
    monkeypatch.setattr(schema, "NEWEST", NEWEST + 1)


@pytest.mark.usefixtures("older")
def test_an_older_database_is_brought_up_to_date(path):
    connection = open_database(path, "FULL")
    assert connection.execute("SELECT x FROM added").fetchall() == [(1,)]
    assert pragma(connection, "user_version") == NEWEST + 1
    versions = connection.execute("SELECT version FROM migrations ORDER BY version").fetchall()
    assert versions == [(version,) for version in range(1, NEWEST + 2)]
    connection.close()


@pytest.mark.usefixtures("older")
def test_a_step_that_fails_leaves_the_older_database_as_it_was(path):
    disk = FaultyDisk()
    disk.fail("INSERT INTO added", sqlite3.SQLITE_FULL)
    with pytest.raises(sqlite3.OperationalError):
        open_database(path, "FULL", disk.connect)
    connection = sqlite3.connect(path)
    assert pragma(connection, "user_version") == NEWEST
    assert connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'added'").fetchall() == []
    connection.close()
    open_database(path, "FULL").close()


def test_a_moment_in_which_another_process_makes_the_file_is_waited_out(path):
    disk = FaultyDisk()
    disk.fail("PRAGMA journal_mode", sqlite3.SQLITE_BUSY, times=3)
    open_database(path, "FULL", disk.connect).close()


def test_a_damaged_page_is_noticed(path, tmp_path):
    connection = open_database(path, "FULL")
    connection.executemany(
        "INSERT INTO facts VALUES (?, 0, ?)", [(number, bytes(3000)) for number in range(100)]
    )
    connection.close()
    file = tmp_path / "mnedge.db"
    content = bytearray(file.read_bytes())
    content[-20 * 4096 :] = b"\xff" * (20 * 4096)
    file.write_bytes(content)
    connection = open_reader(path)
    assert is_whole(connection) is not None
    connection.close()


def test_a_switch_to_the_log_that_the_disk_refused_is_no_success(path, tmp_path):
    """SQLite says which mode it is in, and nothing of the disk."""

    class Staying(sqlite3.Connection):
        def execute(self, sql, parameters=(), /):
            return super().execute(sql.replace("journal_mode = WAL", "journal_mode"), parameters)

    with pytest.raises(sqlite3.OperationalError, match="stays delete") as refused:
        open_database(path, "FULL", lambda path: sqlite3.connect(path, factory=Staying))
    assert refused.value.sqlite_errorcode == sqlite3.SQLITE_IOERR
