"""Every change that SQLite makes to a file is asked for; unwatched, it is plain SQLite."""

import sqlite3

import pytest

from mnedge.testing import sqlite_files
from mnedge.testing.sqlite_files import OK, install, uri_of


class Notes:
    """Lets everything happen, and writes it down."""

    def __init__(self):
        self.seen = []
        self.refuses = ""

    def _note(self, what, path, do):
        self.seen.append((what, path.rpartition("/")[2]))
        return sqlite3.SQLITE_IOERR if what == self.refuses else do()

    def open_file(self, path, handle, do, *, creates):
        return self._note("create" if creates else "open", path, do)

    def write_file(self, path, offset, content, do):
        return self._note("write", path, lambda: do(content))

    def cut_file(self, path, size_bytes, do):
        return self._note("cut", path, do)

    def sync_file(self, path, handle, *, with_folder):
        return self._note("sync all" if with_folder else "sync", path, lambda: OK)

    def delete_file(self, path, do, *, with_folder):
        return self._note("delete", path, do)


@pytest.fixture
def notes():
    files = install()
    files.watcher = notes = Notes()
    yield notes
    files.watcher = None


def connect(path):
    return sqlite3.connect(uri_of(str(path)), uri=True, isolation_level=None)


def test_it_is_installed_once():
    assert install() is install()


def test_each_change_is_asked_for(tmp_path, notes):
    connection = connect(tmp_path / "a b?.db")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t (x)")
    connection.execute("INSERT INTO t VALUES (1)")
    connection.close()
    seen = set(notes.seen)
    assert {
        ("create", "a b?.db"),
        ("create", "a b?.db-wal"),
        ("write", "a b?.db-wal"),
        ("sync all", "a b?.db-wal"),
        ("sync", "a b?.db-wal"),
        ("write", "a b?.db"),
        ("sync", "a b?.db"),
        ("delete", "a b?.db-wal"),
    } <= seen
    syncs = [one for one in notes.seen if one == ("sync all", "a b?.db-wal")]
    assert len(syncs) == 1, "the folder is synced with the first fsync of a new log"


def test_what_is_refused_is_not_done(tmp_path, notes):
    connection = connect(tmp_path / "db")
    connection.execute("CREATE TABLE t (x)")
    for refused in ("write", "sync all", "delete"):
        notes.refuses = refused
        with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
            connection.execute("INSERT INTO t VALUES (1)")
    notes.refuses = ""
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
    connection.close()


def test_two_connections_see_each_other_and_each_other_s_locks(tmp_path, notes):
    one, other = connect(tmp_path / "db"), connect(tmp_path / "db")
    one.execute("PRAGMA journal_mode = WAL")
    one.execute("CREATE TABLE t (x)")
    one.execute("BEGIN IMMEDIATE")
    other.execute("PRAGMA busy_timeout = 0")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    one.execute("INSERT INTO t VALUES (1)")
    one.execute("COMMIT")
    assert other.execute("SELECT x FROM t").fetchall() == [(1,)]
    one.close()
    other.close()


def test_without_a_watcher_it_is_plain_sqlite(tmp_path):
    install()
    connection = connect(tmp_path / "db")
    connection.execute("CREATE TABLE t (x)")
    connection.execute("INSERT INTO t VALUES (1)")
    connection.close()
    plain = sqlite3.connect(tmp_path / "db")
    assert plain.execute("SELECT x FROM t").fetchall() == [(1,)]
    plain.close()


def test_a_library_that_merely_is_called_alike_is_refused(monkeypatch):
    class Other:
        class sqlite3_sourceid:
            restype = None

            def __new__(cls):
                return b"another one"

    monkeypatch.setattr(sqlite_files.ctypes, "CDLL", lambda _: Other)
    with pytest.raises(sqlite_files.LibraryUnreachableError, match="another one"):
        sqlite_files._library()
