import os
import socket

import pytest

from mnedge.daemon.notify import Notifier, without_ours


@pytest.fixture(params=["path", "abstract"])
def listening(request, tmp_path):
    name = str(tmp_path / "n") if request.param == "path" else f"@mnedge-notify-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind("\0" + name[1:] if name.startswith("@") else name)
        end.settimeout(5)
        yield name, lambda: end.recv(4096).decode().split("\n")


def test_each_moment_has_its_lines(listening):
    name, heard = listening
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.ready("two\nlines")
    assert heard() == ["READY=1", "STATUS=two lines"]
    notifier.reloading()
    first, moment, _ = heard()
    assert (first, moment.partition("=")[0]) == ("RELOADING=1", "MONOTONIC_USEC")
    notifier.stopping("ends", within_s=1.5)
    assert heard() == ["STOPPING=1", "STATUS=ends", "EXTEND_TIMEOUT_USEC=1500000"]
    notifier.status("busy")
    assert heard() == ["STATUS=busy"]
    notifier.alive()
    assert heard() == ["WATCHDOG=1"]


def test_where_nobody_listens_nothing_happens(tmp_path):
    for environ in ({}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:1:2"}):
        notifier = Notifier(environ)
        assert not notifier.heard
        notifier.ready("x")
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready("x")


@pytest.mark.parametrize(
    "environ, found",
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "x"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_ours_or_nobodys(environ, found):
    assert Notifier({"NOTIFY_SOCKET": "/n", **environ}).watchdog_s == found
    assert Notifier(environ).watchdog_s is None


def test_workers_see_none_of_it():
    environ = {"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "PATH": "/bin"}
    assert without_ours(environ) == {"PATH": "/bin"}
