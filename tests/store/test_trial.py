"""An older and a newer program on one data directory, while an update is on trial."""

import os
import sqlite3
import stat

import pytest

from mnedge.part import running
from mnedge.ports import Epoch
from mnedge.store import schema
from mnedge.store.schema import NEWEST, SchemaNewerError, database_path, open_database
from mnedge.store.sqlite import SqliteStore
from mnedge.store.trial import (
    LEAST,
    TrialMark,
    clear_mark,
    mark_path,
    read_mark,
    set_mark,
    withheld,
)

OLD = TrialMark(schema=NEWEST, engine_revision=3, program="1.0.0")
EPOCH = Epoch(0, 1)
ADDED = (
    "ALTER TABLE rows RENAME COLUMN value TO content",
    "CREATE TABLE added (x)",
)
"""What no older program can work with."""


@pytest.fixture
def newer(monkeypatch):
    """Return what makes this process the newer program, or the older one again."""
    known = schema.MIGRATIONS

    def be(is_newer):
        monkeypatch.setattr(schema, "MIGRATIONS", (*known, ADDED) if is_newer else known)
        monkeypatch.setattr(schema, "NEWEST", NEWEST + is_newer)

    return be


def version(data_dir):
    connection = sqlite3.connect(database_path(str(data_dir)))
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return found


def test_a_mark_is_read_back_and_belongs_to_the_owner_of_the_data(tmp_path):
    if os.geteuid() == 0:
        os.chown(tmp_path, 12345, 12346)
    set_mark(tmp_path, OLD)
    assert read_mark(tmp_path) == OLD
    told = mark_path(tmp_path).stat()
    assert (told.st_uid, told.st_gid) == (tmp_path.stat().st_uid, tmp_path.stat().st_gid)
    assert stat.S_IMODE(told.st_mode) == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["trial.json"]
    clear_mark(tmp_path)
    assert read_mark(tmp_path) is None
    clear_mark(tmp_path)


def test_a_link_that_a_worker_laid_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("kept")
    victim.chmod(0o600)
    data = tmp_path / "data"
    data.mkdir()
    (data / f".trial.json.{os.getpid()}").symlink_to(victim)
    set_mark(data, OLD)
    assert victim.read_text() == "kept"
    assert stat.S_IMODE(victim.stat().st_mode) == 0o600
    assert not mark_path(data).is_symlink()
    assert read_mark(data) == OLD


def test_a_mark_that_cannot_be_read_holds_back_all(tmp_path):
    mark_path(tmp_path).write_bytes(b"\0\0\0")
    assert read_mark(tmp_path) == LEAST
    assert withheld(7, tmp_path) == 1


def test_new_jobs_have_the_revision_that_both_programs_know(tmp_path):
    assert withheld(4, tmp_path) == 4
    set_mark(tmp_path, OLD)
    assert withheld(4, tmp_path) == 3
    assert withheld(2, tmp_path) == 2


async def test_the_newer_program_leaves_the_schema_until_it_is_confirmed(tmp_path, newer):
    async with running(SqliteStore(tmp_path, inline=True)) as store:
        await store.journal.append("before", EPOCH, 1, [b"one"])
    set_mark(tmp_path, OLD)
    newer(True)
    async with running(SqliteStore(tmp_path, inline=True)) as store:
        await store.journal.append("during", EPOCH, 1, [b"two"])
    assert version(tmp_path) == NEWEST
    clear_mark(tmp_path)
    open_database(database_path(str(tmp_path)), "FULL").close()
    assert version(tmp_path) == NEWEST + 1
    newer(False)
    with pytest.RaisesGroup(SchemaNewerError, flatten_subgroups=True):
        async with running(SqliteStore(tmp_path, inline=True)):
            pass


async def test_the_older_program_reads_all_that_the_newer_one_wrote_on_trial(tmp_path, newer):
    async with running(SqliteStore(tmp_path, inline=True)) as store:
        await store.journal.append("before", EPOCH, 1, [b"one"])
    set_mark(tmp_path, OLD)
    newer(True)
    async with running(SqliteStore(tmp_path, inline=True)) as store:
        await store.table.put("kept", b"x")
        await store.journal.append("during", EPOCH, 1, [b"two"])
    newer(False)
    async with running(SqliteStore(tmp_path, inline=True)) as store:  # the mark is still there
        assert (await store.table.get("kept")).value == b"x"
    clear_mark(tmp_path)
    async with running(SqliteStore(tmp_path, inline=True)) as store:
        assert await store.journal.read("before") == [(1, b"one")]
        assert await store.journal.read("during") == [(1, b"two")]


def test_a_database_that_is_made_on_trial_has_the_old_schema(tmp_path, newer):
    set_mark(tmp_path, OLD)
    newer(True)
    open_database(database_path(str(tmp_path)), "FULL").close()
    assert version(tmp_path) == NEWEST


def test_a_mark_that_was_forgotten_takes_no_schema_back(tmp_path, newer):
    newer(True)
    open_database(database_path(str(tmp_path)), "FULL").close()
    set_mark(tmp_path, OLD)
    open_database(database_path(str(tmp_path)), "FULL").close()
    assert version(tmp_path) == NEWEST + 1


def test_with_a_mark_that_cannot_be_read_a_database_keeps_its_schema(tmp_path, newer):
    open_database(database_path(str(tmp_path)), "FULL").close()
    mark_path(tmp_path).write_bytes(b"")
    newer(True)
    open_database(database_path(str(tmp_path)), "FULL").close()
    assert version(tmp_path) == NEWEST


def deep(path):
    path.write_text('{"later": ' + "[" * 50_000)


@pytest.mark.parametrize(
    "lay", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path), deep]
)
def test_whatever_a_worker_lays_in_its_place_neither_hangs_nor_stops_an_update(tmp_path, lay):
    lay(mark_path(tmp_path))
    assert read_mark(tmp_path) == LEAST
    set_mark(tmp_path, OLD)
    assert read_mark(tmp_path) == OLD
    clear_mark(tmp_path)
    assert read_mark(tmp_path) is None
    lay(mark_path(tmp_path))
    clear_mark(tmp_path)
    assert read_mark(tmp_path) is None
