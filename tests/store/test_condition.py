"""Names for what is wrong with a disk."""

import errno
import sqlite3

import pytest

from mnedge.errors import ConflictError, CorruptError, UnavailableError
from mnedge.store.condition import OK, Conditions, condition_of


def sqlite_error(code):
    error = sqlite3.OperationalError("said by SQLite")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    "error,name",
    [
        (OSError(errno.ENOSPC, "full"), "disk_full"),
        (OSError(errno.EDQUOT, "quota"), "disk_full"),
        (OSError(errno.EROFS, "read-only"), "read_only"),
        (PermissionError(errno.EACCES, "denied"), "read_only"),
        (OSError(errno.EIO, "input/output"), "io_error"),
        (sqlite_error(sqlite3.SQLITE_FULL), "disk_full"),
        (sqlite_error(sqlite3.SQLITE_READONLY), "read_only"),
        (sqlite_error(sqlite3.SQLITE_READONLY_DIRECTORY), "read_only"),
        (sqlite_error(sqlite3.SQLITE_IOERR_FSYNC), "io_error"),
        (sqlite_error(sqlite3.SQLITE_CORRUPT), None),
        (sqlite_error(sqlite3.SQLITE_BUSY), None),
        (sqlite_error(sqlite3.SQLITE_CONSTRAINT), None),
        (sqlite3.OperationalError("without a code"), None),
    ],
)
def test_an_error_of_the_disk_has_a_name(tmp_path, error, name):
    assert condition_of(str(tmp_path / "mnedge.db"), error) == name


def test_all_is_well_until_something_failed(tmp_path):
    conditions = Conditions()
    assert conditions.current is OK
    conditions.fine("database", str(tmp_path))
    assert conditions.current is OK


def test_a_failure_is_remembered_from_its_first_time_on(tmp_path):
    dates = iter([10.0, 20.0, 30.0])
    conditions = Conditions(lambda: next(dates))
    path = str(tmp_path / "mnedge.db")
    for _ in range(3):
        error = conditions.failed("database", path, OSError(errno.EIO, "input/output"))
        assert isinstance(error, UnavailableError)
        assert path in error.message
        assert error.hint
    assert (conditions.current.name, conditions.current.since) == ("io_error", 10.0)
    assert "input/output" in conditions.current.message
    conditions.failed("database", path, OSError(errno.EROFS, "read-only"))
    assert (conditions.current.name, conditions.current.since) == ("read_only", 20.0)
    conditions.fine("database", path)
    assert conditions.current is OK


def test_one_place_that_is_well_again_does_not_speak_for_another(tmp_path):
    conditions = Conditions()
    path = str(tmp_path / "x")
    conditions.failed("blobs", path, OSError(errno.EIO, "input/output"))
    conditions.failed("database", path, OSError(errno.EROFS, "read-only"))
    assert conditions.current.name == "read_only"
    conditions.fine("database", path)
    assert conditions.current.name == "io_error"
    conditions.fine("blobs", path)
    assert conditions.current is OK


def test_whoever_wants_to_know_is_told_when_the_worst_becomes_another(tmp_path):
    conditions, told = Conditions(), []
    conditions.tell(lambda condition: told.append(condition.name))
    path = str(tmp_path / "x")
    for place in ("database", "database", "blobs"):
        conditions.failed(place, path, OSError(errno.EIO, "input/output"))
    conditions.failed("blobs", path, OSError(errno.EROFS, "read-only"))
    for place in ("database", "blobs", "blobs"):
        conditions.fine(place, path)
    assert told == ["io_error", "read_only", "ok"]


def test_what_is_explained_already_is_passed_on(tmp_path):
    conditions = Conditions()
    error = ConflictError("no")
    assert conditions.failed("database", str(tmp_path), error) is error
    assert conditions.current is OK


@pytest.mark.parametrize(
    "code,kind,said",
    [
        (sqlite3.SQLITE_BUSY, UnavailableError, "busy"),
        (sqlite3.SQLITE_CORRUPT, CorruptError, "is damaged"),
        (sqlite3.SQLITE_NOTADB, CorruptError, "is not an mnedge database"),
    ],
)
def test_other_troubles_with_the_file_are_told_apart(tmp_path, code, kind, said):
    conditions = Conditions()
    path = str(tmp_path / "mnedge.db")
    error = conditions.failed("database", path, sqlite_error(code))
    assert isinstance(error, kind)
    assert said in error.message
    assert path in error.message
    assert error.hint
    assert conditions.current is OK
