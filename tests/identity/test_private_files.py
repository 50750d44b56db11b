"""Private files: nobody but their owner reads them, whatever the umask says."""

import os
import stat

import pytest

from mnedge.identity.private_files import (
    locked,
    private_folder,
    read_private,
    refuse_unsafe,
    write_private,
)
from mnedge.identity.refusals import KeyFileUnsafeError


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_written_whole_and_for_its_owner_alone(tmp_path):
    before = os.umask(0)
    try:
        path = tmp_path / "new" / "key"
        write_private(path, b"one")
        write_private(path, b"two")
    finally:
        os.umask(before)
    assert (mode_of(path), mode_of(path.parent)) == (0o600, 0o700)
    assert read_private(path) == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["key"]


def test_an_absent_file_is_none(tmp_path):
    assert read_private(tmp_path / "key") is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_can_touch_is_refused_with_the_command_that_mends_it(tmp_path, mode):
    path = tmp_path / "key"
    write_private(path, b"secret")
    path.chmod(mode)
    with pytest.raises(KeyFileUnsafeError) as caught:
        read_private(path)
    assert f"chmod 600 {path}" in caught.value.hint
    assert "secret" not in str(caught.value)


def test_a_link_is_refused(tmp_path):
    write_private(tmp_path / "real", b"x")
    (tmp_path / "key").symlink_to(tmp_path / "real")
    with pytest.raises(KeyFileUnsafeError):
        read_private(tmp_path / "key")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(KeyFileUnsafeError):
        refuse_unsafe(tmp_path, tmp_path.stat())


def test_a_lock_is_held_inside_its_block_only(tmp_path):
    import fcntl

    place = private_folder(tmp_path / "locks") / "lock"
    with locked(place), open(place, "rb") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with open(place, "rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
