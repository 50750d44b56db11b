"""The simulated disk is never weaker than a real one: what was not fsynced can be lost, or torn."""

import errno
import os
import sqlite3
from random import Random

import pytest

from mnedge.testing.medium import SECTOR_BYTES
from mnedge.testing.simulated_disk import CrashedError, Fault, SimulatedDisk, What

CHANCES = range(60)
"""Seeds that are tried where something must be able to happen."""


class Chosen:
    """Lets the n-th change of a kind go wrong."""

    def __init__(self):
        self.faults = {}
        self.counted = {}
        self.is_dead = False

    def of(self, what, path):
        self.counted[what] = self.counted.get(what, 0) + 1
        return self.faults.get((what, self.counted[what]))

    def dead(self):
        return self.is_dead

    def die(self):
        self.is_dead = True


@pytest.fixture
def fate():
    return Chosen()


@pytest.fixture
def make(tmp_path, fate):
    """Make a disk whose chance follows from a number."""

    def disk(chance=0, **more):
        root = tmp_path / f"disk-{chance}-{len(list(tmp_path.iterdir()))}"
        root.mkdir()
        return SimulatedDisk(str(root), fate, Random(chance), **more)

    return disk


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)


def append(path, content):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, content)
    os.close(fd)


def append_to(path):
    with open(path, "ab") as file:
        file.write(b"x")


def sync(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def after_cut(disk, *parts):
    disk.cut_power()
    path = os.path.join(disk.root, *parts)
    if not os.path.exists(path):
        return None
    with open(path, "rb") as file:
        return file.read()


def outcomes(make, act, *parts, **more):
    """Return everything that a power cut after `act` can leave of a file."""
    found = set()
    for chance in CHANCES:
        disk = make(chance, **more)
        with disk.mounted():
            act(disk.root)
        found.add(after_cut(disk, *parts))
    return found


def test_what_was_fsynced_with_its_folder_survives(make):
    def act(root):
        write(f"{root}/a", b"kept")
        sync(f"{root}/a")
        sync(root)

    assert outcomes(make, act, "a") == {b"kept"}


def test_what_was_not_fsynced_can_be_lost_kept_or_torn(make):
    content = b"x" * (3 * SECTOR_BYTES)

    def act(root):
        write(f"{root}/a", content)
        sync(root)

    found = outcomes(make, act, "a")
    assert {b"", content} <= found
    torn = found - {b"", content}
    assert torn
    for left in torn:
        sectors = [left[at : at + SECTOR_BYTES] for at in range(0, len(left), SECTOR_BYTES)]
        assert all(sector in (b"x" * SECTOR_BYTES, bytes(SECTOR_BYTES)) for sector in sectors)


def test_later_writes_can_reach_the_medium_before_earlier_ones(make):
    def act(root):
        append(f"{root}/a", b"1" * SECTOR_BYTES)
        sync(root)
        append(f"{root}/a", b"2" * SECTOR_BYTES)

    assert bytes(SECTOR_BYTES) + b"2" * SECTOR_BYTES in outcomes(make, act, "a")


def test_an_fsync_covers_the_writes_before_it_and_no_others(make):
    def act(root):
        append(f"{root}/a", b"1")
        sync(f"{root}/a")
        sync(root)
        append(f"{root}/a", b"2")

    assert outcomes(make, act, "a") == {b"1", b"12"}


@pytest.mark.parametrize("orderly", [False, True])
def test_a_new_name_needs_an_fsync_of_its_folder(make, orderly):
    def act(root):
        write(f"{root}/a", b"kept")
        sync(f"{root}/a")

    found = outcomes(make, act, "a", orderly=orderly)
    assert found == ({b"kept"} if orderly else {b"kept", None})


def test_a_file_in_a_folder_that_is_lost_is_lost(make):
    def act(root):
        os.mkdir(f"{root}/sub")
        write(f"{root}/sub/a", b"kept")
        sync(f"{root}/sub/a")
        sync(f"{root}/sub")

    assert outcomes(make, act, "sub", "a") == {b"kept", None}


def test_a_rename_leaves_the_old_or_the_new_and_may_leave_the_new_empty(make):
    def act(root):
        write(f"{root}/a", b"old")
        sync(f"{root}/a")
        sync(root)
        write(f"{root}/b", b"new")
        os.replace(f"{root}/b", f"{root}/a")

    assert outcomes(make, act, "a") == {b"old", b"new", b""}


def test_a_rename_of_a_durable_file_is_durable_with_its_folder(make):
    def act(root):
        write(f"{root}/a", b"old")
        write(f"{root}/b", b"new")
        sync(f"{root}/b")
        os.replace(f"{root}/b", f"{root}/a")
        sync(root)

    assert outcomes(make, act, "a") == {b"new"}
    assert outcomes(make, act, "b") == {None}


def test_a_deleted_file_can_come_back(make):
    def act(root):
        write(f"{root}/a", b"x")
        sync(f"{root}/a")
        sync(root)
        os.unlink(f"{root}/a")

    assert outcomes(make, act, "a") == {b"x", None}


def test_what_follows_a_lost_cut_is_lost_with_it(make):
    def act(root):
        append(f"{root}/a", b"12345")
        sync(f"{root}/a")
        sync(root)
        fd = os.open(f"{root}/a", os.O_WRONLY | os.O_APPEND)
        os.ftruncate(fd, 2)
        os.write(fd, b"9")
        os.close(fd)

    assert outcomes(make, act, "a") == {b"12345", b"12", b"129"}


def test_an_fsync_that_fails_loses_what_it_was_for_whatever_comes_later(make, fate):
    lost = 0
    for chance in CHANCES:
        disk = make(chance)
        with disk.mounted():
            append(f"{disk.root}/a", b"1")
            sync(disk.root)
            fate.counted, fate.faults = {}, {(What.SYNC, 1): Fault.BROKEN}
            with pytest.raises(OSError, match="simulated") as failed:
                sync(f"{disk.root}/a")
            assert failed.value.errno == errno.EIO
            sync(f"{disk.root}/a")
        lost += after_cut(disk, "a") != b"1"
    assert lost


def test_an_fsync_that_failed_is_told_once_to_everybody_who_had_the_file_open(make, fate):
    disk = make()
    with disk.mounted():
        append(f"{disk.root}/a", b"1")
        one, other = (os.open(f"{disk.root}/a", os.O_RDONLY) for _ in range(2))
        fate.counted, fate.faults = {}, {(What.SYNC, 1): Fault.BROKEN}
        for fd in (one, other):
            with pytest.raises(OSError, match="simulated"):
                os.fsync(fd)
            os.fsync(fd)
            os.close(fd)
        sync(f"{disk.root}/a")


def tried(fd):
    try:
        return os.write(fd, b"123")
    except OSError as error:
        return "no room" if error.errno == errno.ENOSPC else error


def test_a_full_disk_takes_a_part_or_nothing(make, fate):
    left = set()
    for chance in CHANCES:
        disk = make(chance)
        with disk.mounted():
            fate.faults = {}
            append(f"{disk.root}/a", b"0")
            fate.counted, fate.faults = {}, {(What.WRITE, n): Fault.FULL for n in range(1, 9)}
            fd = os.open(f"{disk.root}/a", os.O_WRONLY | os.O_APPEND)
            left.add(tried(fd))
            os.close(fd)
    assert left == {1, 2, "no room"}


@pytest.mark.parametrize("fault,written", [(Fault.DIE_BEFORE, b""), (Fault.DIE_AFTER, b"123")])
def test_a_dead_process_changes_nothing_any_more(make, fate, fault, written):
    disk = make()
    with disk.mounted():
        fd = os.open(f"{disk.root}/a", os.O_WRONLY | os.O_CREAT)
        fate.faults = {(What.WRITE, 1): fault}
        with pytest.raises(CrashedError):
            os.write(fd, b"123")
        for act in (
            lambda: os.write(fd, b"4"),
            lambda: os.fsync(fd),
            lambda: os.ftruncate(fd, 0),
            lambda: os.unlink(f"{disk.root}/a"),
            lambda: os.replace(f"{disk.root}/a", f"{disk.root}/b"),
            lambda: os.mkdir(f"{disk.root}/c"),
            lambda: write(f"{disk.root}/d", b""),
        ):
            with pytest.raises(CrashedError):
                act()
        os.close(fd)
        fate.is_dead = False
        assert os.listdir(disk.root) == ["a"]
        with open(f"{disk.root}/a", "rb") as file:
            assert file.read() == written


def test_what_is_not_modelled_is_refused(make, tmp_path):
    disk = make()
    with disk.mounted():
        write(f"{disk.root}/a", b"")
        with pytest.raises(NotImplementedError):
            append_to(f"{disk.root}/a")
        with pytest.raises(NotImplementedError):
            os.open(f"{disk.root}/a", os.O_WRONLY | os.O_TRUNC)
        with pytest.raises(NotImplementedError):
            os.replace(f"{disk.root}/a", tmp_path / "elsewhere")


def test_other_files_are_left_alone(make, tmp_path, fate):
    disk = make(untracked=("work",))
    fate.is_dead = True
    with disk.mounted():
        write(tmp_path / "other", b"1")
        assert (tmp_path / "other").read_bytes() == b"1"
    assert os.replace is not disk._os_replace


# ---- SQLite on it ----


def a_database(disk):
    connection = disk.connect(f"{disk.root}/db")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE t (x)")
    return connection


def rows(path):
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
        return connection.execute("SELECT count(*) FROM t").fetchone()[0]
    finally:
        connection.close()


@pytest.mark.parametrize("durability,left", [("FULL", {2}), ("NORMAL", {0, 1, 2})])
def test_what_sqlite_committed_survives_if_it_fsynced_it(make, fate, durability, left):
    found = set()
    for chance in CHANCES:
        disk = make(chance)
        fate.is_dead = False
        with disk.mounted():
            connection = a_database(disk)
            connection.execute(f"PRAGMA synchronous = {durability}")
            for number in range(2):
                connection.execute("INSERT INTO t VALUES (?)", (number,))
            fate.is_dead = True  # what is done at closing is not done any more
            with pytest.raises(CrashedError):
                connection.execute("SELECT 1")
            connection.close()
        disk.cut_power()
        found.add(rows(f"{disk.root}/db"))
    assert found == left


@pytest.mark.parametrize("fault", [Fault.DIE_BEFORE, Fault.DIE_DURING, Fault.DIE_AFTER])
@pytest.mark.parametrize("what", [What.WRITE, What.SYNC])
def test_a_transaction_that_dies_is_there_whole_or_not_at_all(make, fate, fault, what):
    for chance in CHANCES:
        disk = make(chance)
        with disk.mounted():
            fate.is_dead, fate.faults = False, {}
            connection = a_database(disk)
            fate.counted, fate.faults = {}, {(what, 1): fault}
            with pytest.raises(CrashedError):
                connection.execute("INSERT INTO t VALUES (zeroblob(20000)), (2)")
            connection.close()
        disk.cut_power()
        assert rows(f"{disk.root}/db") in (0, 2)


@pytest.mark.parametrize(
    "what,fault,code",
    [
        (What.WRITE, Fault.FULL, sqlite3.SQLITE_FULL),
        (What.WRITE, Fault.BROKEN, sqlite3.SQLITE_IOERR),
        (What.SYNC, Fault.BROKEN, sqlite3.SQLITE_IOERR),
    ],
)
def test_sqlite_is_told_what_the_disk_refuses(make, fate, what, fault, code):
    disk = make()
    with disk.mounted():
        connection = a_database(disk)
        fate.counted, fate.faults = {}, {(what, 1): fault}
        with pytest.raises(sqlite3.OperationalError) as refused:
            connection.execute("INSERT INTO t VALUES (1)")
        assert refused.value.sqlite_errorcode & 0xFF == code
        connection.close()
