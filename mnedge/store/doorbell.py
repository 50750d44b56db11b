"""How a process that wrote to the table wakes those that watch it from other processes.

Each process listens on a datagram socket in `<data dir>/doorbells`; whoever has written rings all
of them, naming the keys. A bell that is full has been rung already. Nobody relies on it: who
watches also looks at the database from time to time.
"""

import errno
import os
import socket
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count

import trio

from mnedge.store.claims import Process, this_process
from mnedge.store.table import Watchers

LETTER_BYTES = 8192
"""Keys that do not fit are left out: then everybody looks."""
_HAS_DESCRIPTORS = os.path.isdir("/proc/self/fd")


class Doorbell:
    """This process's bell, and how it rings the others."""

    def __init__(self, folder: str, watchers: Watchers) -> None:
        self._folder = folder
        self._watchers = watchers
        self._name = ""
        self._sender: socket.socket | None = None
        self._descriptor = -1

    @property
    def bound(self) -> bool:
        """Tell whether others can ring here."""
        return bool(self._name)

    @contextmanager
    def hung(self) -> Iterator[socket.socket | None]:
        """Have a bell for others to ring, or None where there can be none."""
        bell: socket.socket | None = None
        try:
            bell = self._hang()
        except OSError:
            self._name = ""
        try:
            yield bell
        finally:
            self._take_down(bell)

    async def listen(self, bell: socket.socket) -> None:
        """Wake watchers whenever it rings."""
        rung = trio.socket.from_stdlib_socket(bell)
        while True:
            letter = await rung.recv(LETTER_BYTES + 1)
            keys = letter.decode(errors="replace").split("\n") if letter else None
            self._watchers.notify(keys)

    def ring(self, keys: Sequence[str]) -> None:
        """Tell the other processes which keys were written; never waits."""
        if self._sender is None:
            return
        letter = "\n".join(keys).encode()
        if len(letter) > LETTER_BYTES:
            letter = b""
        with suppress(OSError):
            for name in os.listdir(self._folder):
                if name != self._name and name.endswith(".sock"):
                    self._ring_one(self._sender, name, letter)

    def answers(self, process: Process) -> bool:
        """Tell whether a bell of that process still hangs; it is rung without a key."""
        if self._sender is None:
            return False
        with suppress(OSError):
            for name in os.listdir(self._folder):
                if name.startswith(_name_of(process)) and self._ring_one(self._sender, name, b""):
                    return True
        return False

    def _ring_one(self, sender: socket.socket, name: str, letter: bytes) -> bool:
        """Ring one bell; False if nobody listens there any more."""
        try:
            sender.sendto(letter, self._address(name))
        except BlockingIOError:
            return True
        except ConnectionRefusedError:
            self._take_down_stale(os.path.join(self._folder, name))
            return False
        except OSError:
            return False
        return True

    def _take_down_stale(self, path: str) -> None:
        with suppress(OSError):
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                os.unlink(path)

    def _hang(self) -> socket.socket:
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        self._descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sender.setblocking(False)
        bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            bell.setblocking(False)
            for number in count(1):
                name = f"{_name_of(this_process())}{number}.sock"
                try:
                    bell.bind(self._address(name))
                except OSError as error:
                    if error.errno != errno.EADDRINUSE:
                        raise
                else:
                    self._name = name
                    break
            return bell
        except BaseException:
            bell.close()
            raise

    def _take_down(self, bell: socket.socket | None) -> None:
        if self._name:
            with suppress(OSError):
                os.unlink(os.path.join(self._folder, self._name))
        self._name = ""
        sender, self._sender = self._sender, None
        for open_socket in (bell, sender):
            if open_socket is not None:
                open_socket.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _address(self, name: str) -> str:
        """Return a path of the socket that is short enough, however deep the data directory is."""
        if _HAS_DESCRIPTORS:
            return f"/proc/self/fd/{self._descriptor}/{name}"
        return os.path.join(self._folder, name)


def _name_of(process: Process) -> str:
    return f"{process.pid}-{process.start}-{process.namespace}-"
