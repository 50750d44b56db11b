"""Files and links that are changed in one moment."""

import os
import stat
from hashlib import sha256

import pytest

from mnedge import durable
from mnedge.durable import read_plain, remove, sha256_of, switch, write_whole


def test_a_file_is_written_whole_with_its_mode(tmp_path):
    path = tmp_path / "a"
    write_whole(path, b"one")
    write_whole(path, b"two", mode=0o600)
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert sha256_of(path) == sha256(b"two").hexdigest()


def test_a_file_belongs_to_whom_it_is_given(tmp_path):
    owner = (65534, 65534) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    write_whole(tmp_path / "a", b"one", owner=owner)
    found = (tmp_path / "a").stat()
    assert (found.st_uid, found.st_gid) == owner


def test_what_cannot_be_written_leaves_the_file_as_it_was(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "a", b"one")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_no_link_that_somebody_laid_is_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(durable, "token_hex", lambda _: "guessed")
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    (tmp_path / ".a.guessed").symlink_to(victim)
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "a", b"one")
    assert victim.read_text() == "as it was"

    (tmp_path / "b").symlink_to(victim)
    write_whole(tmp_path / "b", b"one")
    assert victim.read_text() == "as it was"
    assert not (tmp_path / "b").is_symlink()


def test_a_link_leads_to_something_else_or_is_gone(tmp_path):
    link = tmp_path / "current"
    for target in ("releases/a", "releases/b"):
        switch(link, target)
        assert str(link.readlink()) == target
    switch(link, "")
    switch(link, "")
    assert list(tmp_path.iterdir()) == []


def test_a_link_takes_no_folders_place(tmp_path):
    (tmp_path / "current").mkdir()
    with pytest.raises(IsADirectoryError):
        switch(tmp_path / "current", "releases/a")
    assert [path.name for path in tmp_path.iterdir()] == ["current"]


def test_a_file_is_taken_away_once(tmp_path):
    (tmp_path / "a").touch()
    remove(tmp_path / "a")
    remove(tmp_path / "a")
    remove(tmp_path / "a" / "below")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lay", [os.mkfifo, os.mkdir, lambda path: os.symlink("/etc/passwd", path)])
def test_only_a_plain_file_is_read_where_others_write(tmp_path, lay):
    lay(tmp_path / "a")
    with pytest.raises(OSError, match="a"):
        read_plain(tmp_path / "a", 10)


def test_a_plain_file_is_read_to_its_bound(tmp_path):
    (tmp_path / "a").write_bytes(b"0123456789")
    assert read_plain(tmp_path / "a", 10) == b"0123456789"
    with pytest.raises(OSError, match="larger than 9 bytes"):
        read_plain(tmp_path / "a", 9)
