"""A service manager: the other end of NOTIFY_SOCKET, and a daemon under it."""

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from tests.live.box import MNEDGE, WITHIN_S, Box

_numbers = count()


class Manager:
    """Starts a daemon and hears what it says of itself."""

    def __init__(self, box: Box, *words: str, abstract: bool = False, **environ: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        unique = f"notify-{os.getpid()}-{next(_numbers)}"
        name = f"@mnedge-{unique}" if abstract else str(box.folder / unique)
        self.socket.bind("\0" + name[1:] if abstract else name)
        self.said: list[str] = []
        self.words = ""
        self.box = box
        self.process = subprocess.Popen(
            [*MNEDGE, "daemon", *words],
            stderr=subprocess.PIPE,
            env=box.environ | {"NOTIFY_SOCKET": name} | environ,
            cwd=box.folder,
        )
        assert self.process.stderr is not None
        os.set_blocking(self.process.stderr.fileno(), False)

    @property
    def data_dir(self) -> Path:
        return self.box.home / "mnedge"

    def hear(self, wait_s: float = 0.0) -> None:
        """Take in what it said meanwhile."""
        assert self.process.stderr is not None
        if select.select([self.socket], [], [], wait_s)[0]:
            self.said += self.socket.recv(4096).decode().split("\n")
        self.words += (self.process.stderr.read() or b"").decode()

    def until(self, told: Callable[[], object], within_s: float = WITHIN_S) -> None:
        """Listen until it is so."""
        deadline = time.monotonic() + within_s
        while not told():
            assert time.monotonic() < deadline, (self.said, self.words)
            self.hear(0.02)

    def until_said(self, line: str, within_s: float = WITHIN_S) -> None:
        self.until(lambda: line in self.said, within_s)

    def listen_for(self, seconds: float) -> list[str]:
        """Return what it says in that time."""
        before = len(self.said)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.hear(0.02)
        return self.said[before:]

    def tell(self, number: int) -> None:
        self.process.send_signal(number)

    def ended(self, within_s: float = WITHIN_S) -> int:
        """Return its exit code."""
        self.until(lambda: self.process.poll() is not None, within_s)
        self.hear()
        return self.process.returncode

    def get(self, path: str) -> str:
        """Return what it answers on its unix socket; nothing while it is not there."""
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(self.data_dir / "mnedge.sock"))
                client.sendall(
                    f"GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n".encode()
                )
                return b"".join(iter(lambda: client.recv(65536), b"")).decode()
            except OSError:
                return ""

    def close(self) -> None:
        """End it if it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=WITHIN_S)
        assert self.process.stderr is not None
        self.process.stderr.close()
        self.socket.close()
