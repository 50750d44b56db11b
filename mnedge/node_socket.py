"""The unix socket of a node: its address, however long, and its health, asked without a loop.

The kernel takes 107 bytes of path. A longer one is reached through the folder's own descriptor.
"""

import http.client
import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

LONGEST_PATH_BYTES = 107
ANSWER_S = 5.0
"""For all of an answer: whoever sits at the socket cannot hold up who asks."""
MOST_SAID_BYTES = 1 << 20
"""No node says more of its health."""
CREDENTIALS = struct.Struct("=iII")
"""Process, user and group, as the kernel tells them of a peer."""


class Health(NamedTuple):
    """What a node says of itself, and which process said it."""

    said: dict[str, Any]
    pid: int


@contextmanager
def address_of(path: Path) -> Iterator[str]:
    """Have an address for `bind` and `connect` that is short enough."""
    if len(os.fsencode(path)) <= LONGEST_PATH_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def health_of(path: Path) -> Health | None:
    """Return what the node behind a socket says of its health; None if nobody answers."""
    connection = _Connection(path)
    try:
        connection.request("GET", "/api/v1/health")
        said = json.loads(connection.getresponse().read(MOST_SAID_BYTES))
    except (OSError, ValueError, RecursionError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return Health(said, connection.pid) if isinstance(said, dict) else None


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("mnedge", timeout=ANSWER_S)
        self._path = path
        self.pid = 0

    def connect(self) -> None:
        """Connect to the node's socket, and see who listens there."""
        self.sock = _Hurried(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ANSWER_S)
        with address_of(self._path) as address:
            self.sock.connect(address)
        told = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        self.pid = CREDENTIALS.unpack(told)[0]


class _Hurried(socket.socket):
    """Is read for `ANSWER_S` altogether, however slowly the answer drips."""

    _until: float | None = None

    def recv_into(self, *where: Any, **how: Any) -> int:
        """Return how much came, before the time is up."""
        now = time.monotonic()
        self._until = self._until or now + ANSWER_S
        if now >= self._until:
            raise TimeoutError
        self.settimeout(self._until - now)
        return super().recv_into(*where, **how)
