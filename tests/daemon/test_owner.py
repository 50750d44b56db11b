"""Root at another user's data: it is that user from then on, or carries no jobs there."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mnedge import shipped
from mnedge.config.read import read_config
from mnedge.daemon.owner import OwnerNeededError, act_as_owner, owner_of, require_owner

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="root alone may become somebody")
NOBODY = 65534


def home(tmp_path: Path, owner: int):
    config = read_config({"HOME": str(tmp_path)})
    config.data_dir.mkdir(parents=True)
    os.chown(config.data_dir, owner, owner)
    return config


@pytest.fixture
def groups():
    """The groups that a login gives root."""
    before = os.getgroups()
    os.setgroups([0, 4])
    yield [0, 4]
    os.setgroups(before)


def test_ones_own_data_need_nobody_else(tmp_path):
    config = home(tmp_path, os.geteuid())
    assert owner_of(config) is None
    require_owner(config)


def test_data_that_are_not_there_yet_have_no_owner(tmp_path):
    assert owner_of(read_config({"HOME": str(tmp_path)})) is None


@needs_root
def test_root_carries_no_jobs_of_somebody_else(tmp_path):
    with pytest.raises(OwnerNeededError, match="nobody"):
        require_owner(home(tmp_path, NOBODY))


@needs_root
def test_somebody_else_is_told_whose_it_is(tmp_path, monkeypatch):
    config = home(tmp_path, NOBODY)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OwnerNeededError, match="is of nobody") as error:
        act_as_owner(config)
    assert "systemctl start mnedge" in error.value.hint


@needs_root
def test_somebody_else_carries_no_jobs_and_is_told_whose_they_are(tmp_path, monkeypatch):
    config = home(tmp_path, NOBODY)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OwnerNeededError, match="is of nobody"):
        require_owner(config)


@needs_root
@pytest.mark.parametrize("mode", [0o700, 0o750])  # of root, or of root and its group
def test_who_may_not_read_the_program_does_not_become_its_user(tmp_path, monkeypatch, groups, mode):
    config = home(tmp_path, NOBODY)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o011)
    program = tmp_path / "cache" / "mnedge"
    program.parent.mkdir(mode=mode)
    program.touch(0o755)
    monkeypatch.setattr(shipped, "frozen", lambda: True)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(OwnerNeededError, match="may not read this program") as error:
        act_as_owner(config)
    assert "MNEDGE_RUNTIME_DIR" in error.value.hint
    assert (os.geteuid(), os.getegid(), os.getgroups()) == (0, 0, groups)


@needs_root
def test_where_the_daemon_answers_it_is_not_told_to_start(tmp_path, monkeypatch):
    config = home(tmp_path, NOBODY)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(config.socket))
        listener.listen()
        with pytest.raises(OwnerNeededError, match="only nobody and root") as error:
            act_as_owner(config)
    assert "sudo" in error.value.hint
    assert "start" not in error.value.hint


@needs_root
def test_no_link_that_a_worker_lays_keeps_root_root(tmp_path):
    config = home(tmp_path, NOBODY)
    config.runs_root.parent.mkdir(parents=True, exist_ok=True)
    config.runs_root.symlink_to("/")
    told = owner_of(config)
    assert told is not None
    assert told.pw_uid == NOBODY
    with pytest.raises(OwnerNeededError):
        require_owner(config)


@needs_root
@pytest.mark.live
def test_what_root_opens_stays_its_owners(tmp_path):
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents[:3]:
        folder.chmod(folder.stat().st_mode | 0o011)
    config = home(tmp_path, NOBODY)
    code = (
        "import os, trio\n"
        "from mnedge.config.read import read_config\n"
        "from mnedge.daemon.store import opened_store\n"
        "async def main():\n"
        "    async with opened_store(read_config(os.environ)) as store:\n"
        "        await store.table.put('k', b'v')\n"
        "        print(os.geteuid(), os.access('/proc/self/fd', os.X_OK))\n"
        "trio.run(main)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [str(NOBODY), "True"], done.stderr
    files = list(config.data_dir.rglob("*"))
    assert files
    assert {file.stat().st_uid for file in files} == {NOBODY}
