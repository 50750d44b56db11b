"""The unix socket: for its owner, where nobody answers, under paths of any length."""

import os
import socket
import stat
from contextlib import closing

import pytest

from mnedge.gateway.unix_socket import (
    GroupUnknownError,
    SocketTakenError,
    answers,
    group_id,
    listening,
    peer_of,
    remove,
)
from mnedge.node_socket import address_of

pytestmark = pytest.mark.live


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_it_is_for_its_owner_whatever_the_umask_says(tmp_path):
    path = tmp_path / "new" / "s.sock"
    before = os.umask(0)
    try:
        with closing(listening(path)):
            assert mode_of(path) == 0o600
            assert os.umask(0) == 0
    finally:
        os.umask(before)


def test_it_is_for_a_group_if_one_is_named(tmp_path):
    path = tmp_path / "s.sock"
    with closing(listening(path, str(os.getgid()))):
        assert mode_of(path) == 0o660
        assert path.stat().st_gid == os.getgid()
    assert group_id("root") == 0
    with pytest.raises(GroupUnknownError):
        listening(tmp_path / "t.sock", "no such group")


def test_the_kernel_says_who_is_at_the_other_end(tmp_path):
    with (
        closing(listening(tmp_path / "s.sock")) as server,
        closing(socket.socket(socket.AF_UNIX)) as client,
    ):
        client.connect(str(tmp_path / "s.sock"))
        accepted, _ = server.accept()
        with closing(accepted):
            assert peer_of(accepted) == (os.getpid(), os.getuid(), os.getgid())


def test_a_socket_that_nobody_listens_on_is_replaced(tmp_path):
    path = tmp_path / "s.sock"
    listening(path).close()
    assert not answers(path)
    with closing(listening(path)):
        assert answers(path)
    assert not answers(tmp_path / "none")


def test_one_that_answers_is_left_alone(tmp_path):
    path = tmp_path / "s.sock"
    with closing(listening(path)):
        with pytest.raises(SocketTakenError):
            listening(path)
        assert answers(path)


def test_what_is_no_socket_is_left_alone(tmp_path):
    path = tmp_path / "s.sock"
    path.write_text("precious")
    with pytest.raises(SocketTakenError, match="no socket"):
        listening(path)
    assert path.read_text() == "precious"


def test_a_path_that_is_too_long_for_the_kernel_works(tmp_path):
    folder = tmp_path / ("d" * 90) / ("e" * 90)
    path = folder / "mnedge.sock"
    assert len(str(path)) > 107
    with closing(listening(path)), closing(socket.socket(socket.AF_UNIX)) as client:
        assert mode_of(path) == 0o600
        assert answers(path)
        with address_of(path) as address:
            client.connect(address)


def test_only_our_own_socket_is_removed(tmp_path):
    path = tmp_path / "s.sock"
    with closing(listening(path)):
        remove(path, path.stat().st_ino + 1)
        assert path.exists()
        remove(path, path.stat().st_ino)
        assert not path.exists()
        remove(path, 1)
